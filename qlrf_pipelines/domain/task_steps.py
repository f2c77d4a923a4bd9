"""The steps of a task, each a pure function from what is kept to what to keep next.

They run under the task's lock, so two of them never look at the same past. A moment is never
earlier than the task's last one: a clock that runs behind cannot bring an approval back.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from qlrf_pipelines.domain import approval
from qlrf_pipelines.domain.approval import (
    AUTONOMY,
    Approved,
    ChangesRequested,
    Decision,
    DecisionKind,
    Expired,
    Extent,
    Pending,
    Revoked,
    Standing,
    by_itself,
    standing,
    why_not,
)
from qlrf_pipelines.domain.approval import Rejected as RejectedStanding
from qlrf_pipelines.domain.errors import Refused, Rejected
from qlrf_pipelines.domain.glass import review_due
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.task_facts import asked_facts, entry, facts_of
from qlrf_pipelines.domain.task_words import fitting, instead, worded
from qlrf_pipelines.domain.tasks import (
    RUNNING,
    Amendment,
    Claim,
    Document,
    Record,
    Task,
    TaskEvent,
    TaskState,
    advance,
)
from qlrf_pipelines.domain.unattended import mode_alone

# The stage of what a canary went ahead of; one run claims it once people have approved.
REST = "rest"
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
_TAKES_BACK = (DecisionKind.REQUEST_CHANGES, DecisionKind.REVOKE)


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
        author=record.document.made_by,
        now=moment(record, now),
    )


def standing_of_people(record: Record, *, now: datetime) -> Standing:
    """What people's decisions about the newest revision come to, whatever the platform said."""
    return approval.standing_of_people(
        record.task.requirement,
        record.current,
        digest=record.task.digest,
        requester=record.task.requested_by,
        author=record.document.made_by,
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
    asked = replace(task, state=state, due_at=next_look(task, task.requested_at))
    facts = asked_facts(asked, document)
    return Amendment(
        task=asked,
        document=document,
        entries=(entry(asked, "requested", task.requested_at, title=task.title, **facts),),
    )


def _fits(task: Task, document: Document) -> None:
    """An absent word about approvals asks for people."""
    extent = task.requirement.unattended
    if extent is not None and mode_alone(document.content, extent) is None:
        raise Rejected(
            f"Task {task.id} is to go by itself, and its document asks for people's approval."
        )


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
        due_at=next_look(task, now),
    )
    facts = asked_facts(fresh, document) | {"replaces": record.task.digest}
    return Amendment(
        task=fresh, document=document, entries=(entry(fresh, "revised", now, **facts),)
    )


def decided(record: Record, decision: Decision) -> Amendment:
    """Somebody decides.

    Raises:
        Refused: they may not, or the task is in no state for it, or they saw another digest.
        Rejected: a reason is missing, or the conditions can never be met, alone or with others'.
    """
    task = record.task
    worded(decision)
    if decision.digest != task.digest:
        raise Refused(
            f"Task {task.id} is now about digest {task.digest[:12]}, not {decision.digest[:12]}: "
            f"look at it again with `qlrf tasks show {task.id} --tenant {task.tenant}`."
        )
    if decision.kind is DecisionKind.REVIEW:
        return _reviewed(record, decision)
    if task.state not in _allowed_in(record, decision):
        out = task.state in RUNNING and record.rest_is_asked
        rest = standing_of_people(record, now=decision.at) if out else None
        other = instead(task.state, decision.kind, rest=rest)
        raise Refused(f"Task {task.id} is {task.state}; {other}.")
    if isinstance(standing_of(record, now=decision.at), Expired):
        raise Refused(f"Task {task.id} has expired; submit it again.")
    mode = mode_alone(record.document.content, task.requirement.unattended)
    if by_itself(decision.by) and (mode is None or decision.by != f"{AUTONOMY}{mode}"):
        raise Refused(f"Task {task.id} does not go by itself, and {decision.by} is nobody.")
    said = why_not(
        task.requirement,
        decision,
        task.requested_by,
        record.current,
        author=record.document.made_by,
    )
    if said:
        raise Refused(f"Task {task.id} cannot be decided so: {said}.")
    fitting(decision, task.requirement.limits, record.current)
    after = replace(record, decisions=(*record.decisions, decision))
    return _settled(after, decision)


def _allowed_in(record: Record, decision: Decision) -> tuple[TaskState, ...]:
    """The states in which it can be said: about a rest that is asked for, also after the start."""
    kind = decision.kind
    usual = _ALLOWED_IN[kind]
    if not record.rest_is_asked or by_itself(decision.by):
        return usual
    came = standing_of_people(record, now=decision.at)
    if isinstance(came, Approved):
        return (*usual, *RUNNING) if kind in _TAKES_BACK else usual
    if not isinstance(came, Pending | Expired):
        return ()
    if kind is DecisionKind.REVOKE:
        return usual
    return (TaskState.AWAITING_APPROVAL, TaskState.APPROVED, *RUNNING)


