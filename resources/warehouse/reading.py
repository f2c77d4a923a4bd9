"""Asking a file of marts one statement, read-only, alone with the rows the asker may see."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from qlrf_pipelines.domain.errors import NotFound, Rejected, Unavailable
from qlrf_pipelines.domain.tenancy import TenantId

HINT = "`qlrf query --marts` lists the marts and their columns."
# What no statement may do: reach files or the net, change a setting, or see our own variables.
_CLOSED = (
    "SET TimeZone = 'UTC'",
    "SET temp_directory = ''",
    "SET python_enable_replacements = false",
    "SET enable_external_access = false",
    "SET lock_configuration = true",
)


@contextmanager
def opened(path: Path, sql: str, *, tenant: TenantId | None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection in which `sql`, one checked SELECT, may run; catalog `marts` is its only data.

    With a tenant, that tenant's rows are copied into memory and the file is let go before the
    statement runs: there is nothing else left that any statement could name.

    Raises:
        Rejected: not exactly one SELECT, or it fails.
        NotFound: nothing was published, or nothing about this tenant.
        Unavailable: the file cannot be read, or memory ran out.
    """
    with duckdb.connect(":memory:") as connection:
        check_statement(sql, connection)
        if not path.exists():
            raise NotFound("No marts were published yet; run `qlrf refresh`.")
        if tenant is None:
            _attach(connection, path, name="marts")
        else:
            _attach(connection, path, name="published")
            _keep_only(connection, sql, tenant)
        connection.execute("USE marts")
        for statement in _CLOSED:
            connection.execute(statement)
        connection.execute("BEGIN TRANSACTION READ ONLY")  # a CTE may hold a DELETE
        with translated():
            yield connection


def check_statement(sql: str, connection: duckdb.DuckDBPyConnection) -> None:
    """Refuse anything but exactly one statement that only reads; the connection parses it.

    Raises:
        Rejected: none, several, another kind of statement, or not SQL.
    """
    try:
        statements = connection.extract_statements(sql)
    except duckdb.Error as error:
        raise Rejected(f"{error}\n{HINT}") from error
    if len(statements) != 1:
        raise Rejected(f"Ask exactly one statement; this is {len(statements)}.")
    if statements[0].type != duckdb.StatementType.SELECT:
        kind = statements[0].type.name
        raise Rejected(f"Marts are read-only: ask a SELECT; this is {kind}.")


@contextmanager
def translated() -> Iterator[None]:
    """DuckDB's errors about a statement, as ours, with its own message and a hint.

    Raises:
        Rejected: the statement is wrong.
        Unavailable: memory ran out.
    """
    try:
        yield
    except (duckdb.OutOfMemoryException, MemoryError) as error:
        raise Unavailable(f"The statement needs more memory than there is: {error}") from error
    except duckdb.InterruptException:
        raise
    except duckdb.Error as error:
        raise Rejected(f"{error}\n{HINT}") from error


def _attach(connection: duckdb.DuckDBPyConnection, path: Path, *, name: str) -> None:
    try:
        connection.execute(f"ATTACH {_text(str(path))} AS {name} (READ_ONLY)")
    except duckdb.Error as error:
        raise Unavailable(f"The marts in {path} cannot be read: {error}") from error


def _keep_only(connection: duckdb.DuckDBPyConnection, sql: str, tenant: TenantId) -> None:
    connection.execute("ATTACH ':memory:' AS marts")
    known = connection.execute(
        "SELECT count(*) FROM published.dim_tenant WHERE tenant = ?", [tenant]
    ).fetchall()
    if known == [(0,)]:
        raise NotFound(
            f"Nothing was published about tenant {tenant}; run `qlrf refresh -t {tenant}`."
        )
    found = connection.execute(
        "SELECT table_name FROM duckdb_tables() WHERE database_name = 'published'"
    ).fetchall()
    tables = [name for (name,) in found]
    # Most statements name one mart of many: the others stay where they are. One that names none
    # as plain text may still build a name, so it gets them all.
    for name in [name for name in tables if name in sql.lower()] or tables:
        _copy(connection, _name(name), tenant)
    connection.execute("DETACH published")


def _copy(connection: duckdb.DuckDBPyConnection, title: str, tenant: TenantId) -> None:
    rows = f"SELECT * FROM published.{title}"  # noqa: S608  a name from the catalog, quoted
    columns = connection.execute(f"{rows} LIMIT 0").description or []
    owned = any(column[0] == "tenant" for column in columns)
    where, values = (" WHERE tenant = ?", [tenant]) if owned else ("", [])
    connection.execute(f"CREATE TABLE marts.{title} AS {rows}{where}", values)


def _name(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
