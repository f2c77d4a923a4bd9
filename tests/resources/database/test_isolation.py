"""One tenant's rows are out of every other tenant's reach, by ports and by SQL."""

from datetime import UTC, datetime

import psycopg2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg2 import errorcodes

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import NewEntry, verify_chain
from qlrf_pipelines.domain.rollout import AssetRow, Change, Rollout, RolloutState
from qlrf_pipelines.ports.acceptances import Acceptance
from resources.database import roles
from resources.database.acceptances import SqlAcceptances
from resources.database.drills import SqlDrills
from resources.database.ledger import SqlLedger
from resources.database.outbox import SqlOutbox
from resources.database.rollouts import SqlRollouts
from resources.database.sessions import Sessions
from resources.database.tasks import SqlTasks
from tests.fakes.approvals import begun
from tests.fakes.drilled import drilled
from tests.fakes.messages import note

NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
TENANTS = st.sampled_from(
    [TenantId(name) for name in ("acme", "acme-eu", "acm", "beta", "%", "a'b", 'a"b', "ACME")]
)
OPERATIONS = st.lists(
    st.tuples(st.sampled_from(["append", "accept"]), TENANTS, st.integers(1, 3)), max_size=12
)
PER_TEST_DATABASE = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TABLES = pytest.mark.parametrize("table", roles.TENANT_TABLES)


@pytest.fixture
def sessions(postgres):
    opened = Sessions(postgres.settings)
    yield opened
    opened.close()


def fact(tenant: str) -> NewEntry:
    return NewEntry(kind="control", subject=tenant, recorded_at=NOON, content={"of": tenant})


def word(tenant: str, number: int) -> Acceptance:
    return Acceptance(
        scope_id=f"scope-{number}", accepted_at=NOON, accepted_by=tenant, reason="gone"
    )


def roll(sessions: Sessions, tenant: TenantId) -> None:
    """A rollout of the task that was begun, with an asset and its lock."""
    task = SqlTasks(sessions).get(tenant, "t-1").task
    rollout = Rollout(
        tenant=tenant,
        id=task.id,
        digest=task.digest,
        environment="staging",
        state=RolloutState.RUNNING,
        total=1,
        started_at=NOON,
        changed_at=NOON,
    )
    row = AssetRow(asset="aws:1:r:i-1", order=0, phase=0, batch=0)
    SqlRollouts(sessions).open(tenant, Change(rollout=rollout, rows=(row,), locks=(row.asset,)))


@PER_TEST_DATABASE
@given(operations=OPERATIONS)
def test_every_tenant_sees_exactly_what_was_written_for_it(sessions, operations):
    ledger, acceptances = SqlLedger(sessions), SqlAcceptances(sessions)
    for verb, tenant, number in operations:
        if verb == "append":
            ledger.append({tenant: [fact(tenant)] * number})
        else:
            acceptances.accept(tenant, word(tenant, number))

    for tenant in {tenant for _, tenant, _ in operations}:
        assert {entry.content["of"] for entry in ledger.entries(tenant)} <= {tenant}
        assert verify_chain(ledger.entries(tenant)) == len(list(ledger.entries(tenant)))
        found = acceptances.of([tenant])
        assert {kept.accepted_by for kept in found.values()} <= {tenant}
        assert {owner for owner, _ in found} <= {tenant}


@PER_TEST_DATABASE
@given(mine=TENANTS, theirs=TENANTS)
def test_no_statement_of_one_tenant_reaches_anothers_rows(postgres, sessions, mine, theirs):
    SqlAcceptances(sessions).accept(theirs, word(theirs, 1))
    SqlLedger(sessions).append({theirs: [fact(theirs)]})
    begun(SqlTasks(sessions), theirs)
    roll(sessions, theirs)
    drilled(SqlDrills(sessions), theirs)
    SqlOutbox(sessions).add(theirs, [note()])
    reached = 0 if mine != theirs else 1

    with postgres.connected() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT set_config('qlrf.tenant', %s, true)", [mine])
        for table in roles.TENANT_TABLES:
            cursor.execute(f"SELECT count(*) FROM {table} WHERE tenant = %s", [theirs])
            assert min(cursor.fetchone()[0], 1) == reached
        cursor.execute("UPDATE scope_acceptances SET reason = 'x' WHERE tenant = %s", [theirs])
        assert min(cursor.rowcount, 1) == reached


@TABLES
def test_a_connection_without_a_tenant_sees_nothing(postgres, sessions, table):
    SqlAcceptances(sessions).accept(TenantId("acme"), word("acme", 1))
    SqlLedger(sessions).append({TenantId("acme"): [fact("acme")]})

    with postgres.connected() as connection, connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM {table}")
        assert cursor.fetchone() == (0,)
        # After a transaction that set it, the setting is '' and not NULL: still nothing.
        cursor.execute("SELECT set_config('qlrf.tenant', 'acme', true)")
        connection.commit()
        cursor.execute(f"SELECT count(*) FROM {table}")
        assert cursor.fetchone() == (0,)


def test_the_owner_of_the_tables_is_held_to_the_policies_too(postgres, sessions):
    SqlLedger(sessions).append({TenantId("acme"): [fact("acme")]})

    with postgres.connected(roles.OWNER) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM evidence")
        assert cursor.fetchone() == (0,)


