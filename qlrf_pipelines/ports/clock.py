"""Time and names, asked of the world so that tests can answer."""

from abc import ABC, abstractmethod
from datetime import datetime


class Clock(ABC):
    """What time it is."""

    @abstractmethod
    def now(self) -> datetime:
        """The present moment, in UTC, with microseconds."""


class Ids(ABC):
    """Names nobody used before."""

    @abstractmethod
    def new(self) -> str:
        """A new id, sortable by the time it was made."""
