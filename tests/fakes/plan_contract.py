"""A contract of plans that says what a test wants it to say."""

from collections.abc import Mapping, Sequence
from typing import Any

from qlrf_pipelines.ports.contracts import PlanContract


class FakePlanContract(PlanContract):
    """Finds `found` in every document, and keeps what it was shown."""

    def __init__(self, *found: str) -> None:
        self.found = found
        self.shown: list[Mapping[str, Any]] = []

    def breaches(self, document: Mapping[str, Any]) -> Sequence[str]:
        self.shown.append(document)
        return self.found
