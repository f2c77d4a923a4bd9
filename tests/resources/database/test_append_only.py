"""The ledger's table holds to its chain whatever anybody sends it."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from datetime import UTC, datetime

import psycopg2
import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import GENESIS, NewEntry, verify_chain
from qlrf_pipelines.settings import Settings
from resources.database import cluster, roles
from resources.database.ledger import SqlLedger
from resources.database.sessions import Sessions

ACME, BETA = TenantId("acme"), TenantId("beta")
NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
EVERYBODY = pytest.mark.parametrize("role", [roles.APP, roles.OWNER, cluster.SUPERUSER])


def fact(**content) -> NewEntry:
    return NewEntry(kind="control", subject="i-1", recorded_at=NOON, content=content)


@pytest.fixture
def ledger(postgres):
    sessions = Sessions(postgres.settings)
    yield SqlLedger(sessions)
    sessions.close()


@EVERYBODY
@pytest.mark.parametrize(
    "statement",
    ["UPDATE evidence SET kind = 'other'", "DELETE FROM evidence", "TRUNCATE evidence"],
)
def test_nobody_changes_or_removes_an_entry(postgres, ledger, role, statement):
    ledger.append({ACME: [fact()]})

    with postgres.connected(role) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT set_config('qlrf.tenant', 'acme', true)")
        with pytest.raises(psycopg2.Error, match=r"append-only|permission denied"):
            cursor.execute(statement)

    assert verify_chain(ledger.entries(ACME)) == 1


def test_not_even_with_triggers_switched_off_for_replication(postgres, ledger):
    ledger.append({ACME: [fact()]})

    with postgres.connected(cluster.SUPERUSER) as connection, connection.cursor() as cursor:
        cursor.execute("SET session_replication_role = replica")
        with pytest.raises(psycopg2.Error, match="append-only"):
            cursor.execute("DELETE FROM evidence")


INSERT = "INSERT INTO evidence VALUES ('acme', %s, 'k', 's', now(), '{}', %s, repeat('f', 64))"


@pytest.mark.parametrize(
    ("seq", "previous"),
    [(1, GENESIS), (2, GENESIS), (2, "f" * 64), (3, None), (4, None), (0, None), (-1, None)],
)
@EVERYBODY
def test_a_row_that_does_not_follow_the_last_one_is_refused(postgres, ledger, role, seq, previous):
    ledger.append({ACME: [fact(), fact()]})
    head = ledger.head(ACME)

    follows = seq == 3 and previous is None
    with postgres.connected(role) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT set_config('qlrf.tenant', 'acme', true)")
        values = [seq, previous or head.hash]
        if follows:
            cursor.execute(INSERT, values)
        else:
            with pytest.raises(psycopg2.Error, match="does not follow"):
                cursor.execute(INSERT, values)


def test_two_writers_that_take_no_turns_cannot_fork_the_chain(postgres):
    with postgres.connected() as one, postgres.connected() as two:
        for connection in (one, two):
            connection.cursor().execute("SELECT set_config('qlrf.tenant', 'acme', true)")
        two.cursor().execute("SET lock_timeout = '100ms'")
        one.cursor().execute(INSERT, [1, GENESIS])
        with pytest.raises(psycopg2.Error):
            two.cursor().execute(INSERT, [1, GENESIS])


def test_the_entries_of_a_tenant_are_all_kept_or_none(ledger):
    with pytest.raises(Rejected, match="acme"):
        ledger.append({ACME: [fact(), fact(number=2**60)]})

    assert ledger.head(ACME) is None


def test_a_value_the_database_cannot_hold_is_rejected(ledger):
    with pytest.raises(Rejected):
        ledger.append({ACME: [NewEntry(kind="\x00", subject="", recorded_at=NOON, content={})]})


def test_many_threads_append_to_one_chain_without_a_gap(ledger):
    with ThreadPoolExecutor(8) as pool:
        jobs = [
            pool.submit(ledger.append, {ACME: [fact(n=n)] * 3, BETA: [fact(n=n)]})
            for n in range(40)
        ]
        for job in jobs:
            job.result()

    assert verify_chain(ledger.entries(ACME)) == 120
    assert verify_chain(ledger.entries(BETA)) == 40


def _append_some(settings: Settings, tenants: list[TenantId]) -> None:
    sessions = Sessions(settings)
    for number in range(15):
        SqlLedger(sessions).append({tenant: [fact(n=number)] * 2 for tenant in tenants})
    sessions.close()


@pytest.mark.slow
def test_many_processes_append_to_one_chain_without_a_gap(postgres, ledger):
    fresh = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(3, mp_context=fresh) as pool:
        orders = [[ACME, BETA], [BETA, ACME], [ACME]]
        for job in [pool.submit(_append_some, postgres.settings, order) for order in orders]:
            job.result()

    assert verify_chain(ledger.entries(ACME)) == 90
    assert verify_chain(ledger.entries(BETA)) == 60
