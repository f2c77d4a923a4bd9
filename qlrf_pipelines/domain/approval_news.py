"""What a task's entries in the ledger tell: what is asked, what was decided, what ran out of time.

A document may be anything a job's author wrote. What it says of environment and risk is believed
only where it is a word of ours, and what is not known is said to be not known.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qlrf_pipelines.domain.approval import (
    Approved,
    Decision,
    Extent,
    Pending,
    Requirement,
    by_itself,
    standing,
    standing_of_people,
)
from qlrf_pipelines.domain.evidence import Entry
from qlrf_pipelines.domain.glass import REVIEW_WITHIN
from qlrf_pipelines.domain.messages import About, Event, Message, OnlyWhile, compose
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.news import News, reason_of
from qlrf_pipelines.domain.tasks import RUNNING, Document, Record, TaskState
from qlrf_pipelines.domain.vocabulary import Environment, RiskLevel

_E, _W = Event, OnlyWhile
# kind of ledger entry -> the event it is to a listener, and what it says
_TOLD: Mapping[str, tuple[tuple[Event, ...], str]] = {
    "approval_requested": ((_E.APPROVAL_REQUESTED,), "asks for approval"),
    "approval_revised": ((_E.APPROVAL_REQUESTED,), "asks for approval again: it was changed"),
    "approval_reminded": ((_E.APPROVAL_REMINDER,), "still asks for approval"),
    "approval_approve": ((_E.APPROVAL_DECIDED,), "is approved"),
    "approval_delegate": ((_E.APPROVAL_DECIDED,), "still asks for approval: it was delegated"),
    "approval_reject": ((_E.APPROVAL_DECIDED,), "is rejected"),
    "approval_request_changes": ((_E.APPROVAL_DECIDED,), "is to be changed before it is approved"),
    "approval_revoke": ((_E.APPROVAL_DECIDED,), "is revoked: nothing of it runs"),
    "approval_cancelled": ((_E.APPROVAL_DECIDED,), "is taken back"),
    "approval_superseded": ((_E.APPROVAL_DECIDED,), "is superseded by another task"),
    "approval_expired": ((_E.APPROVAL_EXPIRED,), "has expired: nobody decided in time"),
    "approval_rest_expired": (
        (_E.APPROVAL_EXPIRED,),
        "has expired: nobody approved in time what follows its canary, which is brought back",
    ),
    "approval_break_glass": (
        (_E.GLASS_BROKEN, _E.APPROVAL_DECIDED),
        "is approved by an admin alone: the glass is broken",
    ),
    "approval_review": ((_E.GLASS_BROKEN,), "has its broken glass reviewed"),
}
KINDS = frozenset(_TOLD)
_ASKS = (_E.APPROVAL_REQUESTED, _E.APPROVAL_REMINDER)
_NOT_NAMED = "not named in the document"


def events_of(kind: str) -> tuple[Event, ...]:
    """The events an entry of this kind can be."""
    return _TOLD[kind][0]


def news_of(entry: Entry, record: Record, document: Document) -> News | None:
    """What an entry about a task tells; None if it asks nobody for anything.

    `document` is the revision the entry is about, which may not be the newest any more.
    """
    asked = entry.kind in ("approval_requested", "approval_revised")
    if entry.content.get("unattended") is True and asked:
        return None
    events, says = _TOLD[entry.kind]
    said = _Moment.of(entry, record)
    scope = _scope(document.content)
    asks = events[0] in _ASKS
    message = compose(
        event=events[0],
        about=About.TASK,
        tenant=entry.tenant,
        subject=entry.subject,
        environment=scope.environment,
        policy=str(document.content.get("policy") or ""),
        digest=str(entry.content.get("digest", "")),
        says=said.says or says,
        reason=_reason(entry),
        assets=scope.assets,
        facts=_facts(entry, record, scope, said=said, asks=asks),
        at=entry.recorded_at,
        only_while=said.only_while,
    )
    return News(events=events, message=message, resolving=_resolving(entry))


def _resolving(entry: Entry) -> tuple[Event, ...]:
    if entry.kind == "approval_review":
        return (_E.GLASS_BROKEN,)
    return () if _waits(entry) else (_E.APPROVAL_DECIDED,)


def _waits(entry: Entry) -> bool:
    """Whether people are still asked: for all of it, or for what follows its canary."""
    state, rest = entry.content.get("state"), entry.content.get("rest")
    return state == TaskState.AWAITING_APPROVAL or rest == "pending"


def _reason(entry: Entry) -> str:
    if events_of(entry.kind)[0] in _ASKS:
        return ""
    delegate = entry.content.get("delegate")
    if delegate:
        return f"{entry.content.get('by')} to {delegate}"
    if entry.kind == "approval_superseded":
        return f"by task {entry.content.get('by')}"
    return reason_of(entry.content)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """What the moment of an entry adds to its words."""

    says: str = ""
    only_while: OnlyWhile = _W.ALWAYS
    pending: Pending | None = None
    review: bool = False

    @classmethod
    def of(cls, entry: Entry, record: Record) -> "_Moment":
        came = _came_to(record, entry)
        pending = came if isinstance(came, Pending) else None
        if entry.kind == "approval_reminded":
            return cls._reminded(entry, pending)
        if events_of(entry.kind)[0] in _ASKS:
            canary = entry.content.get("unattended") == Extent.CANARY
            says = "asks for approval of what follows its canary, which goes by itself"
            return cls(
                says=says if canary else "", only_while=_W.AWAITING_APPROVAL, pending=pending
            )
        if entry.kind == "approval_expired":
            return cls(says=_expired(record, entry))
        if entry.kind == "approval_break_glass":
            glass = isinstance(came, Approved) and came.broke_glass
            return cls(
                review=glass, says="" if glass else "is approved, also by breaking the glass"
            )
        return cls(says=_approved(entry), pending=pending)

    @classmethod
    def _reminded(cls, entry: Entry, pending: Pending | None) -> "_Moment":
        number = f" (reminder {entry.content.get('times', '?')})"
        if entry.content.get("state") == TaskState.PLANNED:
            says = f"still waits for the change that was asked for{number}"
            return cls(says=says, only_while=_W.AWAITING_CHANGE)
        says = f"still asks for approval{number}"
        return cls(says=says, only_while=_W.AWAITING_APPROVAL, pending=pending)


def _approved(entry: Entry) -> str:
    if entry.kind == "approval_revoke" and entry.content.get("state") in RUNNING:
        return "is revoked: its canary is brought back"
    if entry.kind != "approval_approve":
        return ""
    if by_itself(str(entry.content.get("by", ""))):
        rest = "lets its canary go by itself, and asks for approval of the rest"
        return rest if _waits(entry) else "goes without people, as its autonomy mode allows"
    return "is approved by one more person, and asks for others" if _waits(entry) else ""


def _expired(record: Record, entry: Entry) -> str:
    decided = [one.at for one in _decisions(record, entry)]
    if not decided:
        return ""
    came = _came_to(record, entry, now=max(decided))
    if isinstance(came, Approved):
        return "has expired: its approval was not used in time"
    return "" if isinstance(came, Pending) else "has expired: it was not changed in time"


def _decisions(record: Record, entry: Entry) -> list[Decision]:
    """What people had said about the entry's revision by then."""
    revision = entry.content.get("revision")
    made = (one for one in record.decisions if one.revision == revision)
    return [one for one in made if one.at <= entry.recorded_at]


