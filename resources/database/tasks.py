"""Tasks in Postgres: one row lock per step, and the step's evidence in the same transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.tasks import Amendment, Document, Record, Task, TaskState
from qlrf_pipelines.ports.tasks import Tasks
from resources.database import task_rows
from resources.database.ledger import extend
from resources.database.sessions import Sessions, enter_tenant
from resources.database.tables import (
    TASK,
    TASK_CLAIM,
    TASK_DECISION,
    TASK_DOCUMENT,
    TASK_REGISTRY,
)
from resources.database.waiting import channel, tell, wait_until

_MINE = TASK.c.tenant == sa.bindparam("of_tenant")
_ONE = sa.select(TASK).where(_MINE, TASK.c.id == sa.bindparam("of_task"))
_KEYED = sa.select(TASK).where(_MINE, TASK.c.key == sa.bindparam("of_key"))
_READY = (
    sa.select(TASK)
    .where(
        _MINE,
        TASK.c.state == sa.literal_column("'approved'"),
        TASK.c.ready_seq > sa.bindparam("after"),
    )
    .order_by(TASK.c.ready_seq)
)
_DUE = sa.select(TASK).where(_MINE, TASK.c.due_at <= sa.bindparam("moment")).order_by(TASK.c.due_at)
_REGISTER = insert(TASK_REGISTRY)
_REGISTER = _REGISTER.on_conflict_do_update(
    index_elements=[TASK_REGISTRY.c.name], set_={"seq": _REGISTER.excluded.seq}
)


class SqlTasks(Tasks):
    """Rows are the truth; a session that waits is told by the database, and asks nothing."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def submit(self, tenant: TenantId, first: Amendment) -> Record:
        """Keep a new task; of two with one key, the first is kept."""

        def work(connection: sa.Connection) -> Record:
            enter_tenant(connection, tenant)
            row = task_rows.task_row(first.task)
            made = connection.execute(
                insert(TASK)
                .values(row)
                .on_conflict_do_nothing(index_elements=[TASK.c.tenant, TASK.c.key])
                .returning(TASK.c.id)
            ).first()
            if made is not None:
                return _keep(connection, tenant, first)
            parameters = {"of_tenant": tenant, "of_key": first.task.key}
            found = connection.execute(_KEYED, parameters).one()
            return _record(connection, tenant, task_rows.task_of(found._asdict()))

        return self._sessions.repeat(work)

    def get(self, tenant: TenantId, task: str) -> Record:
        """A task with its newest document and all decisions and claims."""

        def work(connection: sa.Connection) -> Record:
            enter_tenant(connection, tenant)
            return _record(connection, tenant, _one(connection, tenant, task, _ONE))

        return self._sessions.read(work)

    def task(self, tenant: TenantId, task: str) -> Task:
        """A task alone."""

        def work(connection: sa.Connection) -> Task:
            enter_tenant(connection, tenant)
            return _one(connection, tenant, task, _ONE)

        return self._sessions.read(work)

    def find(self, tenant: TenantId, *, key: str = "", prefix: str = "") -> Sequence[Task]:
        """The tasks with this key, or whose id begins with `prefix`, at most ten."""
        query = sa.select(TASK).where(_MINE).order_by(TASK.c.id).limit(10)
        query = query.where(TASK.c.key == key) if key else query
        query = query.where(TASK.c.id.startswith(prefix, autoescape=True)) if prefix else query
        return self._tasks(tenant, query)

    def documents(self, tenant: TenantId, task: str) -> Sequence[Document]:
        """Every revision of a task's document, oldest first."""

        def work(connection: sa.Connection) -> list[Document]:
            enter_tenant(connection, tenant)
            rows = connection.execute(_of(TASK_DOCUMENT, tenant, task, "revision"))
            return [task_rows.document_of(row._asdict()) for row in rows]

        return self._sessions.read(work)

    def amend(
        self, tenant: TenantId, task: str, step: Callable[[Record], Amendment | None]
    ) -> Record:
        """Take one step under the row's lock.

        If the answer to the commit was lost, the step looks at the past again: what it kept is
        then part of that past.
        """

        def work(connection: sa.Connection) -> Record:
            enter_tenant(connection, tenant)
            locked = _one(connection, tenant, task, _ONE.with_for_update())
            record = _record(connection, tenant, locked)
            taken = step(record)
            return record if taken is None else _keep(connection, tenant, taken)

        return self._sessions.repeat(work)

    def list(
        self,
        tenant: TenantId,
        *,
        states: Sequence[TaskState] = (),
        review_due: bool = False,
        before: str = "",
        limit: int = 100,
    ) -> Sequence[Task]:
        """Tasks, newest first."""
        query = sa.select(TASK).where(_MINE).order_by(TASK.c.id.desc()).limit(limit)
        if states:
            query = query.where(TASK.c.state.in_([state.value for state in states]))
        if review_due:
            query = query.where(TASK.c.review_due)
        if before:
            query = query.where(TASK.c.id < before)
        return self._tasks(tenant, query)

    def count(self, tenant: TenantId) -> Mapping[TaskState, int]:
        """How many tasks there are in each state."""

        def work(connection: sa.Connection) -> dict[TaskState, int]:
            enter_tenant(connection, tenant)
            counted = sa.select(TASK.c.state, sa.func.count()).where(_MINE).group_by(TASK.c.state)
            rows = connection.execute(counted, {"of_tenant": tenant}).all()
            return {TaskState(str(row[0])): int(row[1]) for row in rows}

        return self._sessions.read(work)

    def tenants(self) -> Mapping[TenantId, int]:
        """Every tenant that ever had a task: names and numbers, of no table behind a policy."""

        def work(connection: sa.Connection) -> dict[TenantId, int]:
            rows = connection.execute(sa.select(TASK_REGISTRY).order_by(TASK_REGISTRY.c.name))
            return {TenantId(row.name): row.seq for row in rows}

        return self._sessions.read(work)

    def approved_since(self, tenant: TenantId, *, cursor: int, limit: int) -> Sequence[Task]:
        """Approved tasks that became ready after step `cursor`, in that order."""
        return self._tasks(tenant, _READY.limit(limit), after=cursor)

    def due(self, tenant: TenantId, *, now: datetime, limit: int) -> Sequence[Task]:
        """Tasks the clock has something to do with."""
        return self._tasks(tenant, _DUE.limit(limit), moment=now)

    def wait(self, tenant: TenantId, task: str, *, after: int, seconds: float) -> bool:
        """Sleep until the task took a step after number `after`, through restarts of the server."""
        return wait_until(
            self._sessions,
            _channel(tenant, task),
            lambda: self.get(tenant, task).task.seq > after,
            seconds=seconds,
        )

    def _tasks(
        self,
        tenant: TenantId,
        query: "sa.Select[Any]",
        **parameters: Any,  # noqa: ANN401
    ) -> Sequence[Task]:
        def work(connection: sa.Connection) -> Sequence[Task]:
            enter_tenant(connection, tenant)
            rows = connection.execute(query, {"of_tenant": tenant, **parameters})
            return [task_rows.task_of(row._asdict()) for row in rows]

        return self._sessions.read(work)


