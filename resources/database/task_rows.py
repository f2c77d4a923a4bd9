"""Tasks as rows and back."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from qlrf_pipelines.domain.approval import (
    Conditions,
    Decision,
    DecisionKind,
    Extent,
    Requirement,
)
from qlrf_pipelines.domain.canonical import canonical
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.task_facts import conditions_facts
from qlrf_pipelines.domain.tasks import Claim, Document, Launch, Task, TaskState, unattended_facts
from resources.database.ledger import number

Row = Mapping[str, Any]


def task_row(task: Task) -> dict[str, Any]:
    """A task as a row."""
    launch = task.launch
    return {
        "tenant": task.tenant,
        "id": task.id,
        "key": task.key,
        "kind": task.kind,
        "title": task.title,
        "state": task.state.value,
        "revision": task.revision,
        "digest": task.digest,
        "stage": task.stage,
        "requested_by": task.requested_by,
        "requested_at": task.requested_at,
        "requirement": _requirement_text(task.requirement),
        "launch": None if launch is None else _launch_text(launch),
        "changed_at": task.changed_at,
        "reminded": task.reminded,
        "review_due": task.review_due,
        "due_at": task.due_at,
        "seq": task.seq,
        "ready_seq": task.ready_seq,
    }


def task_of(row: Row) -> Task:
    """A row as a task."""
    return Task(
        tenant=TenantId(row["tenant"]),
        id=row["id"],
        key=row["key"],
        kind=row["kind"],
        title=row["title"],
        state=TaskState(row["state"]),
        revision=row["revision"],
        digest=row["digest"],
        stage=row["stage"],
        requested_by=row["requested_by"],
        requested_at=row["requested_at"].astimezone(UTC),
        requirement=_requirement(row["requirement"]),
        launch=None if row["launch"] is None else Launch(**json.loads(row["launch"])),
        changed_at=row["changed_at"].astimezone(UTC),
        reminded=row["reminded"],
        review_due=row["review_due"],
        due_at=_utc(row["due_at"]),
        seq=row["seq"],
        ready_seq=row["ready_seq"],
    )


def document_row(tenant: TenantId, task: str, document: Document) -> dict[str, Any]:
    """A revision as a row."""
    return {
        "tenant": tenant,
        "task": task,
        "revision": document.revision,
        "digest": document.digest,
        "content": canonical(dict(document.content)).decode(),
        "context": canonical(dict(document.context)).decode(),
        "made_by": document.made_by,
        "made_at": document.made_at,
    }


def document_of(row: Row) -> Document:
    """A row as a revision."""
    return Document(
        revision=row["revision"],
        digest=row["digest"],
        content=json.loads(row["content"], parse_int=number),
        context=json.loads(row["context"]),
        made_by=row["made_by"],
        made_at=row["made_at"].astimezone(UTC),
    )


def decision_row(tenant: TenantId, task: str, decision: Decision) -> dict[str, Any]:
    """A decision as a row."""
    return {
        "tenant": tenant,
        "task": task,
        "number": decision.number,
        "revision": decision.revision,
        "digest": decision.digest,
        "kind": decision.kind.value,
        "decided_by": decision.by,
        "role": decision.role.value,
        "decided_at": decision.at,
        "reason": decision.reason,
        "not_before": decision.conditions.not_before,
        "not_after": decision.conditions.not_after,
        "max_batch": decision.conditions.max_batch,
        "delegate": decision.delegate,
    }


def decision_of(row: Row) -> Decision:
    """A row as a decision."""
    return Decision(
        number=row["number"],
        revision=row["revision"],
        digest=row["digest"],
        kind=DecisionKind(row["kind"]),
        by=row["decided_by"],
        role=Role(row["role"]),
        at=row["decided_at"].astimezone(UTC),
        reason=row["reason"],
        conditions=Conditions(
            not_before=_utc(row["not_before"]),
            not_after=_utc(row["not_after"]),
            max_batch=row["max_batch"],
        ),
        delegate=row["delegate"],
    )


def claim_row(tenant: TenantId, task: str, claim: Claim) -> dict[str, Any]:
    """A claim as a row."""
    return {
        "tenant": tenant,
        "task": task,
        "digest": claim.digest,
        "stage": claim.stage,
        "holder": claim.holder,
        "claimed_at": claim.claimed_at,
        "extent": claim.extent.value,
    }


def claim_of(row: Row) -> Claim:
    """A row as a claim."""
    return Claim(
        digest=row["digest"],
        stage=row["stage"],
        holder=row["holder"],
        claimed_at=row["claimed_at"].astimezone(UTC),
        extent=Extent(row["extent"]),
    )


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)


def _requirement_text(need: Requirement) -> str:
    return json.dumps(
        {
            "expires_at": iso(need.expires_at),
            "quorum": need.quorum,
            "four_eyes": need.four_eyes,
            "role": need.role.value,
            "valid_for": need.valid_for.total_seconds(),
            "remind_every": need.remind_every.total_seconds(),
            "break_glass": need.break_glass,
            "limits": conditions_facts(need.limits),
            **unattended_facts(need),
        }
    )


def _requirement(text: str) -> Requirement:
    found = json.loads(text)
    return Requirement(
        expires_at=datetime.fromisoformat(found["expires_at"]),
        quorum=found["quorum"],
        four_eyes=found["four_eyes"],
        role=Role(found["role"]),
        valid_for=timedelta(seconds=found["valid_for"]),
        remind_every=timedelta(seconds=found["remind_every"]),
        break_glass=found["break_glass"],
        limits=_limits(found.get("limits") or {}),
        unattended=_unattended(found.get("unattended", False)),
    )


def _unattended(found: bool | str) -> Extent | None:
    """Rows kept before a canary could go alone say only whether all of it may."""
    if isinstance(found, str):
        return Extent(found)
    return Extent.WHOLE if found else None


def _limits(found: Mapping[str, Any]) -> Conditions:
    """Rows kept before there were any limits have none."""
    opens, closes = (found.get(name) for name in ("not_before", "not_after"))
    return Conditions(
        not_before=datetime.fromisoformat(opens) if opens else None,
        not_after=datetime.fromisoformat(closes) if closes else None,
        max_batch=found.get("max_batch"),
    )


def _launch_text(launch: Launch) -> str:
    try:
        return json.dumps(
            {
                "job": launch.job,
                "config": dict(launch.config),
                "tags": dict(launch.tags),
                "parent_run": launch.parent_run,
                "root_run": launch.root_run,
            }
        )
    except TypeError as error:
        raise Rejected(
            f"The configuration of job {launch.job} is not JSON: {error}; the run that goes on "
            "after the approval could not be started with it."
        ) from error
