"""Waiting for a row to change, asleep until the database says that it did."""

import hashlib
import selectors
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from qlrf_pipelines.domain.estate import TenantId
from resources.database import faults
from resources.database.sessions import Sessions

RECONNECT_SECONDS = 1.0
_NOTIFY = sa.text("SELECT pg_notify(:channel, '')")


def channel(kind: str, tenant: TenantId, name: str) -> str:
    """The channel of one row: names of channels are seen by every session, so they say nothing."""
    return f"{kind}_" + hashlib.sha256(f"{tenant}\0{name}".encode()).hexdigest()[:40]


def tell(connection: sa.Connection, name: str) -> None:
    """Wake whoever waits on a channel, once this transaction commits."""
    connection.execute(_NOTIFY, {"channel": name})


def wait_until(
    sessions: Sessions, name: str, happened: Callable[[], bool], *, seconds: float
) -> bool:
    """Sleep until `happened`, looked at whenever the channel says something; False if time ran out.

    Restarts of the server are slept through.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            return _listen(sessions, name, happened, deadline=deadline)
        except faults.Lost:
            remaining = deadline - time.monotonic()
            if remaining <= 0:
                return False
            time.sleep(min(RECONNECT_SECONDS, remaining))


def _listen(
    sessions: Sessions, name: str, happened: Callable[[], bool], *, deadline: float
) -> bool:
    with sessions.dedicated() as connection, faults.translated():
        connection.exec_driver_sql(f'LISTEN "{name}"')
        raw = connection.connection.driver_connection
        # Listening comes first: a step between looking and sleeping is not missed.
        while not happened():
            if not _told(raw, seconds=deadline - time.monotonic()):
                return False
        return True


def _told(raw: Any, *, seconds: float) -> bool:  # noqa: ANN401  psycopg2's own connection
    """Sleep until the server says something; False if time ran out."""
    if seconds <= 0:
        return False
    with selectors.DefaultSelector() as selector:
        selector.register(raw, selectors.EVENT_READ)
        if not selector.select(timeout=seconds):
            return False
    raw.poll()
    raw.notifies.clear()
    return True
