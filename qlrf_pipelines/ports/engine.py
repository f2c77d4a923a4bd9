"""The engine: set-based computing over Arrow, within limits."""

from abc import ABC, abstractmethod
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

import duckdb


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSession:
    """One computation: a private in-memory database, and a scratch folder that ends with it."""

    connection: duckdb.DuckDBPyConnection
    folder: Path


class Engine(ABC):
    """Opens computations with memory, threads and spill space already limited."""

    @abstractmethod
    def session(self) -> AbstractContextManager[EngineSession]:
        """A fresh session; its connection is closed and its folder removed when the block ends.

        The session's time zone is UTC. A full disk while spilling raises Unavailable.
        """

    @abstractmethod
    def reclaim(self) -> None:
        """Give memory that was freed back to the system, before the next step needs its own."""
