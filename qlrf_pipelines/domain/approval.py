"""Approvals: what is asked for, what people decided, and what that comes to.

`standing` is a pure function of rows. It is asked when a decision is made and asked again, under
the task's lock, when something is about to run; nothing it once said is remembered.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from qlrf_pipelines.domain.roles import Permission, Role, may, person
from qlrf_pipelines.domain.vocabulary import RiskLevel

DAY = timedelta(hours=24)
# Who speaks for the platform where nobody has to be asked: this and the mode that allows it.
AUTONOMY = "autonomy:"


class Extent(StrEnum):
    """How much of a plan something is about: the canary that goes first, or all of it."""

    CANARY = "canary"
    WHOLE = "whole"


class DecisionKind(StrEnum):
    """What a person can say about what is shown to them."""

    APPROVE = "approve"
    REJECT = "reject"
    REQUEST_CHANGES = "request_changes"
    REVOKE = "revoke"
    DELEGATE = "delegate"
    BREAK_GLASS = "break_glass"
    REVIEW = "review"


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """Limits an approver set: when it may start, and how many assets at once."""

    not_before: datetime | None = None
    not_after: datetime | None = None
    max_batch: int | None = None

    def within(self, other: "Conditions") -> "Conditions":
        """Both sets of limits at once: the strictest of each."""
        return Conditions(
            not_before=max(filter(None, (self.not_before, other.not_before)), default=None),
            not_after=min(filter(None, (self.not_after, other.not_after)), default=None),
            max_batch=min(
                (one for one in (self.max_batch, other.max_batch) if one is not None), default=None
            ),
        )

    @property
    def possible(self) -> bool:
        """Whether any moment and any batch meets them."""
        if self.max_batch is not None and self.max_batch < 1:
            return False
        return not (self.not_before and self.not_after and self.not_before >= self.not_after)


NO_CONDITIONS = Conditions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """What it takes: how many people of which role, by when, and for how long it then holds.

    `limits` hold whatever approvers say. `unattended` is how much of it the platform may approve by
    itself, None if nothing; people may say no all the same. Its word on a canary is no vote for
    the rest.
    """

    expires_at: datetime
    quorum: int = 1
    four_eyes: bool = True
    role: Role = Role.ENGINEER
    valid_for: timedelta = DAY
    remind_every: timedelta = timedelta(hours=8)
    break_glass: bool = True
    limits: Conditions = NO_CONDITIONS
    unattended: Extent | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """One person's word on one revision of one document."""

    number: int
    revision: int
    digest: str
    kind: DecisionKind
    by: str
    role: Role
    at: datetime
    reason: str = ""
    conditions: Conditions = NO_CONDITIONS
    delegate: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Not enough people have approved yet."""

    have: int
    need: int
    until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Approved:
    """Enough people approved this digest; it may start within the conditions, until then.

    With the extent canary it was the platform alone, and people are still asked for the rest.
    """

    by: tuple[str, ...]
    at: datetime
    until: datetime
    conditions: Conditions
    broke_glass: bool = False
    extent: Extent = Extent.WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Rejected:
    """Somebody who may decide said no."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangesRequested:
    """Somebody who may decide wants another document."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """An approval was taken back before anything started."""

    by: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Expired:
    """Time ran out: nobody decided, or what was decided was not used."""

    at: datetime


Standing = Pending | Approved | Rejected | ChangesRequested | Revoked | Expired


def requirement_for(risk: RiskLevel, *, now: datetime, within: timedelta = DAY) -> Requirement:
    """What a risk asks for: one engineer, for a critical one two; never the requester."""
    return Requirement(expires_at=now + within, quorum=2 if risk is RiskLevel.CRITICAL else 1)


def standing(
    requirement: Requirement,
    decisions: Iterable[Decision],
    *,
    digest: str,
    requester: str,
    now: datetime,
    author: str = "",
) -> Standing:
    """What the decisions about this digest come to at this moment.

    Decisions about another digest, by people who may not decide, or made after time ran out count
    for nothing. Of several, the first that ends the matter stands. `author` wrote the document.
    """
    said = tuple(decisions)
    if requirement.unattended is not Extent.CANARY:
        return _standing(requirement, said, digest, (requester, author), now)
    people = standing_of_people(
        requirement, said, digest=digest, requester=requester, author=author, now=now
    )
    if not isinstance(people, Pending):
        return people
    return _canary_alone(requirement, said, digest) or people


def standing_of_people(
    requirement: Requirement,
    decisions: Iterable[Decision],
    *,
    digest: str,
    requester: str,
    now: datetime,
    author: str = "",
) -> Standing:
    """What people's decisions come to, as if the platform had said nothing."""
    asked = replace(requirement, unattended=None)
    return _standing(asked, tuple(decisions), digest, (requester, author), now)


