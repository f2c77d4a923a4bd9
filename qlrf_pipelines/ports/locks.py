"""Locks: two refreshes of one tenant take turns, whoever started them."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager


class Locks(ABC):
    """Named, exclusive, released by the death of their holder."""

    @abstractmethod
    def hold(self, names: Sequence[str], *, wait_seconds: float) -> AbstractContextManager[None]:
        """Hold all of these names (a tenant's is `tenant:<name>`) until the block ends.

        Raises:
            Refused: somebody else held one of them for longer than `wait_seconds`.
            Unavailable: the database does not answer.
        """
