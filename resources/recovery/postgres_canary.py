"""Numbered writes into a table of the service's own database."""

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.ports.recovery import Canary
from resources.recovery.postgres_server import CONNECT_SECONDS, PgSide

if TYPE_CHECKING:
    from psycopg2.extensions import connection

TABLE = "qlrf_canary"
_MAKE = (
    f"CREATE TABLE IF NOT EXISTS {TABLE} "
    "(drill text NOT NULL, number bigint NOT NULL, PRIMARY KEY (drill, number))"
)
_WRITE = f"INSERT INTO {TABLE} (drill, number) VALUES (%s, %s) ON CONFLICT DO NOTHING"  # noqa: S608
_READ = f"SELECT number FROM {TABLE} WHERE drill = %s ORDER BY number"  # noqa: S608
_IS_THERE = f"SELECT to_regclass('{TABLE}')"


class PostgresCanary(Canary):
    """One connection, opened again when it is lost; a write is durable when it returns.

    Also where `synchronous_commit` is off for the service: its own writes are what they are, and
    these ask for theirs to be on the disk of the side they are written to, and no more.
    """

    def __init__(self, side: PgSide) -> None:
        self._side = side
        self._door = threading.Lock()
        self._open: connection | None = None

    def write(self, drill: str, number: int) -> None:
        """Write one number; see the port."""
        self._do(_WRITE, drill, number)

    def read(self, drill: str) -> Sequence[int]:
        """The numbers of a drill; a table that is not there holds none."""
        if self._do(_IS_THERE)[0][0] is None:
            return []
        return [int(row[0]) for row in self._do(_READ, drill)]

    def forget(self, drill: str) -> None:
        """Remove the numbers of a drill, and the table with the last of them.

        Raises:
            Unavailable: they are perhaps still there.
        """
        if self._do(_IS_THERE)[0][0] is None:
            return
        self._do(f"DELETE FROM {TABLE} WHERE drill = %s", drill)  # noqa: S608
        if not self._do(f"SELECT 1 FROM {TABLE} LIMIT 1"):  # noqa: S608
            self._do(f"DROP TABLE {TABLE}")

    def _do(self, statement: str, *values: object) -> list[tuple[Any, ...]]:
        import psycopg2

        with self._door:
            try:
                opened = self._connected()
                with opened.cursor() as cursor:
                    if statement is _WRITE:
                        cursor.execute(_MAKE)
                    cursor.execute(statement, values or None)
                    return list(cursor.fetchall()) if cursor.description else []
            except psycopg2.Error as error:
                self._drop()
                said = " ".join(str(error).split())[:200]
                raise Unavailable(f"Port {self._side.port}: {said}") from error

    def _connected(self) -> "connection":
        import psycopg2

        if self._open is None or self._open.closed:
            options = (
                f"-c statement_timeout={CONNECT_SECONDS * 1000} -c synchronous_commit=local"
                " -c client_min_messages=warning"
            )
            given = self._side.login.to(self._side.host, self._side.port, options=options)
            self._open = psycopg2.connect(**given)
            self._open.autocommit = True
        return self._open

    def _drop(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