def _canary_alone(
    requirement: Requirement, decisions: Sequence[Decision], digest: str
) -> Approved | None:
    """The platform's word on the canary: for as long as people can still be asked for the rest."""
    for one in decisions:
        yes = one.kind is DecisionKind.APPROVE and by_itself(one.by)
        if yes and one.digest == digest and one.at < requirement.expires_at:
            ends = (requirement.expires_at, requirement.limits.not_after)
            return Approved(
                by=(one.by,),
                at=one.at,
                until=min(moment for moment in ends if moment is not None),
                conditions=requirement.limits,
                extent=Extent.CANARY,
            )
    return None


def _standing(
    requirement: Requirement,
    decisions: Sequence[Decision],
    digest: str,
    askers: tuple[str, str],
    now: datetime,
) -> Standing:
    counted: list[Decision] = []
    approved: Approved | None = None
    for decision in sorted(decisions, key=lambda one: one.number):
        if decision.digest != digest:
            continue
        if why_not(requirement, decision, askers[0], counted, author=askers[1]):
            continue
        if decision.at >= (approved.until if approved else requirement.expires_at):
            break
        if (ended := _ended(decision)) is not None:
            return ended
        counted.append(decision)
        approved = approved or _approved(requirement, counted)
    if approved is None:
        if now >= requirement.expires_at:
            return Expired(at=requirement.expires_at)
        return Pending(
            have=len(_votes(requirement, counted)),
            need=requirement.quorum,
            until=requirement.expires_at,
        )
    return approved if now < approved.until else Expired(at=approved.until)


def _ended(decision: Decision) -> Standing | None:
    if decision.kind is DecisionKind.REJECT:
        return Rejected(by=decision.by, reason=decision.reason)
    if decision.kind is DecisionKind.REVOKE:
        return Revoked(by=decision.by, reason=decision.reason)
    if decision.kind is DecisionKind.REQUEST_CHANGES:
        return ChangesRequested(by=decision.by, reason=decision.reason)
    return None


_STOPS = (DecisionKind.REJECT, DecisionKind.REVOKE, DecisionKind.REQUEST_CHANGES)


def why_not(
    requirement: Requirement,
    decision: Decision,
    requester: str,
    earlier: Sequence[Decision],
    *,
    author: str = "",
) -> str | None:
    """Why this person may not say this; None if they may.

    Saying no is open to the requester too, and to the author of the document as it is now; saying
    yes is not, also not for somebody else.
    """
    if by_itself(decision.by):
        may_go = requirement.unattended is not None and decision.kind is DecisionKind.APPROVE
        return None if may_go else f"people decide about it, and {decision.by} is nobody"
    did = _own(decision.by, requester, author)
    if decision.kind in _STOPS and did:
        return None
    if did and requirement.four_eyes:
        return f"{decision.by} {did}, and nobody decides about their own request"
    if decision.kind is DecisionKind.BREAK_GLASS:
        return _why_no_glass(requirement, decision)
    if _may(requirement, decision):
        return _why_no_delegate(decision, requester, author)
    if decision.kind is DecisionKind.DELEGATE:
        return f"{decision.by} is {decision.role}: only what one may do can be delegated"
    if decision.kind is not DecisionKind.REVIEW and _delegators(decision.by, earlier):
        return None
    return f"{decision.by} is {decision.role}, and {requirement.role} or higher is needed"


