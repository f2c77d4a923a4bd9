"""Sessions: one process's connections, opened at first use, opened again if the server restarts."""

import hashlib
import os
import platform
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TypeVar

import sqlalchemy as sa

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.settings import Settings
from resources.database import faults
from resources.database.connection import opened

T = TypeVar("T")

_TENANT = sa.text("SELECT set_config('qlrf.tenant', :tenant, true)")
IDLE_CONNECTIONS = 4
MORE_CONNECTIONS = 16


@dataclass(frozen=True, slots=True)
class _Open:
    process: int
    pooled: sa.Engine
    dedicated: sa.Engine
    lease: ExitStack


class Sessions:
    """Connects as the application; making one of these connects to nothing yet."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._door = threading.Lock()
        self._open: _Open | None = None
        self._lost: list[_Open] = []  # their leases are kept until there is a new one

    def read(self, work: Callable[[sa.Connection], T]) -> T:
        """Do `work`, which only reads; once more if the connection was lost.

        Raises:
            Unavailable: the database does not answer, also not after one reconnection.
        """
        return self._run(work, commit=False)

    def repeat(self, work: Callable[[sa.Connection], T]) -> T:
        """As `run`, for work that sees what it kept: done again if its commit got no answer.

        Raises:
            Unavailable: the database does not answer, also not after one reconnection.
            Refused: a policy, a trigger or a constraint says no.
        """
        try:
            return self.run(work)
        except faults.CommitLost:
            return self.run(work)

    def run(self, work: Callable[[sa.Connection], T]) -> T:
        """Do `work` in one transaction and commit it; once more if the connection was lost.

        Only a connection lost before the commit is sure to have been rolled back, so a commit
        that got no answer is not repeated: it is raised. This, not a ping before each use, is what
        a restart of the server is met with: a ping is a round trip, and too early.

        Raises:
            CommitLost: the connection was lost during the commit.
            Unavailable: the database does not answer, also not after one reconnection.
            Refused: a policy, a trigger or a constraint says no.
        """
        return self._run(work, commit=True)

    def _run(self, work: Callable[[sa.Connection], T], *, commit: bool) -> T:
        for last in (False, True):
            now = self._opened()
            committing = False
            try:
                with faults.translated(), now.pooled.connect() as connection:
                    done = work(connection)
                    if commit:
                        committing = True
                        connection.commit()
                    return done
            except faults.Lost as error:
                self._forget(now)
                if committing:
                    raise faults.CommitLost(str(error)) from error
                if last:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def dedicated(self) -> Iterator[sa.Connection]:
        """A connection of its own, without transactions: what it locks it keeps until it ends."""
        with self._connected() as connection:
            yield connection

    def _connected(self) -> sa.Connection:
        for last in (False, True):
            now = self._opened()
            try:
                with faults.translated():
                    return now.dedicated.connect()
            except faults.Lost:
                if last:
                    raise
                self._forget(now)
        raise AssertionError("unreachable")

    def close(self) -> None:
        """Give up every connection and the lease; the next use opens again."""
        with self._door:
            if self._open is not None:
                self._lost.append(self._open)
                self._open = None
            self._bury()

    def _forget(self, lost: _Open) -> None:
        with self._door:
            if self._open is lost:
                self._lost.append(lost)
                self._open = None

    def _bury(self) -> None:
        for lost in self._lost:
            # After a fork the connections belong to the parent: leave them alone.
            mine = lost.process == os.getpid()
            lost.pooled.dispose(close=mine)
            lost.dedicated.dispose(close=mine)
            lost.lease.close()
        self._lost.clear()

    def _opened(self) -> _Open:
        with self._door:
            if self._open is not None and self._open.process != os.getpid():
                self._lost.append(self._open)
                self._open = None
            if self._open is None:
                self._open = self._make()
                self._bury()
            return self._open

    def _make(self) -> _Open:
        with ExitStack() as lease:
            database = lease.enter_context(opened(self._settings))
            named = {"application_name": application_name(), "connect_timeout": 10}
            pooled = sa.create_engine(
                database.app_url,
                pool_size=IDLE_CONNECTIONS,
                max_overflow=MORE_CONNECTIONS,
                hide_parameters=True,
                connect_args=named,
            )
            dedicated = sa.create_engine(
                database.app_url,
                poolclass=sa.NullPool,
                hide_parameters=True,
                connect_args=named,
                isolation_level="AUTOCOMMIT",
            )
            return _Open(os.getpid(), pooled, dedicated, lease.pop_all())


def application_name() -> str:
    """How others see us in pg_stat_activity: the process and the machine, at most 63 bytes."""
    return f"qlrf process {os.getpid()} on {platform.node()}"[:63]


def enter_tenant(connection: sa.Connection, tenant: TenantId) -> None:
    """From here to the end of the transaction, see and write this tenant's rows alone."""
    connection.execute(_TENANT, {"tenant": tenant})


def advisory_key(name: str) -> int:
    """A name as the 64-bit number PostgreSQL locks."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
