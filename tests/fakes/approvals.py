"""Requests and decisions with everything a test does not care about filled in."""

from datetime import timedelta
from typing import Any

from qlrf_pipelines.domain import task_steps
from qlrf_pipelines.domain.approval import Decision, DecisionKind, Requirement
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import (
    Amendment,
    Claim,
    Document,
    Record,
    Task,
    TaskState,
    task_digest,
)
from qlrf_pipelines.ports.tasks import Tasks
from tests.fakes.clock import NOON

ACME, BETA = TenantId("acme"), TenantId("beta")
DIGEST = "d" * 64


def need(**parts: Any) -> Requirement:
    """One engineer within a day, never the requester."""
    return Requirement(**({"expires_at": NOON + timedelta(hours=24)} | parts))


def said(
    kind: str, by: str = "ann", *, number: int = 1, hours: float = 1, **parts: Any
) -> Decision:
    """A word of an engineer, an hour after noon."""
    given: dict[str, Any] = {
        "number": number,
        "revision": 1,
        "digest": DIGEST,
        "kind": DecisionKind(kind),
        "by": by,
        "role": Role.ENGINEER,
        "at": NOON + timedelta(hours=hours),
        "reason": "because it is so",
    }
    return Decision(**(given | parts))


def first(own: str = "t-1", *, tenant: TenantId = ACME, **parts: Any) -> Amendment:
    """A task as it is first kept: rita asks for two machines to be restarted."""
    requirement = parts.pop("requirement", need())
    content = parts.pop("content", {"restart": ["i-1", "i-2"]})
    digest = task_digest(content, {}, requirement)
    given: dict[str, Any] = {
        "tenant": tenant,
        "id": own,
        "key": own,
        "kind": "restart",
        "title": "Restart two machines",
        "state": TaskState.CREATED,
        "revision": 1,
        "digest": digest,
        "stage": "execute",
        "requested_by": "rita",
        "requested_at": NOON,
        "requirement": requirement,
        "launch": None,
        "changed_at": NOON,
    }
    document = Document(
        revision=1, digest=digest, content=content, context={}, made_by="rita", made_at=NOON
    )
    return task_steps.opened(Task(**(given | parts)), document)


def decide(
    tasks: Tasks, own: str = "t-1", kind: str = "approve", *, tenant: TenantId = ACME, **parts: Any
) -> Record:
    """Somebody says something about what the task is about now."""

    def step(record: Record) -> Amendment:
        given = {
            "number": len(record.decisions) + 1,
            "revision": record.task.revision,
            "digest": record.task.digest,
        }
        return task_steps.decided(record, said(kind, **(given | parts)))

    return tasks.amend(tenant, own, step)


def take(
    tasks: Tasks,
    holder: str = "run-1",
    stage: str = "execute",
    own: str = "t-1",
    *,
    tenant: TenantId = ACME,
) -> Record:
    """A run claims a stage, if no other one has."""

    def step(record: Record) -> Amendment | None:
        at = NOON + timedelta(hours=2)
        mine = Claim(digest=record.task.digest, stage=stage, holder=holder, claimed_at=at)
        came = task_steps.claimed(record, mine)
        return came if isinstance(came, Amendment) else None

    return tasks.amend(tenant, own, step)


def begun(tasks: Tasks, tenant: TenantId) -> None:
    """A tenant with a row in every table of tasks."""
    if not tasks.submit(tenant, first(tenant=tenant)).claims:
        decide(tasks, tenant=tenant)
        take(tasks, tenant=tenant)
