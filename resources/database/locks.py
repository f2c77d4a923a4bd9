"""Locks in Postgres: advisory, of a session of their own, gone with the process that held them."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import sqlalchemy as sa
from psycopg2 import errorcodes

from qlrf_pipelines.domain.errors import Refused, Unavailable
from qlrf_pipelines.ports.locks import Locks
from resources.database import faults
from resources.database.sessions import Sessions, advisory_key

_TRY = sa.text("SELECT pg_try_advisory_lock(:key)")
_LOCK = sa.text("SELECT pg_advisory_lock(:key)")
_PATIENCE = sa.text("SELECT set_config('lock_timeout', :milliseconds, false)")
_RELEASE = sa.text("SELECT pg_advisory_unlock_all()")
# A 64-bit advisory lock is shown as two halves, with objsubid 1.
_HOLDER = sa.text(
    """
    SELECT a.application_name, a.backend_start FROM pg_locks l JOIN pg_stat_activity a USING (pid)
    WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
      AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
      AND ((l.classid::bigint << 32) | l.objid::bigint) = :key
    """
)


class SqlLocks(Locks):
    """Taken in one order by everybody, so that two holders of many names never deadlock."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    @contextmanager
    def hold(self, names: Sequence[str], *, wait_seconds: float) -> Iterator[None]:
        """Hold all of these names until the block ends.

        Raises:
            Refused: somebody else held one of them for longer than `wait_seconds`.
            Unavailable: the database does not answer; or it went away inside the block, so that
                somebody else may have held a name at the same time.
        """
        with self._sessions.dedicated() as connection:
            deadline = time.monotonic() + wait_seconds
            for name in sorted(set(names)):
                _take(connection, name, deadline=deadline)
            yield
            _release(connection, names)


def _take(connection: sa.Connection, name: str, *, deadline: float) -> None:
    key = {"key": advisory_key(name)}
    with faults.translated():
        if connection.execute(_TRY, key).scalar():
            return
        remaining = int((deadline - time.monotonic()) * 1000)
        if remaining > 0 and _waited(connection, key, remaining):
            return
        holder = connection.execute(_HOLDER, key).first()
    who = f" by {holder.application_name} since {holder.backend_start:%H:%M:%S}" if holder else ""
    raise Refused(f"{name} is in use{who}; try again when it is done, or wait longer.")


def _waited(connection: sa.Connection, key: dict[str, int], milliseconds: int) -> bool:
    connection.execute(_PATIENCE, {"milliseconds": str(milliseconds)})
    try:
        connection.execute(_LOCK, key)
    except sa.exc.OperationalError as error:
        if getattr(error.orig, "pgcode", None) == errorcodes.LOCK_NOT_AVAILABLE:
            return False
        raise
    return True


def _release(connection: sa.Connection, names: Sequence[str]) -> None:
    try:
        with faults.translated():
            connection.execute(_RELEASE)
    except faults.Lost as error:
        raise Unavailable(
            f"The database went away while {', '.join(sorted(set(names))[:3])} was held, so "
            "somebody else may have worked on it at the same time; run again."
        ) from error
