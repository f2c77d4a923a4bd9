"""Two real PostgreSQL servers for tests, one following the other; gone with the test session."""

import atexit
import shutil
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

from qlrf_pipelines.domain.recovery import Member, ReplicationStatus
from resources.recovery.postgres import PostgresRecovery, PostgresSession
from resources.recovery.postgres_pair import PostgresPair, make_pair
from resources.secrets import Secrets

# Not full_page_writes: without them nothing can be rewound.
FAST = {"fsync": "off", "synchronous_commit": "off"}


def fresh_pair() -> PostgresPair:
    """A pair of the test's own, stopped and removed when this process ends."""
    folder = Path(tempfile.mkdtemp(prefix="qlrf-pair-"))
    folder.chmod(0o711)
    pair = make_pair(folder, settings=FAST)

    def end() -> None:
        pair.stop()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    streaming(pair)
    return pair


@cache
def shared_pair() -> PostgresPair:
    """The one pair of this test session, for tests that bring it back as they found it."""
    return fresh_pair()


def database_member(pair: PostgresPair) -> Member:
    """The pair as a member of a plan."""
    return Member(name="database", adapter="postgres", settings=dict(pair.settings))


def session_of(pair: PostgresPair) -> PostgresSession:
    """The pair within reach of its adapter."""
    found: Any = PostgresRecovery(secrets=Secrets({})).open(database_member(pair))
    return found


def streaming(pair: PostgresPair, *, seconds: float = 30) -> None:
    """Return when the standby streams and has everything; the server says so to who asks."""
    session, deadline = session_of(pair), time.monotonic() + seconds
    while session.replication().status is not ReplicationStatus.IN_SYNC:
        assert time.monotonic() < deadline, session.replication()
        time.sleep(0.05)


def deafen(pair: PostgresPair) -> None:
    """The standby receives nothing more: what is written now is lost if the primary is."""
    with pair.recovery.connected() as opened, opened.cursor() as cursor:
        cursor.execute("ALTER SYSTEM SET primary_conninfo = ''")
        cursor.execute("SELECT pg_reload_conf()")
    deadline = time.monotonic() + 10
    while pair.primary.ask("SELECT count(*) FROM pg_stat_replication")[0]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
