"""The steps of a task, each a pure function from what is kept to what to keep next.

They run under the task's lock, so two of them never look at the same past. A moment is never
earlier than the task's last one: a clock that runs behind cannot bring an approval back.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from qlrf_pipelines.domain.approval import (
    AUTONOMY,
    NO_CONDITIONS,
    Approved,
    ChangesRequested,
    Conditions,
    Decision,
    DecisionKind,
    Expired,
    Pending,
    Revoked,
    Standing,
    by_itself,
    review_due,
    standing,
    why_not,
)
from qlrf_pipelines.domain.approval import Rejected as RejectedStanding
from qlrf_pipelines.domain.errors import Refused, Rejected
from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import (
    Amendment,
    Claim,
    Document,
    Record,
    Task,
    TaskEvent,
    TaskState,
    advance,
)

_EVENT_OF: Mapping[type[Standing], TaskEvent] = {
    Approved: TaskEvent.APPROVED,
    RejectedStanding: TaskEvent.REJECTED,
    ChangesRequested: TaskEvent.CHANGES_REQUESTED,
    Revoked: TaskEvent.REVOKED,
}
_ALLOWED_IN: Mapping[DecisionKind, tuple[TaskState, ...]] = {
    DecisionKind.APPROVE: (TaskState.AWAITING_APPROVAL,),
    DecisionKind.BREAK_GLASS: (TaskState.AWAITING_APPROVAL,),
    DecisionKind.REJECT: (TaskState.AWAITING_APPROVAL,),
    DecisionKind.DELEGATE: (TaskState.AWAITING_APPROVAL,),
    DecisionKind.REQUEST_CHANGES: (TaskState.AWAITING_APPROVAL, TaskState.APPROVED),
    DecisionKind.REVOKE: (TaskState.APPROVED,),
}
_NEEDS_REASON = frozenset(DecisionKind) - {DecisionKind.APPROVE, DecisionKind.DELEGATE}


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


def moment(record: Record, now: datetime) -> datetime:
    """Now, but never before the task's last step."""
    return max(now, record.task.changed_at)


def standing_of(record: Record, *, now: datetime) -> Standing:
    """What the decisions about the newest revision come to."""
    return standing(
        record.task.requirement,
        record.current,
        digest=record.task.digest,
        requester=record.task.requested_by,
        now=moment(record, now),
    )


def opened(task: Task, document: Document) -> Amendment:
    """A task is asked for: created, planned and waiting, in one step.

    Raises:
        Rejected: the platform is to approve a document that asks for people.
    """
    _fits(task, document)
    state = advance(TaskState.CREATED, TaskEvent.PLANNED)
    state = advance(state, TaskEvent.REQUESTED)
    asked = replace(task, state=state, due_at=_next_look(task, task.requested_at))
    facts = _asked(asked, document)
    return Amendment(
        task=asked,
        document=document,
        entries=(entry(asked, "requested", task.requested_at, title=task.title, **facts),),
    )


def _fits(task: Task, document: Document) -> None:
    """An absent word about approvals asks for people."""
    if task.requirement.unattended and mode_alone(document) is None:
        raise Rejected(
            f"Task {task.id} is to go by itself, and its document asks for people's approval."
        )


def mode_alone(document: Document) -> str | None:
    """The autonomy mode a document goes under by itself; None if it asks for people."""
    approvals, autonomy = (document.content.get(name) for name in ("approvals", "autonomy"))
    if not isinstance(approvals, Mapping) or not isinstance(autonomy, Mapping):
        return None
    mode = autonomy.get("mode")
    return mode if approvals.get("required") is False and isinstance(mode, str) else None


def _asked(task: Task, document: Document) -> dict[str, Any]:
    need = task.requirement
    return {
        "requested_by": task.requested_by,
        "made_by": document.made_by,
        "context": dict(document.context),
        "quorum": need.quorum,
        "role": need.role.value,
        "four_eyes": need.four_eyes,
        "expires_at": iso(need.expires_at),
        **({"unattended": True} if need.unattended else {}),
        **({"limits": conditions_facts(need.limits)} if need.limits != NO_CONDITIONS else {}),
    }


