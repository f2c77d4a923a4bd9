"""Publishing a file of marts whole: a changed, durable copy takes the old one's place."""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.estate import TenantId


@contextmanager
def builders_turn(path: Path, *, wait_seconds: float) -> Iterator[None]:
    """Hold the right to publish this file; its holder's death gives it back.

    A lock on a file beside the marts, not one in the database: whoever can write the marts is on
    the machine that holds them, and a build then needs no database at all.

    Raises:
        Unavailable: somebody else built for longer than `wait_seconds`, or the disk refuses.
    """
    with disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path.with_name(f"{path.name}.lock"), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        until = time.monotonic() + wait_seconds
        while not _locked(handle):
            if time.monotonic() > until:
                raise Unavailable(
                    f"Another build of {path} has been running for {wait_seconds:.0f} s; "
                    "try again when it is done."
                )
            time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def exchange(built: Path, path: Path, *, tenants: Sequence[TenantId]) -> None:
    """Publish what was built: these tenants' rows in every mart, and the shared marts entirely.

    Raises:
        Unavailable: the disk is full or fails; the old file is still in place.
    """

    def change(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(f"ATTACH {_text(built)} AS built (READ_ONLY)")
        connection.execute("CREATE TEMP TABLE batch (tenant VARCHAR)")
        connection.executemany("INSERT INTO batch VALUES (?)", [[t] for t in sorted(set(tenants))])
        new, old = _columns(connection, "built"), _columns(connection, "target")
        for name in old.keys() - new.keys():
            connection.execute(f"DROP TABLE target.{_name(name)}")
        for name, columns in new.items():
            _exchange_mart(connection, name, columns=columns, before=old.get(name))

    _rewrite(path, start=path, change=change)


def erase(path: Path, tenant: TenantId) -> None:
    """Publish a file written anew without a tenant's rows, so that none is left in a free block.

    Raises:
        Unavailable: the disk is full or fails; the old file is still in place.
    """
    if not path.exists():
        return

    def change(connection: duckdb.DuckDBPyConnection) -> None:
        connection.execute(f"ATTACH {_text(path)} AS before (READ_ONLY)")
        for name, columns in _columns(connection, "before").items():
            title = _name(name)
            where = f" WHERE tenant <> {_text(tenant)}" if "tenant" in columns else ""
            connection.execute(
                f"CREATE TABLE target.{title} AS SELECT * FROM before.{title}{where}"  # noqa: S608  names from the catalog, quoted
            )

    _rewrite(path, start=None, change=change)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """What a disk says when it cannot, as Unavailable.

    Raises:
        Unavailable: full, failing, or not writable for us.
    """
    try:
        yield
    except (OSError, duckdb.IOException) as error:
        raise Unavailable(
            f"The marts in {path} cannot be written: {error}. "
            "The marts published before are untouched; make room and refresh again."
        ) from error


def _rewrite(
    path: Path, *, start: Path | None, change: Callable[[duckdb.DuckDBPyConnection], None]
) -> None:
    scratch = path.with_name(f"{path.stem}.next{path.suffix}")
    log = scratch.with_name(f"{scratch.name}.wal")
    with disk_errors(path):
        for leftover in (scratch, log):
            leftover.unlink(missing_ok=True)
        try:
            if start is not None and start.exists():
                shutil.copyfile(start, scratch)
            with duckdb.connect(":memory:") as connection:
                connection.execute(f"ATTACH {_text(scratch)} AS target")
                connection.execute("BEGIN")
                change(connection)
                connection.execute("COMMIT")
                connection.execute("CHECKPOINT target")
                connection.execute("DETACH target")
            if log.exists():
                raise OSError(f"{log} was not written into its database")
            _make_durable(scratch)
            scratch.replace(path)
            _make_durable(path.parent)
        finally:
            for leftover in (scratch, log):
                leftover.unlink(missing_ok=True)


def _exchange_mart(
    connection: duckdb.DuckDBPyConnection,
    name: str,
    *,
    columns: dict[str, str],
    before: dict[str, str] | None,
) -> None:
    mart = _name(name)
    if before is None or "tenant" not in columns:
        connection.execute(f"CREATE OR REPLACE TABLE target.{mart} AS FROM built.{mart}")
        return
    others = "tenant NOT IN (SELECT tenant FROM batch)"
    if list(before.items()) != list(columns.items()):
        # The contract changed since: everybody else's rows move over, new columns unknown.
        kept = ", ".join(_name(column) for column in columns if column in before)
        connection.execute(f"CREATE TEMP TABLE old AS SELECT {kept} FROM target.{mart}")  # noqa: S608
        connection.execute(f"CREATE OR REPLACE TABLE target.{mart} AS FROM built.{mart} LIMIT 0")
        connection.execute(f"INSERT INTO target.{mart} BY NAME FROM old WHERE {others}")
        connection.execute("DROP TABLE old")
    else:
        connection.execute(f"DELETE FROM target.{mart} WHERE NOT ({others})")  # noqa: S608
    connection.execute(f"INSERT INTO target.{mart} BY NAME FROM built.{mart}")


def _columns(connection: duckdb.DuckDBPyConnection, database: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    rows = connection.execute(
        "SELECT c.table_name, c.column_name, c.data_type FROM duckdb_columns() c "
        "JOIN duckdb_tables() t USING (database_name, schema_name, table_name) "
        "WHERE c.database_name = ? AND c.schema_name = 'main' "
        "ORDER BY c.table_name, c.column_index",
        [database],
    ).fetchall()
    for table, column, kind in rows:
        found.setdefault(table, {})[column] = kind
    return found


def _locked(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_durable(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"
