"""Marts in PostgreSQL: published in one transaction, read under row-level security."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from psycopg2 import sql

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.estate import TenantId

WORKSHOP, SHOP = "lake", "marts"
_SETUP = Path(__file__).with_name("serving.sql")
_BUILDERS = 0x514C5246  # "QLRF": the advisory lock builders of marts take turns by


def take_turn(connection: Any, *, wait_seconds: float) -> None:  # noqa: ANN401  psycopg2's connection
    """Hold the right to build until this connection ends.

    Raises:
        Unavailable: somebody else built for longer than `wait_seconds`.
    """
    from psycopg2.errors import LockNotAvailable

    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT set_config('lock_timeout', %s, false)", [f"{wait_seconds:.0f}s"])
        try:
            cursor.execute("SELECT pg_advisory_lock(%s)", [_BUILDERS])
        except LockNotAvailable as error:
            raise Unavailable(
                f"Another build of the marts has been running for {wait_seconds:.0f} s; "
                "try again when it is done."
            ) from error


def prepare(connection: Any, *, reader: str) -> None:  # noqa: ANN401
    """Make sure the two schemas and the reader's functions are there, and the workshop is empty."""
    with connection, connection.cursor() as cursor:
        for schema in (WORKSHOP, SHOP):
            cursor.execute("SELECT 1 FROM pg_namespace WHERE nspname = %s", [schema])
            if cursor.fetchone() is None:
                cursor.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(schema)))
        cursor.execute(_SETUP.read_text())
        cursor.execute("REVOKE ALL ON marts.visits FROM PUBLIC")
        _grant(cursor, "USAGE ON SCHEMA marts", reader)
        cursor.execute(sql.SQL("REVOKE ALL ON marts.visits FROM {}").format(sql.Identifier(reader)))
        cursor.execute("REVOKE ALL ON FUNCTION marts.enter(text) FROM PUBLIC")
        _grant(cursor, "EXECUTE ON FUNCTION marts.enter(text)", reader)
        _empty_workshop(cursor)


def exchange(connection: Any, *, tenants: Sequence[TenantId], reader: str, given: set[str]) -> None:  # noqa: ANN401
    """Publish what was built, in one transaction: these tenants' rows, and the shared marts.

    `given` are the workshop's tables that are sources, not marts.
    """
    batch = sorted(set(tenants))
    with connection, connection.cursor() as cursor:
        new, old = _columns(cursor, WORKSHOP), _columns(cursor, SHOP)
        marts = {name: columns for name, columns in new.items() if name not in given}
        for name in old.keys() - marts.keys() - {"visits"}:
            cursor.execute(sql.SQL("DROP TABLE {}").format(_in(SHOP, name)))
        for name, columns in sorted(marts.items()):
            if old.get(name) != columns:
                _renew(cursor, name, columns=columns, before=old.get(name), reader=reader)
            gone = sql.SQL(" WHERE tenant = ANY (%s)") if "tenant" in columns else sql.SQL("")
            cursor.execute(
                sql.SQL("DELETE FROM {}").format(_in(SHOP, name)) + gone,
                [batch] if "tenant" in columns else None,
            )
            listed = _names(columns)
            cursor.execute(
                sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(
                    _in(SHOP, name), listed, listed, _in(WORKSHOP, name)
                )
            )
        _empty_workshop(cursor)


def erase(connection: Any, tenant: TenantId) -> None:  # noqa: ANN401
    """Remove a tenant's rows from every mart, in one transaction."""
    with connection, connection.cursor() as cursor:
        for name, columns in _columns(cursor, SHOP).items():
            if "tenant" in columns:
                cursor.execute(
                    sql.SQL("DELETE FROM {} WHERE tenant = %s").format(_in(SHOP, name)), [tenant]
                )


def _renew(
    cursor: Any,  # noqa: ANN401
    name: str,
    *,
    columns: dict[str, str],
    before: dict[str, str] | None,
    reader: str,
) -> None:
    mart, fresh = _in(SHOP, name), _in(SHOP, f"{name}__next")
    cursor.execute(
        sql.SQL("CREATE TABLE {} (LIKE {} INCLUDING COMMENTS)").format(fresh, _in(WORKSHOP, name))
    )
    if before is not None:
        # The contract changed since: everybody's rows move over, new columns unknown.
        kept = _names([column for column in columns if before.get(column) == columns[column]])
        cursor.execute(
            sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {}").format(fresh, kept, kept, mart)
        )
        cursor.execute(sql.SQL("DROP TABLE {}").format(mart))
    cursor.execute(sql.SQL("ALTER TABLE {} RENAME TO {}").format(fresh, sql.Identifier(name)))
    cursor.execute(sql.SQL("GRANT SELECT ON {} TO {}").format(mart, sql.Identifier(reader)))
    if "tenant" not in columns:
        return
    for statement in (
        "CREATE INDEX ON {} (tenant)",
        "ALTER TABLE {} ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE {} FORCE ROW LEVEL SECURITY",
        "CREATE POLICY builder ON {} TO CURRENT_USER USING (true) WITH CHECK (true)",
        "CREATE POLICY visitor ON {} FOR SELECT USING "
        "(tenant = (SELECT marts.visitor()) OR (SELECT marts.visitor()) = '*')",
    ):
        cursor.execute(sql.SQL(statement).format(mart))


def _empty_workshop(cursor: Any) -> None:  # noqa: ANN401
    cursor.execute(
        "SELECT relname, relkind = 'v' FROM pg_class "
        "WHERE relnamespace = %s::regnamespace AND relkind IN ('r', 'v') ORDER BY relkind DESC",
        [WORKSHOP],
    )
    for name, is_view in cursor.fetchall():
        kind = sql.SQL("VIEW" if is_view else "TABLE")
        cursor.execute(sql.SQL("DROP {} IF EXISTS {} CASCADE").format(kind, _in(WORKSHOP, name)))


def _columns(cursor: Any, schema: str) -> dict[str, dict[str, str]]:  # noqa: ANN401
    cursor.execute(
        "SELECT c.relname, a.attname, format_type(a.atttypid, a.atttypmod) FROM pg_attribute a "
        "JOIN pg_class c ON c.oid = a.attrelid WHERE c.relnamespace = %s::regnamespace "
        "AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped ORDER BY c.relname, a.attnum",
        [schema],
    )
    found: dict[str, dict[str, str]] = {}
    for table, column, kind in cursor.fetchall():
        found.setdefault(table, {})[column] = kind
    return found


def _grant(cursor: Any, what: str, reader: str) -> None:  # noqa: ANN401
    cursor.execute(sql.SQL("GRANT " + what + " TO {}").format(sql.Identifier(reader)))


def _in(schema: str, name: str) -> sql.Composed:
    return sql.SQL("{}.{}").format(sql.Identifier(schema), sql.Identifier(name))


def _names(columns: Sequence[str] | dict[str, str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column) for column in columns)