def _own(name: str, requester: str, author: str) -> str:
    """What makes it this person's own request; '' if nothing does."""
    if person(name) == person(requester):
        return "asked for it"
    return "wrote what is asked for now" if author and person(name) == person(author) else ""


def by_itself(name: str) -> bool:
    """Whether it is the platform that speaks, and no person."""
    return person(name).startswith(AUTONOMY)


def _may(requirement: Requirement, decision: Decision) -> bool:
    return may(decision.role, Permission.APPROVE_TASKS) and (
        decision.role.rank >= requirement.role.rank
    )


def _why_no_glass(requirement: Requirement, decision: Decision) -> str | None:
    if not requirement.break_glass:
        return "this request does not allow breaking the glass"
    if not may(decision.role, Permission.APPROVE_EXCEPTIONS):
        return f"{decision.by} is {decision.role}, and only an admin breaks the glass"
    return None


def _why_no_delegate(decision: Decision, requester: str, author: str) -> str | None:
    if decision.kind is not DecisionKind.DELEGATE:
        return None
    if not person(decision.delegate):
        return "a delegation needs somebody to delegate to"
    did = _own(decision.delegate, requester, author)
    return f"{decision.delegate} {did}, and cannot be the one to decide" if did else None


def _delegators(name: str, decisions: Iterable[Decision]) -> list[str]:
    """Those who gave this person their word, first given first."""
    return [
        person(one.by)
        for one in decisions
        if one.kind is DecisionKind.DELEGATE and person(one.delegate) == person(name)
    ]


def _votes(requirement: Requirement, decisions: Sequence[Decision]) -> dict[str, Decision]:
    """The approvals that count, by whose word it is: one per person, one per word.

    Somebody with a word of their own uses that one; a delegate uses the first delegator's that
    nobody has used, so that a delegator and their delegate are never two people.
    """
    votes: dict[str, Decision] = {}
    spoke: set[str] = set()
    for at, decision in enumerate(decisions):
        who = person(decision.by)
        if decision.kind is not DecisionKind.APPROVE or who in spoke:
            continue
        own = _may(requirement, decision) or by_itself(decision.by)
        words = [who] if own else _delegators(decision.by, decisions[:at])
        word = next((one for one in words if one not in votes), None)
        if word is not None:
            votes[word] = decision
            spoke.add(who)
    return votes


def _approved(requirement: Requirement, decisions: Sequence[Decision]) -> Approved | None:
    votes = list(_votes(requirement, decisions).values())
    glass = [one for one in decisions if one.kind is DecisionKind.BREAK_GLASS]
    if len(votes) < requirement.quorum and not glass:
        return None
    conditions = requirement.limits
    for one in (*votes, *glass):
        conditions = conditions.within(one.conditions)
    at = decisions[-1].at
    opens = max(at, conditions.not_before or at)
    return Approved(
        by=tuple(one.by for one in (*votes, *glass)),
        at=at,
        until=min(filter(None, (opens + requirement.valid_for, conditions.not_after))),
        conditions=conditions,
        broke_glass=bool(glass) and len(votes) < requirement.quorum,
    )


def voters(
    requirement: Requirement, decisions: Iterable[Decision], *, requester: str, author: str = ""
) -> tuple[tuple[str, Role], ...]:
    """The people whose approval counts, each with the role that gives it weight.

    A delegate speaks with the role of whoever gave them their word; the platform is nobody.
    """
    counted: list[Decision] = []
    for one in sorted(decisions, key=lambda item: item.number):
        if not why_not(requirement, one, requester, counted, author=author):
            counted.append(one)
    roles = {person(one.by): one.role for one in counted if one.kind is DecisionKind.DELEGATE}
    return tuple(
        (one.by, one.role if _may(requirement, one) else roles.get(word, one.role))
        for word, one in _votes(requirement, counted).items()
        if not by_itself(one.by)
    )