def revised(record: Record, *, document: Document, task: Task, now: datetime) -> Amendment:
    """Another document takes the place of the last; what was decided about that one is over.

    Raises:
        Refused: the task has started or ended.
        Rejected: the platform is to approve a document that asks for people.
    """
    _fits(task, document)
    state = advance(record.task.state, TaskEvent.REVISED, task=record.task.id)
    state = advance(state, TaskEvent.REQUESTED)
    fresh = replace(
        task,
        state=state,
        revision=document.revision,
        digest=document.digest,
        changed_at=now,
        ready_seq=None,
        due_at=_next_look(task, now),
    )
    facts = _asked(fresh, document) | {"replaces": record.task.digest}
    return Amendment(
        task=fresh, document=document, entries=(entry(fresh, "revised", now, **facts),)
    )


def decided(record: Record, decision: Decision) -> Amendment:
    """Somebody decides.

    Raises:
        Refused: they may not, or the task is in no state for it, or they saw another digest.
        Rejected: a reason is missing, or the conditions can never be met.
    """
    task = record.task
    _worded(decision)
    if decision.digest != task.digest:
        raise Refused(
            f"Task {task.id} is now about digest {task.digest[:12]}, not {decision.digest[:12]}: "
            f"look at it again with `qlrf tasks show {task.id} --tenant {task.tenant}`."
        )
    if decision.kind is DecisionKind.REVIEW:
        return _reviewed(record, decision)
    if task.state not in _ALLOWED_IN[decision.kind]:
        raise Refused(f"Task {task.id} is {task.state}; {_instead(task.state, decision.kind)}.")
    if isinstance(standing_of(record, now=decision.at), Expired):
        raise Refused(f"Task {task.id} has expired; submit it again.")
    mode = mode_alone(record.document)
    if by_itself(decision.by) and (mode is None or decision.by != f"{AUTONOMY}{mode}"):
        raise Refused(f"Task {task.id} does not go by itself, and {decision.by} is nobody.")
    said = why_not(task.requirement, decision, task.requested_by, record.current)
    if said:
        raise Refused(f"Task {task.id} cannot be decided so: {said}.")
    after = replace(record, decisions=(*record.decisions, decision))
    return _settled(after, decision)


def _worded(decision: Decision) -> None:
    if decision.kind in _NEEDS_REASON and not decision.reason.strip():
        raise Rejected(f"{decision.kind} needs a reason; give one with --reason.")
    if decision.kind is DecisionKind.BREAK_GLASS and len(decision.reason.strip()) < 10:
        raise Rejected("Breaking the glass needs a reason somebody can review, not a word.")
    if not decision.conditions.possible:
        raise Rejected("No moment or batch can meet these conditions; look at them again.")
    ends = decision.conditions.not_after
    if ends is not None and ends <= decision.at:
        raise Rejected("The window of this approval is over already.")


def _instead(state: TaskState, kind: DecisionKind) -> str:
    if kind is DecisionKind.REVOKE and state is TaskState.AWAITING_APPROVAL:
        return "there is no approval to revoke: reject it, or request changes"
    if kind is DecisionKind.REJECT and state is TaskState.APPROVED:
        return "revoke the approval instead"
    if state in (TaskState.EXECUTING, TaskState.PAUSED):
        return "it has started, and decisions about starting come too late"
    return f"nothing is left to {kind}"


def _settled(after: Record, decision: Decision) -> Amendment:
    task, now = after.task, decision.at
    came = standing_of(after, now=now)
    event = _EVENT_OF.get(type(came))
    state = task.state if event is None else advance(task.state, event, task=task.id)
    if task.state is TaskState.APPROVED and isinstance(came, Approved):
        state = task.state
    changed = replace(task, state=state, changed_at=now)
    ready = False
    if isinstance(came, Approved):
        opens = came.conditions.not_before
        ready = opens is None or opens <= now
        changed = replace(
            changed,
            due_at=came.until if ready else opens,
            review_due=changed.review_due or came.broke_glass,
        )
    elif not isinstance(came, Pending):
        changed = replace(changed, ready_seq=None, due_at=_after_no(changed, now))
    facts = facts_of(decision) | {"outcome": changed.state.value}
    return Amendment(
        task=changed,
        decisions=(decision,),
        entries=(entry(changed, decision.kind.value, now, **facts),),
        ready=ready,
    )


