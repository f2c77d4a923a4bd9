"""Tasks in memory."""

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from qlrf_pipelines.domain.approval import DecisionKind, Extent, by_itself
from qlrf_pipelines.domain.errors import NotFound, Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.tasks import Amendment, Claim, Document, Record, Task, TaskState
from qlrf_pipelines.ports.tasks import Tasks
from tests.fakes.ledger import FakeLedger


class FakeTasks(Tasks):
    """Keeps records; a step is taken under one lock, with its evidence in `ledger`."""

    def __init__(self, ledger: FakeLedger | None = None) -> None:
        self.ledger = ledger or FakeLedger()
        self.kept: dict[tuple[TenantId, str], Record] = {}
        self.revisions: dict[tuple[TenantId, str], list[Document]] = {}
        self._stepped = threading.Condition(threading.RLock())

    def submit(self, tenant: TenantId, first: Amendment) -> Record:
        with self._stepped:
            for task in self.find(tenant, key=first.task.key):
                return self.get(tenant, task.id)
            return self._keep(tenant, None, first)

    def get(self, tenant: TenantId, task: str) -> Record:
        if (tenant, task) not in self.kept:
            raise NotFound(f"Tenant {tenant} has no task {task}.")
        return self.kept[tenant, task]

    def task(self, tenant: TenantId, task: str) -> Task:
        return self.get(tenant, task).task

    def find(self, tenant: TenantId, *, key: str = "", prefix: str = "") -> Sequence[Task]:
        found = [task for task in self._of(tenant) if not key or task.key == key]
        return sorted((t for t in found if t.id.startswith(prefix)), key=lambda t: t.id)[:10]

    def documents(self, tenant: TenantId, task: str) -> Sequence[Document]:
        return list(self.revisions.get((tenant, task), ()))

    def amend(
        self, tenant: TenantId, task: str, step: Callable[[Record], Amendment | None]
    ) -> Record:
        with self._stepped:
            before = self.get(tenant, task)
            taken = step(before)
            return before if taken is None else self._keep(tenant, before, taken)

    def _keep(self, tenant: TenantId, before: Record | None, taken: Amendment) -> Record:
        claims = before.claims if before else ()
        held = {(one.digest, one.stage) for one in claims}
        if any((one.digest, one.stage) in held for one in taken.claims):
            raise Refused(f"Task {taken.task.id} is claimed already.")
        if before is not None:
            _of_people(before, taken.claims)
        self.ledger.append({tenant: taken.entries})
        head = self.ledger.head(tenant)
        assert head is not None
        task = replace(
            taken.task, seq=head.seq, ready_seq=head.seq if taken.ready else taken.task.ready_seq
        )
        document = taken.document or (before.document if before else None)
        assert document is not None
        if taken.document is not None:
            self.revisions.setdefault((tenant, task.id), []).append(document)
        after = Record(
            task=task,
            document=document,
            decisions=(*(before.decisions if before else ()), *taken.decisions),
            claims=(*claims, *taken.claims),
        )
        self.kept[tenant, task.id] = after
        self._stepped.notify_all()
        return after

    def list(
        self,
        tenant: TenantId,
        *,
        states: Sequence[TaskState] = (),
        review_due: bool = False,
        before: str = "",
        limit: int = 100,
    ) -> Sequence[Task]:
        found = [
            task
            for task in self._of(tenant)
            if (not states or task.state in states)
            and (not review_due or task.review_due)
            and (not before or task.id < before)
        ]
        return sorted(found, key=lambda task: task.id, reverse=True)[:limit]

    def count(self, tenant: TenantId) -> Mapping[TaskState, int]:
        return Counter(task.state for task in self._of(tenant))

    def tenants(self) -> Mapping[TenantId, int]:
        names = sorted({tenant for tenant, _ in self.kept})
        return {name: max(task.seq for task in self._of(name)) for name in names}

    def approved_since(self, tenant: TenantId, *, cursor: int, limit: int) -> Sequence[Task]:
        ready = [
            (task.ready_seq, task)
            for task in self._of(tenant)
            if task.state is TaskState.APPROVED
            and task.ready_seq is not None
            and task.ready_seq > cursor
        ]
        return [task for _, task in sorted(ready, key=lambda pair: pair[0])][:limit]

    def due(self, tenant: TenantId, *, now: datetime, limit: int) -> Sequence[Task]:
        due = [(t.due_at, t) for t in self._of(tenant) if t.due_at is not None and t.due_at <= now]
        return [task for _, task in sorted(due, key=lambda pair: pair[0])][:limit]

    def wait(self, tenant: TenantId, task: str, *, after: int, seconds: float) -> bool:
        with self._stepped:
            return self._stepped.wait_for(
                lambda: self.get(tenant, task).task.seq > after, timeout=seconds
            )

    def wait_for_any(self) -> None:
        """Sleep until some task takes a step, for tests that act from another thread."""
        with self._stepped:
            self._stepped.wait_for(lambda: bool(self.kept), timeout=60)

    def _of(self, tenant: TenantId) -> Sequence[Task]:
        return [record.task for (owner, _), record in self.kept.items() if owner == tenant]


def _of_people(before: Record, claims: Sequence[Claim]) -> None:
    """What the database refuses, whoever asks: more than a canary without a person's word."""
    if before.task.requirement.unattended is not Extent.CANARY:
        return
    yes = (DecisionKind.APPROVE, DecisionKind.BREAK_GLASS)
    said = [d for d in before.current if d.kind in yes and not by_itself(d.by)]
    for one in claims:
        if one.extent is Extent.WHOLE and one.digest not in {d.digest for d in said}:
            raise Refused(f"nobody approved more of task {before.task.id} than its canary")