def _one(connection: sa.Connection, tenant: TenantId, task: str, query: "sa.Select[Any]") -> Task:
    row = connection.execute(query, {"of_tenant": tenant, "of_task": task}).first()
    if row is None:
        raise NotFound(f"Tenant {tenant} has no task {task}.")
    return task_rows.task_of(row._asdict())


def _of(table: sa.Table, tenant: TenantId, task: str, order: str) -> "sa.Select[Any]":
    mine = (table.c.tenant == tenant, table.c.task == task)
    return sa.select(table).where(*mine).order_by(table.c[order])


def _record(connection: sa.Connection, tenant: TenantId, task: Task) -> Record:
    newest = _of(TASK_DOCUMENT, tenant, task.id, "revision").where(
        TASK_DOCUMENT.c.revision == task.revision
    )
    decisions = connection.execute(_of(TASK_DECISION, tenant, task.id, "number")).all()
    claims = connection.execute(_of(TASK_CLAIM, tenant, task.id, "claimed_at")).all()
    return Record(
        task=task,
        document=task_rows.document_of(connection.execute(newest).one()._asdict()),
        decisions=tuple(task_rows.decision_of(row._asdict()) for row in decisions),
        claims=tuple(task_rows.claim_of(row._asdict()) for row in claims),
    )


def _keep(connection: sa.Connection, tenant: TenantId, taken: Amendment) -> Record:
    identity = (tenant, taken.task.id)
    if taken.document is not None:
        row = task_rows.document_row(*identity, taken.document)
        connection.execute(sa.insert(TASK_DOCUMENT), row)
    for decision in taken.decisions:
        connection.execute(sa.insert(TASK_DECISION), task_rows.decision_row(*identity, decision))
    for claim in taken.claims:
        # Before the task's own row changes: the database compares the claim with it.
        connection.execute(sa.insert(TASK_CLAIM), task_rows.claim_row(*identity, claim))
    seq = extend(connection, tenant, taken.entries).seq
    task = replace(taken.task, seq=seq, ready_seq=seq if taken.ready else taken.task.ready_seq)
    changed = {k: v for k, v in task_rows.task_row(task).items() if k not in ("tenant", "id")}
    connection.execute(
        sa.update(TASK).where(TASK.c.tenant == tenant, TASK.c.id == task.id).values(changed)
    )
    connection.execute(_REGISTER, {"name": tenant, "seq": seq})
    tell(connection, _channel(tenant, task.id))
    return _record(connection, tenant, task)


def _channel(tenant: TenantId, task: str) -> str:
    return channel("task", tenant, task)