def _came_to(record: Record, entry: Entry, *, now: datetime | None = None) -> object:
    """What the decisions came to then; None if the revision is not the newest any more."""
    task = record.task
    if entry.content.get("revision") != task.revision:
        return None
    ask = standing_of_people if task.requirement.unattended is Extent.CANARY else standing
    return ask(
        task.requirement,
        _decisions(record, entry),
        digest=task.digest,
        requester=task.requested_by,
        author=record.document.made_by,
        now=now or entry.recorded_at,
    )


def _facts(
    entry: Entry, record: Record, scope: "_Scope", *, said: _Moment, asks: bool
) -> dict[str, str]:
    task = record.task
    found = {"what": task.title, "asked_by": task.requested_by}
    if asks:
        found["environment"] = scope.environment or _NOT_NAMED
        found["assets"] = "" if scope.assets else _NOT_NAMED
        found["risk"] = scope.risk or "not rated"
    if said.pending is not None:
        found["until"] = iso(said.pending.until, digits=False)
        found["approvals"] = _approvals(task.requirement, said.pending)
    elif said.only_while is _W.AWAITING_CHANGE:
        found["until"] = iso(task.requirement.expires_at, digits=False)
    if said.review:
        found["review_by"] = iso(entry.recorded_at + REVIEW_WITHIN, digits=False)
    return found


