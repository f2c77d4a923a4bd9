"""Who may do what in the database: the roles, the databases, and a look at what we were given.

qlrf_owner   owns the control plane's tables; used by migrations alone
qlrf_app     the application: reads and writes rows of one tenant at a time, owns nothing
qlrf_marts   owns the schemas `marts` and `lake` when marts are built in Postgres
qlrf_reader  reads marts, under their row-level security
dagster      owns Dagster's own database
"""

from collections.abc import Callable
from typing import Any

import psycopg2
from psycopg2 import sql

from qlrf_pipelines.domain.errors import Refused

OWNER, APP, MARTS, READER, DAGSTER = (
    "qlrf_owner",
    "qlrf_app",
    "qlrf_marts",
    "qlrf_reader",
    "dagster",
)
ROLES = (OWNER, APP, MARTS, READER, DAGSTER)
CONTROL_DATABASE = "qlrf"
DAGSTER_DATABASE = "dagster"
EDITION = 1  # raise it when this module changes what is made; every cluster then gets it once
TENANT_TABLES = (
    "evidence",
    "scope_acceptances",
    "task",
    "task_document",
    "task_decision",
    "task_claim",
    "drill",
    "drill_event",
    "drill_move",
    "drill_answer",
    "drill_write",
    "rollout",
    "rollout_asset",
    "rollout_lock",
    "notification",
)


def make_roles(connection: Any, password: Callable[[str], str | None]) -> None:  # noqa: ANN401
    """Make or mend every role, as the superuser; a password of None means the role has none."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT rolname FROM pg_roles")
        known = {name for (name,) in cursor.fetchall()}
        for role in ROLES:
            if role not in known:
                cursor.execute(sql.SQL("CREATE ROLE {}").format(sql.Identifier(role)))
            cursor.execute(
                sql.SQL(
                    "ALTER ROLE {} LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE "
                    "NOREPLICATION NOINHERIT PASSWORD {}"
                ).format(sql.Identifier(role), sql.Literal(password(role)))
            )


def make_databases(connection: Any) -> None:  # noqa: ANN401
    """Make the databases that are missing, as the superuser, outside a transaction."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT datname FROM pg_database")
        known = {name for (name,) in cursor.fetchall()}
        for database, owner in ((CONTROL_DATABASE, OWNER), (DAGSTER_DATABASE, DAGSTER)):
            if database not in known:
                cursor.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {} STRATEGY file_copy").format(
                        sql.Identifier(database), sql.Identifier(owner)
                    )
                )
            admit(cursor, database)


def admit(cursor: "psycopg2.extensions.cursor", database: str) -> None:
    """Let in those who work in a database and nobody else; the application makes nothing there."""
    name = sql.Identifier(database)
    cursor.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(name))
    if database == DAGSTER_DATABASE:
        return
    for role, right in ((APP, "CONNECT"), (READER, "CONNECT"), (MARTS, "CONNECT, TEMPORARY")):
        cursor.execute(
            sql.SQL("GRANT {} ON DATABASE {} TO {}").format(
                sql.SQL(right), name, sql.Identifier(role)
            )
        )


def make_schemas(connection: Any) -> None:  # noqa: ANN401
    """Make the marts' schemas in the control database, as the superuser."""
    with connection.cursor() as cursor:
        for schema in ("lake", "marts"):
            cursor.execute(
                sql.SQL("CREATE SCHEMA IF NOT EXISTS {} AUTHORIZATION {}").format(
                    sql.Identifier(schema), sql.Identifier(MARTS)
                )
            )
        cursor.execute(sql.SQL("GRANT USAGE ON SCHEMA marts TO {}").format(sql.Identifier(READER)))
        cursor.execute(
            sql.SQL(
                "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA marts GRANT SELECT ON TABLES TO {}"
            ).format(sql.Identifier(MARTS), sql.Identifier(READER))
        )


def make_everything(connect: Callable[[str], Any], password: Callable[[str], str | None]) -> None:
    """Roles, databases and schemas, by superuser connections to the database named."""
    connection = connect("postgres")
    try:
        connection.autocommit = True
        make_roles(connection, password)
        make_databases(connection)
    finally:
        connection.close()
    connection = connect(CONTROL_DATABASE)
    try:
        connection.autocommit = True
        make_schemas(connection)
    finally:
        connection.close()


_POWERS = """
SELECT
  EXISTS (SELECT FROM pg_roles WHERE rolsuper AND pg_has_role(current_user, oid, 'MEMBER')),
  EXISTS (SELECT FROM pg_roles WHERE rolbypassrls AND pg_has_role(current_user, oid, 'MEMBER')),
  (SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class
    WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
      AND relname = ANY (%(tables)s) AND pg_has_role(current_user, relowner, 'MEMBER')),
  (SELECT string_agg(relname, ', ' ORDER BY relname) FROM pg_class
    WHERE relkind IN ('r', 'p') AND relnamespace = 'public'::regnamespace
      AND relname = ANY (%(tables)s) AND NOT (relrowsecurity AND relforcerowsecurity)),
  current_user
"""


def refuse_powers(cursor: "psycopg2.extensions.cursor") -> None:
    """Refuse to work as a role that could look past row-level security.

    Raises:
        Refused: the role is or may become a superuser, may bypass row security, or owns a tenant
            table; or a table is not protected at all.
    """
    cursor.execute(_POWERS, {"tables": list(TENANT_TABLES)})
    superuser, bypass, owned, bare, role = cursor.fetchone() or (True, True, None, None, "?")
    why = (
        "is (or may become) a superuser"
        if superuser
        else "may bypass row-level security"
        if bypass
        else f"owns (or may become the owner of) {owned}"
        if owned
        else None
    )
    if why:
        raise Refused(
            f"The application's database role {role} {why}, so tenants would not be kept apart. "
            "Give QLRF_DATABASE_URL a role that is NOSUPERUSER NOBYPASSRLS, owns nothing and is a "
            "member of no such role; the owner goes into QLRF_DATABASE_OWNER_URL."
        )
    if bare:
        raise Refused(
            f"Row-level security is not forced on {bare}, so tenants would not be kept apart. "
            f"As the owner: ALTER TABLE … ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY."
        )
