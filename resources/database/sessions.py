"""Sessions: one process's connections, opened at first use, opened again if the server restarts."""

import hashlib
import os
import platform
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import psycopg2

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.settings import Settings
from resources.database import faults
from resources.database.connection import opened

T = TypeVar("T")
Row = Mapping[str, Any]
Said = tuple[str, Mapping[str, Any]]
# Statements in the driver's words and what they are given; the first row of the last of them.
Say = Callable[[str, Mapping[str, Any]], Row | None]
Answer = Callable[[Say, Row | None], tuple[T, Said | None]]

_NOTHING: Said = ("ROLLBACK", {})
ENTER = "SELECT set_config('qlrf.tenant', :tenant, true)"
_TENANT = sa.text(ENTER)
IDLE_CONNECTIONS = 4
MORE_CONNECTIONS = 16


@dataclass(slots=True)
class _Stage:
    """How far a transaction is: a loss is ambiguous once its commit was sent."""

    committing: bool = False


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

    def settle(self, ask: Said, answer: Answer[T]) -> T:
        """One transaction in two round trips: what is found, and what is made of it.

        `ask` begins it (see `opening`); `answer` is given the row and says what is kept (see
        `closing`), or None to keep everything as it is. As with `repeat`, both are done again if
        the commit got no answer.

        Raises:
            Unavailable: the database does not answer, also not after one reconnection.
            Refused: a policy, a trigger or a constraint says no.
        """

        def once(now: _Open, stage: _Stage) -> T:
            with _own_words(now.pooled) as say:
                done, kept = answer(say, say(*ask))
                stage.committing = kept is not None
                say(*(kept or _NOTHING))
                return done

        try:
            return self._tried(once)
        except faults.CommitLost:
            return self._tried(once)

    def _run(self, work: Callable[[sa.Connection], T], *, commit: bool) -> T:
        def once(now: _Open, stage: _Stage) -> T:
            with now.pooled.connect() as connection:
                done = work(connection)
                if commit:
                    stage.committing = True
                    connection.commit()
                return done

        return self._tried(once)

    def _tried(self, once: "Callable[[_Open, _Stage], T]") -> T:
        for last in (False, True):
            now, stage = self._opened(), _Stage()
            try:
                with faults.translated():
                    return once(now, stage)
            except faults.Lost as error:
                self._forget(now)
                if stage.committing:
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


@contextmanager
def _own_words(engine: sa.Engine) -> Iterator[Say]:
    """A connection to whoever begins and ends a transaction in words of his own.

    One that was not left in order is never given back to the others: it may be in the middle.
    """
    lent = engine.raw_connection()
    in_order = False
    try:
        connection: Any = lent.driver_connection
        connection.autocommit = True
        with connection.cursor() as cursor:
            yield partial(_say, cursor)
        connection.autocommit = False
        in_order = True
    finally:
        if in_order:
            lent.close()
        else:
            lent.invalidate()


def _say(cursor: Any, statements: str, given: Mapping[str, Any]) -> Row | None:  # noqa: ANN401
    cursor.execute(statements, given)
    if cursor.description is None:
        return None
    row = cursor.fetchone()
    return row and dict(zip((c.name for c in cursor.description), row, strict=True))


def opening(statements: str) -> str:
    """What `settle` asks: statements that begin a transaction, in one round trip."""
    return saying(f"BEGIN;{statements}")


def closing(statements: str) -> str:
    """What `settle` is answered: statements that end it, kept together or not at all."""
    return saying(f"{statements};COMMIT")


def saying(statements: str) -> str:
    """Statements with `:names`, in the driver's words.

    A rollout takes hundreds of steps a second: what a statement passes through on its way counts.
    """
    return str(sa.text(statements).compile(dialect=psycopg2.dialect()))  # type: ignore[no-untyped-call]


def application_name() -> str:
    """How others see us in pg_stat_activity: the process and the machine, at most 63 bytes."""
    return f"qlrf process {os.getpid()} on {platform.node()}"[:63]


def enter_tenant(connection: sa.Connection, tenant: TenantId) -> None:
    """From here to the end of the transaction, see and write this tenant's rows alone."""
    connection.execute(_TENANT, {"tenant": tenant})


def advisory_key(name: str) -> int:
    """A name as the 64-bit number PostgreSQL locks."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], "big", signed=True)
