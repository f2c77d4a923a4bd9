"""What was decided stays decided, and the database itself refuses to run what nobody approved."""

import psycopg2
import pytest

from resources.database import cluster, roles
from resources.database.sessions import Sessions
from resources.database.tasks import SqlTasks
from tests.fakes.approvals import ACME, begun, first

EVERYBODY = pytest.mark.parametrize("role", [roles.APP, roles.OWNER, cluster.SUPERUSER])
KEPT = pytest.mark.parametrize("table", ["task_document", "task_decision", "task_claim"])


@pytest.fixture
def tasks(postgres):
    sessions = Sessions(postgres.settings)
    kept = SqlTasks(sessions)
    begun(kept, ACME)
    yield kept
    sessions.close()


@EVERYBODY
@KEPT
@pytest.mark.parametrize("statement", ["UPDATE {} SET task = 'x'", "DELETE FROM {}", "TRUNCATE {}"])
def test_nobody_changes_what_was_said(postgres, tasks, role, table, statement):
    with postgres.connected(role) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT set_config('qlrf.tenant', 'acme', true)")
        with pytest.raises(psycopg2.Error, match=r"append-only|permission denied"):
            cursor.execute(statement.format(table))

    assert len(tasks.get(ACME, "t-1").decisions) == 1


CLAIM = "INSERT INTO task_claim VALUES ('acme', %s, %s, 'again', 'thief', now())"


@EVERYBODY
@pytest.mark.parametrize(("task", "digest"), [("t-1", "f" * 64), ("nobody", None), ("t-2", None)])
def test_a_claim_of_what_was_not_approved_is_refused(postgres, tasks, role, task, digest):
    tasks.submit(ACME, first("t-2"))
    mine = digest or tasks.get(ACME, "t-2").task.digest

    with postgres.connected(role) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT set_config('qlrf.tenant', 'acme', true)")
        with pytest.raises(psycopg2.Error, match="is not approved"):
            cursor.execute(CLAIM, [task, mine])


def test_one_stage_of_one_digest_is_claimed_once(postgres, tasks):
    digest = tasks.get(ACME, "t-1").task.digest

    with postgres.connected() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT set_config('qlrf.tenant', 'acme', true)")
        with pytest.raises(psycopg2.errors.UniqueViolation):
            cursor.execute(CLAIM.replace("'again'", "'execute'"), ["t-1", digest])


def test_a_name_of_a_tenant_is_all_the_registry_tells(postgres, tasks):
    with postgres.connected() as connection, connection.cursor() as cursor:
        cursor.execute("SELECT * FROM task_registry")
        assert [column.name for column in cursor.description] == ["name", "seq"]
        assert cursor.fetchall() == [("acme", 3)]
