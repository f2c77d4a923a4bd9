"""The engine as DuckDB: private in-memory databases that spill to a folder of their own."""

import ctypes
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pyarrow as pa

from qlrf_pipelines.domain.errors import Rejected, Unavailable
from qlrf_pipelines.ports.engine import Engine, EngineSession
from qlrf_pipelines.settings import Settings


class DuckDbEngine(Engine):
    """DuckDB with memory and threads from the settings, and scratch folders in the home."""

    def __init__(self, settings: Settings) -> None:
        self._memory_limit = settings.memory_limit
        self._threads = settings.threads
        self._scratch = settings.home / "scratch"

    @contextmanager
    def session(self) -> Iterator[EngineSession]:
        """A fresh database; closed, and its folder removed, when the block ends.

        Raises:
            Rejected: the memory limit cannot be read.
            Unavailable: memory and spill space together were not enough.
        """
        with self._folder() as folder:
            connection = self._connected(folder)
            try:
                yield EngineSession(connection=connection, folder=folder)
            except duckdb.OutOfMemoryException as error:
                raise Unavailable(
                    f"The computation needs more than {self._memory_limit} and could not spill to "
                    f"{self._scratch}: free disk space there, raise QLRF_MEMORY_LIMIT, or refresh "
                    f"fewer tenants at once ({error})"
                ) from error
            except duckdb.IOException as error:
                raise Unavailable(
                    f"The computation could not read or write its files: {error}; "
                    f"check the free space of {self._scratch} and of the lake, then run it again."
                ) from error
            finally:
                connection.close()

    def reclaim(self) -> None:
        """Return what Arrow's pool and the C library keep of freed memory.

        Sixteen listing threads leave 100 MiB behind in arenas nobody uses again.
        """
        pa.default_memory_pool().release_unused()
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc alone has it
        if trim is not None:
            trim(0)

    @contextmanager
    def _folder(self) -> Iterator[Path]:
        try:
            self._scratch.mkdir(parents=True, exist_ok=True)
            folder = tempfile.TemporaryDirectory(
                prefix="compute-", dir=self._scratch, ignore_cleanup_errors=True
            )
        except OSError as error:
            raise Unavailable(
                f"No scratch folder can be made in {self._scratch}: {error}; "
                "check its permissions and free space."
            ) from error
        with folder as name:
            yield Path(name)

    def _connected(self, folder: Path) -> duckdb.DuckDBPyConnection:
        try:
            connection = duckdb.connect(
                ":memory:",
                config={
                    "memory_limit": self._memory_limit,
                    "threads": self._threads,
                    "temp_directory": str(folder / "spill"),
                    "preserve_insertion_order": False,
                    "autoinstall_known_extensions": False,
                    "autoload_known_extensions": False,
                },
            )
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("SET enable_progress_bar = false")
        except duckdb.Error as error:
            raise Rejected(
                f"DuckDB does not accept QLRF_MEMORY_LIMIT={self._memory_limit} or "
                f"QLRF_THREADS={self._threads}: {error}"
            ) from error
        return connection