FOREIGN_ROWS = {
    "evidence": "INSERT INTO evidence VALUES ('beta', 1, 'k', 's', now(), '{}', "
    "repeat('0', 64), repeat('1', 64))",
    "scope_acceptances": "INSERT INTO scope_acceptances VALUES ('beta', 's', now(), 'me', 'why')",
    "task": "INSERT INTO task VALUES ('beta', 'i', 'k', 'k', 't', 'approved', 1, repeat('0', 64), "
    "'s', 'me', now(), '{}', NULL, now(), 0, false, NULL, 1, 1)",
    "task_document": "INSERT INTO task_document VALUES ('beta', 'i', 1, repeat('0', 64), '{}', "
    "'{}', 'me', now())",
    "task_decision": "INSERT INTO task_decision VALUES ('beta', 'i', 1, 1, repeat('0', 64), "
    "'approve', 'me', 'admin', now(), '', NULL, NULL, NULL, '')",
    "task_claim": "INSERT INTO task_claim VALUES ('beta', 'i', repeat('0', 64), 's', 'me', now())",
    "rollout": "INSERT INTO rollout VALUES ('beta', 'i', repeat('0', 64), 'staging', 'running', 1, "
    "now(), now(), 0, 0, '', '', NULL, NULL, -1, NULL, NULL, NULL, 1, '')",
    "rollout_asset": "INSERT INTO rollout_asset VALUES ('beta', 'i', 'a', 0, 0, 0, 'waiting', 0, "
    "0, false, '{}', '{}', '', '', NULL, NULL, NULL)",
    "rollout_lock": "INSERT INTO rollout_lock VALUES ('beta', 'a', 'i')",
    "drill": "INSERT INTO drill VALUES ('beta', 'd', 'p', 'a', 'full', 'validation', '{}', "
    "repeat('0', 64), 'me', now(), now(), '[]', '', 0, '', '', '', NULL, NULL, 1)",
    "drill_event": "INSERT INTO drill_event VALUES ('beta', 'd', 1, 'validation', 'opened', now(), "
    "1, 'b', 0, '{}')",
    "drill_move": "INSERT INTO drill_move VALUES ('beta', 'd', repeat('0', 64), 'm', 'isolate', "
    "false, 'planned', '', '{}')",
    "drill_answer": "INSERT INTO drill_answer (tenant, drill, phase, probe, health, why, at, "
    "ticks, boot) VALUES ('beta', 'd', 'failover', 'p', 'healthy', '', now(), 1, 'b')",
    "drill_write": "INSERT INTO drill_write VALUES ('beta', 'd', 'm', 1, 'attempted', now(), 1, "
    "'b')",
    "notification": "INSERT INTO notification (tenant, key, channel, target, message, queued_at, "
    "due_at, give_up_at, state, attempts, said) VALUES ('beta', 'k', 'slack', '#ops', '{}', "
    "now(), now(), now(), 'waiting', 0, '')",
}


@TABLES
@pytest.mark.parametrize("tenant", ["acme", ""])
def test_a_row_of_another_tenant_cannot_be_written(postgres, table, tenant):
    with postgres.connected() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT set_config('qlrf.tenant', %s, true)", [tenant])
        with pytest.raises(psycopg2.Error) as refused:
            cursor.execute(FOREIGN_ROWS[table])

    assert refused.value.pgcode == errorcodes.INSUFFICIENT_PRIVILEGE


def test_a_row_cannot_be_moved_to_another_tenant(postgres, sessions):
    SqlAcceptances(sessions).accept(TenantId("acme"), word("acme", 1))

    with postgres.connected() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT set_config('qlrf.tenant', 'acme', true)")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute("UPDATE scope_acceptances SET tenant = 'beta'")


FORBIDDEN = [
    "ALTER TABLE {table} DISABLE ROW LEVEL SECURITY",
    "ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
    "ALTER TABLE {table} DISABLE TRIGGER ALL",
    "ALTER TABLE {table} OWNER TO qlrf_app",
    "DROP POLICY one_tenant ON {table}",
    "CREATE POLICY all_tenants ON {table} USING (true)",
    "DROP TABLE {table}",
    "TRUNCATE {table}",
    "DELETE FROM {table}",
    "SET ROLE qlrf_owner",
    "SET ROLE postgres",
    "SET SESSION AUTHORIZATION postgres",
    "SET session_replication_role = replica",
    "CREATE TABLE public.mine (a int)",
    "CREATE TEMPORARY TABLE evidence (a int)",
    "UPDATE evidence SET kind = 'x'",
    "UPDATE alembic_version SET version_num = 'x'",
    "COPY (SELECT 1) TO PROGRAM 'true'",
    "SELECT pg_read_file('/etc/passwd')",
]


@TABLES
@pytest.mark.parametrize("statement", FORBIDDEN)
def test_the_application_may_not_change_who_may_see_what(postgres, table, statement):
    with (
        postgres.connected() as connection,
        connection.cursor() as cursor,
        pytest.raises(psycopg2.Error) as refused,
    ):
        cursor.execute(statement.format(table=table))

    assert refused.value.pgcode == errorcodes.INSUFFICIENT_PRIVILEGE


@TABLES
def test_row_security_cannot_be_switched_off_to_see_more(postgres, sessions, table):
    SqlLedger(sessions).append({TenantId("acme"): [fact("acme")]})

    with postgres.connected() as connection, connection.cursor() as cursor:
        cursor.execute("SET row_security = off")
        with pytest.raises(psycopg2.errors.InsufficientPrivilege):
            cursor.execute(f"SELECT * FROM {table}")


def test_every_table_with_a_tenant_is_protected_and_looked_at_when_opening(postgres):
    with postgres.connected(roles.OWNER) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT c.relname, c.relrowsecurity AND c.relforcerowsecurity FROM pg_class c "
            "JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'tenant' "
            "WHERE c.relkind IN ('r', 'p') AND c.relnamespace = 'public'::regnamespace"
        )
        found = dict(cursor.fetchall())

    assert set(found) == set(roles.TENANT_TABLES)
    assert all(found.values())