def _settled(after: Record, decision: Decision) -> Amendment:
    task, now = after.task, decision.at
    if task.state in RUNNING:
        return _rest_settled(after, decision)
    came = standing_of(after, now=now)
    event = _EVENT_OF.get(type(came))
    stays = task.state is TaskState.APPROVED and isinstance(came, Approved)
    state = task.state
    if event is not None and not stays:
        state = advance(task.state, event, task=task.id)
    changed = replace(task, state=state, changed_at=now)
    ready = False
    if task.state is TaskState.APPROVED and _canary(came):
        pass  # it is on its way already, and people have not decided yet
    elif isinstance(came, Approved):
        opens = came.conditions.not_before
        ready = opens is None or opens <= now
        changed = replace(
            changed,
            ready_seq=None,  # what a canary was ready for alone waits for the window, too
            due_at=came.until if ready else opens,
            review_due=changed.review_due or came.broke_glass,
        )
    elif not isinstance(came, Pending):
        changed = replace(changed, ready_seq=None, due_at=_after_no(changed, now))
    facts = facts_of(decision) | {"outcome": changed.state.value}
    if task.requirement.unattended is Extent.CANARY:
        facts["rest"] = type(standing_of_people(after, now=now)).__name__.lower()
    return Amendment(
        task=changed,
        decisions=(decision,),
        entries=(entry(changed, decision.kind.value, now, **facts),),
        ready=ready,
    )


def _canary(came: Standing) -> bool:
    return isinstance(came, Approved) and came.extent is Extent.CANARY


def _rest_settled(after: Record, decision: Decision) -> Amendment:
    """Somebody decides about the rest while the canary is out: the task stays where it is."""
    now = decision.at
    came = standing_of_people(after, now=now)
    changed = replace(after.task, changed_at=now)
    if isinstance(came, Approved):
        due, review = came.until, changed.review_due or came.broke_glass
        changed = replace(changed, due_at=due, review_due=review)
    elif not isinstance(came, Pending):
        changed = replace(changed, due_at=None)
    facts = facts_of(decision) | {
        "outcome": changed.state.value,
        "rest": type(came).__name__.lower(),
    }
    return Amendment(
        task=changed,
        decisions=(decision,),
        entries=(entry(changed, decision.kind.value, now, **facts),),
    )


def _after_no(task: Task, now: datetime) -> datetime | None:
    return next_look(task, now) if task.state is TaskState.PLANNED else None


def _reviewed(record: Record, decision: Decision) -> Amendment:
    task = record.task
    if not task.review_due:
        raise Refused(f"Task {task.id} has no broken glass to review.")
    said, author = (*record.decisions, decision), record.document.made_by
    if review_due(said, requester=task.requested_by, author=author) is not None:
        raise Refused(
            f"Task {task.id} must be reviewed by somebody who may approve, and who neither "
            "asked for it, nor wrote it, nor broke the glass."
        )
    changed = replace(task, review_due=False, changed_at=decision.at)
    return Amendment(
        task=changed,
        decisions=(decision,),
        entries=(entry(changed, "review", decision.at, **facts_of(decision)),),
    )


def cancelled(record: Record, *, by: str, role: Role, reason: str, now: datetime) -> Amendment:
    """Nobody wants it any more; possible until something starts."""
    return ended(record, TaskEvent.CANCELLED, now, by=by, role=role.value, reason=reason)


def superseded(record: Record, *, by: str, now: datetime) -> Amendment:
    """Another task takes its place."""
    return ended(record, TaskEvent.SUPERSEDED, now, by=by)


def finished(record: Record, event: TaskEvent, *, now: datetime, **facts: str) -> Amendment:
    """What was started is over, or holds, or goes on."""
    return ended(record, event, now, **facts)


def ended(record: Record, event: TaskEvent, now: datetime, **facts: str) -> Amendment:
    """One step along the table; what it ends has nothing more to do with the clock."""
    task = record.task
    state = advance(task.state, event, task=task.id)
    # While a rest is asked for, the clock has something to do with a task that runs.
    due = task.due_at if state in RUNNING else None
    changed = replace(task, state=state, changed_at=now, due_at=due, ready_seq=None)
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
    if record.rest_is_asked and task.state in RUNNING:
        return _rest_claimed(record, claim)
    if task.state is TaskState.EXECUTING:
        return _taken(task, claim)
    came = standing_of(record, now=claim.claimed_at)
    if not isinstance(came, Approved) or task.state is not TaskState.APPROVED:
        return came
    if claim.stage == REST or not _open(came, claim.claimed_at):
        return came
    return _started(task, claim, came)


def _started(task: Task, claim: Claim, came: Approved) -> Amendment:
    """The first run takes it: all of it, or the canary, with the rest still asked for."""
    canary = _canary(came)
    by = {"extent": came.extent.value, "approved_by": list(came.by)} if canary else {}
    changed = replace(
        task,
        state=advance(task.state, TaskEvent.STARTED),
        due_at=next_look(task, claim.claimed_at) if canary else None,
        ready_seq=None,
    )
    return _taken(changed, replace(claim, extent=came.extent), **by)


def _rest_claimed(record: Record, claim: Claim) -> Amendment | Standing:
    """The rest of what a canary went ahead of, which takes the word of people."""
    task, came = record.task, standing_of_people(record, now=claim.claimed_at)
    if not isinstance(came, Approved) or claim.stage != REST or not _open(came, claim.claimed_at):
        return came
    state = task.state
    if state is TaskState.PAUSED:
        state = advance(state, TaskEvent.RESUMED)
    by = {"extent": REST, "approved_by": list(came.by)}
    return _taken(replace(task, state=state, due_at=None), claim, **by)


def _open(came: Approved, now: datetime) -> bool:
    opens = came.conditions.not_before
    return opens is None or opens <= now


def _taken(task: Task, claim: Claim, **by: object) -> Amendment:
    changed = replace(task, changed_at=claim.claimed_at)
    facts = {"stage": claim.stage, "holder": claim.holder, **by}
    return Amendment(
        task=changed,
        claims=(claim,),
        entries=(entry(changed, "claimed", claim.claimed_at, **facts),),
    )


def next_look(task: Task, now: datetime) -> datetime:
    """When the clock next has something to do with what is asked: remind, or expire it."""
    return min(task.requirement.expires_at, now + task.requirement.remind_every)
