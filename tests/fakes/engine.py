"""An engine with small limits and a folder of its own."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from qlrf_pipelines.ports.engine import Engine, EngineSession


class FakeEngine(Engine):
    """Private in-memory databases; `sessions` counts those opened, `reclaimed` the calls."""

    def __init__(self) -> None:
        self.sessions = 0
        self.reclaimed = 0

    @contextmanager
    def session(self) -> Iterator[EngineSession]:
        self.sessions += 1
        with tempfile.TemporaryDirectory(prefix="qlrf-fake-") as folder:
            connection = duckdb.connect(":memory:", config={"threads": 2})
            try:
                connection.execute("SET TimeZone = 'UTC'")
                yield EngineSession(connection=connection, folder=Path(folder))
            finally:
                connection.close()

    def reclaim(self) -> None:
        self.reclaimed += 1
