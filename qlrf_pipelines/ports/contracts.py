"""Contracts of documents the platform makes itself."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any


class PlanContract(ABC):
    """Holds a generated plan against the contract of plans."""

    @abstractmethod
    def breaches(self, document: Mapping[str, Any]) -> Sequence[str]:
        """Everything in the document that its contract does not allow, in words; none is good.

        Raises:
            Unavailable: the contract cannot be read.
        """
