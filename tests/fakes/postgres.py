"""A real PostgreSQL for tests: one server per test session, a database of its own per test.

Fast rather than safe: no passwords, no fsync. It ends with the test process, however that ends.
A test asks for the fixture `postgres` (tests/conftest.py) and gets a migrated, empty database.
"""

import atexit
import contextlib
import itertools
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psycopg2

from qlrf_pipelines.settings import Settings
from resources.database import cluster, roles, schema, server

FAST = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PostgresDatabase:
    """One test's database, as settings and as URLs per role."""

    name: str
    port: int
    home: Path

    def url(self, role: str = roles.APP) -> str:
        return f"postgresql+psycopg2://{role}@127.0.0.1:{self.port}/{self.name}"

    @property
    def settings(self) -> Settings:
        return Settings.from_env(
            {
                "QLRF_HOME": str(self.home),
                "QLRF_DATABASE_URL": self.url(),
                "QLRF_DATABASE_OWNER_URL": self.url(roles.OWNER),
                "QLRF_DAGSTER_DATABASE_URL": self.url(roles.DAGSTER),
            }
        )

    @contextlib.contextmanager
    def connected(self, role: str = roles.APP) -> Iterator["psycopg2.extensions.connection"]:
        connection = psycopg2.connect(schema.plain(self.url(role)))
        try:
            yield connection
        finally:
            connection.close()


class PostgresServer:
    """A server of the tests' own, in a folder of its own."""

    def __init__(self) -> None:
        self._scratch = tempfile.TemporaryDirectory(prefix="qlrf-postgres-")
        self.folder = Path(self._scratch.name)
        self._data = self.folder / "data"
        self._binaries = cluster.find_binaries()
        self._launch = cluster.launch_as()
        self._numbers = itertools.count(1)
        cluster.create(
            self._data,
            binaries=self._binaries,
            password="unused",
            launch=self._launch,
            options=("--auth=trust",),
        )
        self.port = server.free_port()
        self.process = self._serve()
        roles.make_everything(self._superuser, lambda _: None)
        self._template = self._named(roles.CONTROL_DATABASE)
        schema.migrate(self._template.url(roles.OWNER), app_role=roles.APP)

    def database(self, *, template: bool = True) -> PostgresDatabase:
        """A new database: migrated, or empty."""
        name = f"test_{next(self._numbers)}"
        source = roles.CONTROL_DATABASE if template else "template0"
        connection = self._superuser("postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(
                f"CREATE DATABASE {name} OWNER {roles.OWNER} TEMPLATE {source} STRATEGY file_copy"
            )
            roles.admit(cursor, name)
        connection.close()
        return self._named(name)

    def drop(self, database: PostgresDatabase) -> None:
        connection = self._superuser("postgres")
        connection.autocommit = True
        with connection.cursor() as cursor:
            cursor.execute(f"DROP DATABASE {database.name} WITH (FORCE)")
        connection.close()

    def restart(self) -> None:
        """Shut down and start again on the same port, as an upgrade does."""
        server.stop(self.process)
        self.process = self._serve()

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        """Down until the block ends."""
        server.stop(self.process)
        try:
            yield
        finally:
            self.process = self._serve()

    def stop(self) -> None:
        server.stop(self.process)
        self._scratch.cleanup()

    def _named(self, name: str) -> PostgresDatabase:
        return PostgresDatabase(name=name, port=self.port, home=self.folder / "home")

    def _superuser(self, database: str) -> "psycopg2.extensions.connection":
        return psycopg2.connect(
            host="127.0.0.1", port=self.port, user=cluster.SUPERUSER, dbname=database
        )

    def _serve(self) -> "subprocess.Popen[bytes]":
        with (self.folder / "log").open("ab") as log:
            process = server.serve(
                self._data,
                binaries=self._binaries,
                port=self.port,
                launch=self._launch,
                settings=dict(server.SETTINGS) | FAST,
                log=log,
            )
        assert server.wait_ready(process, self._data), (self.folder / "log").read_text()
        return process


@cache
def shared_server() -> PostgresServer:
    """The one server of this test session."""
    shared = PostgresServer()
    atexit.register(shared.stop)
    return shared
