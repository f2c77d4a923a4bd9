"""The control-plane database: where it is, and as whom to enter it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import quote

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.settings import Settings
from resources.database import embedded, roles, schema
from resources.database.place import Place

DRIVER = "postgresql+psycopg2"


@dataclass(frozen=True, slots=True, kw_only=True)
class Database:
    """URLs with passwords in them: hand them to drivers, never to a log (repr shows none)."""

    embedded: bool
    app_url: str = field(repr=False)
    owner_url: str = field(repr=False)
    dagster_url: str = field(repr=False)
    marts_url: str = field(repr=False)
    reader_url: str = field(repr=False)


@contextmanager
def opened(settings: Settings) -> Iterator[Database]:
    """The database, running, at the newest schema and safe to use; kept up until the block ends.

    Raises:
        Unavailable: it cannot be started or does not answer.
        Refused: our role could look past row-level security, or the schema is not up to date and
            no owner was given to bring it there.
        Rejected: a URL cannot be read.
    """
    if settings.database_url:
        database = external(settings)
        schema.bring_up(app_url=database.app_url, owner_url=database.owner_url)
        yield database
        return
    with embedded.served(settings) as (place, port):
        database = _inside(place, port)
        schema.bring_up(app_url=database.app_url, owner_url=database.owner_url)
        yield database


def external(settings: Settings) -> Database:
    """The database the settings name; a URL that is not given stays empty.

    Marts in that server are built by the schema's owner.
    """
    app = _normal(settings.database_url, "QLRF_DATABASE_URL")
    owner = _normal(settings.database_owner_url, "QLRF_DATABASE_OWNER_URL")
    dagster = _normal(settings.dagster_database_url, "QLRF_DAGSTER_DATABASE_URL")
    return Database(
        embedded=False,
        app_url=app,
        owner_url=owner,
        dagster_url=dagster,
        marts_url=owner,
        reader_url=_normal(settings.database_reader_url, "QLRF_DATABASE_READER_URL"),
    )


def status(settings: Settings) -> embedded.DatabaseStatus:
    """How the database of the settings stands, without starting anything."""
    if not settings.database_url:
        return embedded.status(settings)
    url = make_url(_normal(settings.database_url, "QLRF_DATABASE_URL"))
    login = {"dsn": schema.plain(url.render_as_string(hide_password=False)), "connect_timeout": 5}
    version, size = embedded.look(login)
    return embedded.DatabaseStatus(
        embedded=False,
        running=version is not None,
        pid=None,
        port=url.port,
        version=version,
        size_bytes=size,
        where=f"{url.host or 'localhost'}/{url.database or ''}",
        problem=None if version else "it does not answer, or not to the role we were given",
    )


def _inside(place: Place, port: int) -> Database:
    def url(role: str, database: str = roles.CONTROL_DATABASE) -> str:
        return f"{DRIVER}://{role}:{quote(place.password(role))}@127.0.0.1:{port}/{database}"

    return Database(
        embedded=True,
        app_url=url(roles.APP),
        owner_url=url(roles.OWNER),
        dagster_url=url(roles.DAGSTER, roles.DAGSTER_DATABASE),
        marts_url=url(roles.MARTS),
        reader_url=url(roles.READER),
    )


def _normal(url: str, variable: str) -> str:
    if not url:
        return ""
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        # The URL is not repeated: it may hold a password.
        raise Rejected(
            f"{variable} cannot be read as a URL; write postgresql://role:password@host/database."
        ) from error
    if parsed.get_backend_name() not in ("postgresql", "postgres"):
        raise Rejected(f"{variable} is not PostgreSQL but {parsed.get_backend_name()}.")
    return parsed.set(drivername=DRIVER).render_as_string(hide_password=False)
