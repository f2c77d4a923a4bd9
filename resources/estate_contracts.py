"""One contract as it was read: its values, and the places already known to be wrong."""

from dataclasses import dataclass
from typing import Any

from resources.estate_yaml import Document, Place


@dataclass(frozen=True, slots=True, kw_only=True)
class Contract:
    """A document and the places in it that are already known to be wrong."""

    document: Document
    wrong: frozenset[Place]

    def get(self, *place: str | int) -> Any:  # noqa: ANN401
        """The value at a place; None if it is missing or already reported as wrong."""
        value: Any = self.document.value
        if () in self.wrong:
            return None
        for length, part in enumerate(place, 1):
            if place[:length] in self.wrong:
                return None
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value

    def texts(self, *place: str | int) -> dict[str, str]:
        """The entries of a mapping that are text and not already wrong."""
        found = self.get(*place)
        keys = found if isinstance(found, dict) else {}
        return {k: v for k in keys if isinstance(v := self.get(*place, k), str)}

    def count(self, *place: str | int) -> int:
        """How many items the list at a place has."""
        found = self.get(*place)
        return len(found) if isinstance(found, list) else 0

    @property
    def kind(self) -> str | None:
        """Tenant, GoldenImage and so on; None if it says nothing."""
        found = self.get("kind")
        return found if isinstance(found, str) else None

    @property
    def name(self) -> str | None:
        """The contract's own name."""
        found = self.get("metadata", "name")
        return found if isinstance(found, str) else None

    @property
    def tenant(self) -> str | None:
        """The tenant the contract names; None if it names none."""
        found = self.get("metadata", "tenant")
        return found if isinstance(found, str) else None
