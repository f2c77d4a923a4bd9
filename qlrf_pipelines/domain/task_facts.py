"""What the evidence ledger keeps of a task's steps."""

from datetime import datetime
from typing import Any

from qlrf_pipelines.domain.approval import NO_CONDITIONS, Conditions, Decision
from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.tasks import Document, Task, unattended_facts


def entry(task: Task, step: str, now: datetime, **facts: Any) -> NewEntry:  # noqa: ANN401
    """One step as evidence: of which task, revision and digest, and what came of it."""
    return NewEntry(
        kind=f"approval_{step}",
        subject=task.id,
        recorded_at=now,
        content={
            "kind": task.kind,
            "state": task.state.value,
            "revision": task.revision,
            "digest": task.digest,
            **facts,
        },
    )


def asked_facts(task: Task, document: Document) -> dict[str, Any]:
    """What is asked for, of whom and until when."""
    need = task.requirement
    return {
        "requested_by": task.requested_by,
        "made_by": document.made_by,
        "context": dict(document.context),
        "quorum": need.quorum,
        "role": need.role.value,
        "four_eyes": need.four_eyes,
        "expires_at": iso(need.expires_at),
        **unattended_facts(need),
        **({"limits": conditions_facts(need.limits)} if need.limits != NO_CONDITIONS else {}),
    }


def facts_of(decision: Decision) -> dict[str, Any]:
    """A decision as evidence keeps it."""
    limits = decision.conditions
    facts: dict[str, Any] = {
        "by": decision.by,
        "role": decision.role.value,
        "reason": decision.reason,
        "decided_revision": decision.revision,
    }
    if decision.delegate:
        facts["delegate"] = decision.delegate
    if limits != NO_CONDITIONS:
        facts["conditions"] = conditions_facts(limits)
    return facts


def conditions_facts(limits: Conditions) -> dict[str, str | int | None]:
    """Conditions as JSON."""
    return {
        "not_before": iso(limits.not_before) if limits.not_before else None,
        "not_after": iso(limits.not_after) if limits.not_after else None,
        "max_batch": limits.max_batch,
    }
