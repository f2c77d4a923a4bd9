"""PostgreSQL restarts underneath, or a holder of locks dies: nothing is lost, nobody is fooled."""

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from qlrf_pipelines.domain.errors import QlrfError, Refused, Unavailable
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import NewEntry, verify_chain
from qlrf_pipelines.ports.acceptances import Acceptance
from resources.database import roles
from resources.database.acceptances import SqlAcceptances
from resources.database.ledger import SqlLedger
from resources.database.locks import SqlLocks
from resources.database.sessions import Sessions
from tests.fakes.postgres import PostgresServer

pytestmark = pytest.mark.slow

ACME = TenantId("acme")
NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def server():
    """A server of this module's own, so that its restarts hurt nobody else."""
    own = PostgresServer()
    yield own
    own.stop()


@pytest.fixture
def database(server):
    made = server.database()
    yield made
    server.drop(made)


@pytest.fixture
def sessions(database):
    opened = Sessions(database.settings)
    yield opened
    opened.close()


def fact(subject: str) -> NewEntry:
    return NewEntry(kind="test", subject=subject, recorded_at=NOON, content={})


def test_everything_goes_on_after_a_restart(server, sessions):
    ledger, acceptances, locks = SqlLedger(sessions), SqlAcceptances(sessions), SqlLocks(sessions)
    ledger.append({ACME: [fact("before")]})

    server.restart()
    assert ledger.head(ACME).subject == "before"
    server.restart()
    ledger.append({ACME: [fact("after")]})
    server.restart()
    word = Acceptance(scope_id="s", accepted_at=NOON, accepted_by="ann", reason="gone")
    acceptances.accept(ACME, word)
    server.restart()
    with locks.hold(["tenant:acme"], wait_seconds=1):
        pass

    assert verify_chain(ledger.entries(ACME)) == 2
    assert acceptances.of([ACME]) == {(ACME, "s"): word}


def test_a_restart_while_entries_are_read_skips_and_repeats_none(server, sessions):
    ledger = SqlLedger(sessions)
    ledger.append({ACME: [fact(str(number)) for number in range(1500)]})

    reading = ledger.entries(ACME)
    first = [next(reading) for _ in range(10)]
    server.restart()

    assert verify_chain([*first, *reading]) == 1500


def test_appends_during_restarts_are_kept_exactly_once_or_reported(server, sessions):
    ledger = SqlLedger(sessions)
    stop = threading.Event()
    kept: list[str] = []

    def append(worker: int) -> None:
        number = 0
        while not stop.is_set():
            number += 1
            subject = f"{worker}-{number}"
            try:
                ledger.append({ACME: [fact(subject)]})
            except Unavailable:
                continue  # reported: it may or may not be there, and says so
            kept.append(subject)

    with ThreadPoolExecutor(3) as pool:
        jobs = [pool.submit(append, worker) for worker in range(3)]
        try:
            for _ in range(3):
                server.restart()
        finally:
            stop.set()
        for job in jobs:
            job.result()

    found = [entry.subject for entry in ledger.entries(ACME)]
    assert verify_chain(ledger.entries(ACME)) == len(found)
    assert len(found) == len(set(found))
    assert set(kept) <= set(found)


def test_a_lock_lost_to_a_restart_is_said_at_the_end_of_the_block(server, sessions):
    with (
        pytest.raises(Unavailable, match=r"tenant:acme.*run again"),
        SqlLocks(sessions).hold(["tenant:acme"], wait_seconds=1),
    ):
        server.restart()


def test_a_server_that_stays_away_is_unavailable_and_back_when_it_is(server, sessions):
    ledger = SqlLedger(sessions)
    ledger.append({ACME: [fact("before")]})

    with server.away():
        with pytest.raises(Unavailable, match="does not answer") as away:
            ledger.append({ACME: [fact("meanwhile")]})
        assert "Traceback" not in str(away.value)

    ledger.append({ACME: [fact("after")]})
    assert [entry.subject for entry in ledger.entries(ACME)] == ["before", "after"]


def test_backends_ended_by_an_administrator_are_replaced(database, sessions):
    ledger = SqlLedger(sessions)
    ledger.append({ACME: [fact("before")]})

    with database.connected("postgres") as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename = %s",
            [roles.APP],
        )
    ledger.append({ACME: [fact("after")]})

    assert verify_chain(ledger.entries(ACME)) == 2


HOLDER = """
import sys
from qlrf_pipelines.settings import Settings
from resources.database.locks import SqlLocks
from resources.database.sessions import Sessions

settings = Settings.from_env({"QLRF_HOME": sys.argv[1], "QLRF_DATABASE_URL": sys.argv[2]})
with SqlLocks(Sessions(settings)).hold(["tenant:acme", "tenant:beta"], wait_seconds=5):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_the_locks_of_a_killed_holder_are_free_and_a_living_holder_is_named(database, sessions):
    locks = SqlLocks(sessions)
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(database.home), database.url()],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == b"held\n"

    with (
        pytest.raises(Refused, match=f"tenant:beta is in use by qlrf process {holder.pid} on"),
        locks.hold(["tenant:beta"], wait_seconds=0.1),
    ):
        pass
    holder.kill()
    holder.communicate()

    with locks.hold(["tenant:acme", "tenant:beta"], wait_seconds=30):
        pass


def test_whatever_goes_wrong_is_an_error_of_ours(server, sessions):
    ledger = SqlLedger(sessions)
    with server.away(), pytest.raises(QlrfError):
        ledger.head(ACME)
