"""The schema: brought to its newest version when somebody opens the database, by one at a time."""

import time
from pathlib import Path

import psycopg2
from psycopg2 import errorcodes

from qlrf_pipelines.domain.errors import Refused, Unavailable
from resources.database import faults, roles

HEAD = "0009"  # the newest revision in migrations/versions; a test compares
OLDEST_SERVER = 150000
MIGRATING = 0x716C7266  # "qlrf": the advisory lock migrations are made under
MIGRATIONS = Path(__file__).with_name("migrations")
CONNECT_SECONDS = 5


def bring_up(*, app_url: str, owner_url: str) -> None:
    """Make sure that the schema is the newest and that our role is safe to work as.

    Cheap when there is nothing to do: one connection, three statements, Alembic not imported.

    Raises:
        Unavailable: the database does not answer, or is too old.
        Refused: the schema is not the newest and no owner's URL was given, or it is newer than this
            program, or our role could look past row-level security.
    """
    if (found := _look(app_url, check=True)) == HEAD:
        return
    if found is not None and found > HEAD:
        raise Refused(
            f"The database's schema is version {found}, this program knows {HEAD}; update it."
        )
    if not owner_url:
        raise Refused(
            f"The database's schema is version {found or 'none'}, {HEAD} is needed: set "
            "QLRF_DATABASE_OWNER_URL to the role that owns it, once, so that it can be migrated."
        )
    migrate(owner_url, app_role=_role(app_url))
    _look(app_url, check=True)


def _role(url: str) -> str:
    parsed = psycopg2.extensions.parse_dsn(plain(url))
    return str(parsed.get("user", ""))


def plain(url: str) -> str:
    """A URL as the driver itself reads it, without SQLAlchemy's name of the driver."""
    return url.replace("postgresql+psycopg2://", "postgresql://", 1)


def _look(url: str, *, check: bool) -> str | None:
    with faults.translated():
        connection = connect(url)
        try:
            if connection.server_version < OLDEST_SERVER:
                raise Unavailable(
                    f"PostgreSQL {connection.server_version // 10000} is too old; 15 is needed."
                )
            with connection.cursor() as cursor:
                if check:
                    roles.refuse_powers(cursor)
                return _version(cursor)
        finally:
            connection.close()


def connect(url: str) -> "psycopg2.extensions.connection":
    """A plain connection, waiting a little for a server that is just starting.

    Raises:
        psycopg2.Error: it does not answer, or not to us.
    """
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            return psycopg2.connect(plain(url), connect_timeout=5)
        except psycopg2.OperationalError as error:
            if not faults.is_passing(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.2)  # a server that restarts says so; it cannot say when it is back


def _version(cursor: "psycopg2.extensions.cursor") -> str | None:
    try:
        cursor.execute("SELECT version_num FROM public.alembic_version")
    except psycopg2.Error as error:
        if error.pgcode in (errorcodes.UNDEFINED_TABLE, errorcodes.INSUFFICIENT_PRIVILEGE):
            return None
        raise
    row = cursor.fetchone()
    return None if row is None else str(row[0])


def migrate(owner_url: str, *, app_role: str) -> None:
    """Run every migration that is missing, as the owner; a second one waits and finds none.

    Raises:
        Unavailable: the database does not answer.
        Refused: the owner may not do what a migration does.
    """
    import sqlalchemy as sa
    from alembic import command
    from alembic.config import Config

    engine = sa.create_engine(owner_url, poolclass=sa.NullPool, hide_parameters=True)
    with faults.translated(), engine.connect() as connection:
        connection.execute(sa.text("SELECT pg_advisory_lock(:key)"), {"key": MIGRATING})
        connection.commit()
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        config.attributes["app_role"] = app_role
        command.upgrade(config, "head")
        connection.commit()