def _approvals(need: Requirement, pending: Pending) -> str:
    others = ", not the requester" if need.four_eyes else ""
    left = pending.need - pending.have
    return f"{pending.have} of {pending.need}: {left} more from {need.role} or higher{others}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scope:
    """What a document says of what it would change; '' and nothing where it does not."""

    environment: str
    risk: str
    assets: Mapping[str, int]


def _scope(content: Mapping[str, Any]) -> _Scope:
    inner = content.get("plan")
    plan = inner if isinstance(inner, Mapping) else {}
    named = str(content.get("environment") or plan.get("environment") or "")
    return _Scope(
        environment=named if named in set(Environment) else "",
        risk=_risk(content.get("risk")),
        assets=dict(_assets(content, plan)),
    )


def _risk(given: object) -> str:
    level = given.get("level") if isinstance(given, Mapping) else given
    if not isinstance(level, str) or level not in set(RiskLevel):
        return ""
    score = given.get("score") if isinstance(given, Mapping) else None
    known = isinstance(score, int | float) and not isinstance(score, bool)
    return f"{level}, {score:g} of 100" if known else level


def _assets(content: Mapping[str, Any], plan: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    total, groups, only = (part for part in (content.get("total_assets"), plan.get("groups"),
                                             content.get("only")))  # fmt: skip
    if isinstance(total, int) and not isinstance(total, bool) and total >= 0:
        yield "planned", total
    elif isinstance(groups, list | tuple) and all(isinstance(one, list | tuple) for one in groups):
        chosen = len(only) if isinstance(only, list | tuple) else 0
        count = chosen or sum(len(one) for one in groups)
        yield "member" if count == 1 else "members", count


def review_reminder(record: Record, broken: Decision, *, key: str, now: datetime) -> Message:
    """That nobody has looked at a broken glass yet."""
    return compose(
        event=Event.GLASS_BROKEN,
        about=About.TASK,
        key=key,
        tenant=record.task.tenant,
        subject=record.task.id,
        environment=_scope(record.document.content).environment,
        digest=broken.digest,
        says="has a broken glass that nobody has reviewed",
        reason=f"{broken.by}: {broken.reason}",
        facts={
            "what": record.task.title,
            "asked_by": record.task.requested_by,
            "review_by": iso(broken.at + REVIEW_WITHIN, digits=False),
        },
        at=now,
        only_while=OnlyWhile.AWAITING_REVIEW,
    )


def holds(message: Message, record: Record, *, now: datetime) -> bool:
    """Whether a message about a task is still true."""
    task = record.task
    if message.only_while is OnlyWhile.AWAITING_REVIEW:
        return task.review_due
    states = {
        OnlyWhile.AWAITING_APPROVAL: TaskState.AWAITING_APPROVAL,
        OnlyWhile.AWAITING_CHANGE: TaskState.PLANNED,
    }
    if message.only_while not in states:
        return True
    in_state = task.state is states[message.only_while]
    if message.only_while is OnlyWhile.AWAITING_APPROVAL and record.rest_is_asked:
        in_state = isinstance(_people(record, now), Pending)
    same = in_state and task.digest.startswith(message.digest)
    return same and now < task.requirement.expires_at


def _people(record: Record, now: datetime) -> object:
    return standing_of_people(
        record.task.requirement,
        record.current,
        digest=record.task.digest,
        requester=record.task.requested_by,
        author=record.document.made_by,
        now=now,
    )