def _after_no(task: Task, now: datetime) -> datetime | None:
    return _next_look(task, now) if task.state is TaskState.PLANNED else None


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


def _reviewed(record: Record, decision: Decision) -> Amendment:
    task = record.task
    if not task.review_due:
        raise Refused(f"Task {task.id} has no broken glass to review.")
    if review_due((*record.decisions, decision), requester=task.requested_by) is not None:
        raise Refused(
            f"Task {task.id} must be reviewed by somebody who may approve, and who neither "
            "asked for it nor broke the glass."
        )
    changed = replace(task, review_due=False, changed_at=decision.at)
    return Amendment(
        task=changed,
        decisions=(decision,),
        entries=(entry(changed, "review", decision.at, **facts_of(decision)),),
    )


def cancelled(record: Record, *, by: str, role: Role, reason: str, now: datetime) -> Amendment:
    """Nobody wants it any more; possible until something starts."""
    return _ended(record, TaskEvent.CANCELLED, now, by=by, role=role.value, reason=reason)


def superseded(record: Record, *, by: str, now: datetime) -> Amendment:
    """Another task takes its place."""
    return _ended(record, TaskEvent.SUPERSEDED, now, by=by)


def finished(record: Record, event: TaskEvent, *, now: datetime, **facts: str) -> Amendment:
    """What was started is over, or holds, or goes on."""
    return _ended(record, event, now, **facts)


def _ended(record: Record, event: TaskEvent, now: datetime, **facts: str) -> Amendment:
    task = record.task
    state = advance(task.state, event, task=task.id)
    changed = replace(task, state=state, changed_at=now, due_at=None, ready_seq=None)
    return Amendment(task=changed, entries=(entry(changed, event.value, now, **facts),))


def claimed(record: Record, claim: Claim) -> Amendment | Claim | Standing:
    """One run takes one stage of what was approved, if it still stands at this moment.

    Returns the step to keep; or the claim that was there first; or the standing, if the task is
    about another digest now, or is not approved, or not yet within its window.
    """
    task = record.task
    for earlier in record.claims:
        if (earlier.digest, earlier.stage) == (claim.digest, claim.stage):
            return earlier
    if claim.digest != task.digest:
        return standing_of(record, now=claim.claimed_at)
    if task.state is not TaskState.EXECUTING:
        came = standing_of(record, now=claim.claimed_at)
        if not isinstance(came, Approved) or task.state is not TaskState.APPROVED:
            return came
        if came.conditions.not_before and came.conditions.not_before > claim.claimed_at:
            return came
        task = replace(
            task, state=advance(task.state, TaskEvent.STARTED), due_at=None, ready_seq=None
        )
    changed = replace(task, changed_at=claim.claimed_at)
    facts = {"stage": claim.stage, "holder": claim.holder}
    return Amendment(
        task=changed,
        claims=(claim,),
        entries=(entry(changed, "claimed", claim.claimed_at, **facts),),
    )


def on_time(record: Record, *, now: datetime) -> Amendment | None:
    """What the clock does to a task by itself: expire it, remind, or open its window."""
    task = record.task
    if task.due_at is None or now < task.due_at:
        return None
    came = standing_of(record, now=now)
    if task.state is TaskState.APPROVED and isinstance(came, Approved):
        opens = came.conditions.not_before
        if task.ready_seq is not None or (opens is not None and opens > now):
            return None
        changed = replace(task, changed_at=now, due_at=came.until)
        return Amendment(task=changed, entries=(entry(changed, "window_opened", now),), ready=True)
    if isinstance(came, Expired) or now >= task.requirement.expires_at:
        return _ended(record, TaskEvent.EXPIRED, now)
    changed = replace(
        task, reminded=task.reminded + 1, changed_at=now, due_at=_next_look(task, now)
    )
    return Amendment(
        task=changed, entries=(entry(changed, "reminded", now, times=changed.reminded),)
    )


def _next_look(task: Task, now: datetime) -> datetime:
    return min(task.requirement.expires_at, now + task.requirement.remind_every)
