"""A canary that goes by itself: how far the platform's word goes, and what stays people's."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from qlrf_pipelines.domain import task_clock, task_steps
from qlrf_pipelines.domain.approval import (
    Approved,
    Conditions,
    Decision,
    DecisionKind,
    Expired,
    Extent,
    Pending,
    Rejected,
    standing,
    standing_of_people,
    voters,
)
from qlrf_pipelines.domain.approval_news import holds, news_of
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.errors import Rejected as NotAllowed
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.rollout import NEXT, RolloutEvent, RolloutState
from qlrf_pipelines.domain.tasks import Amendment, Claim, Record, TaskState
from qlrf_pipelines.domain.unattended import mode_alone
from tests.fakes.approvals import DIGEST, first, need, said
from tests.fakes.clock import NOON
from tests.fakes.ledger import FakeLedger

PLATFORM = "autonomy:canary_only"
PLAN: dict[str, Any] = {
    "approvals": {"required": True},
    "autonomy": {"mode": "canary_only"},
    "phases": [{"kind": "canary"}, {"kind": "wave"}],
}
CANARY = need(unattended=Extent.CANARY)


def come(*words: Decision, requirement: Any = CANARY, now: datetime = NOON, people: bool = False):
    ask = standing_of_people if people else standing
    return ask(requirement, words, digest=DIGEST, requester="rita", now=now)


def platform(number: int = 1, **parts: Any) -> Decision:
    return said("approve", PLATFORM, number=number, role=Role.VIEWER, **parts)


# ---- what decisions come to


def test_the_platforms_word_approves_a_canary_and_nothing_of_the_rest() -> None:
    came = come(platform())

    assert isinstance(came, Approved)
    assert (came.extent, came.by, came.until) == (Extent.CANARY, (PLATFORM,), CANARY.expires_at)
    assert come(platform(), people=True) == Pending(have=0, need=1, until=CANARY.expires_at)
    assert voters(CANARY, [platform()], requester="rita") == ()


def test_it_is_no_vote_beside_a_persons() -> None:
    two = need(unattended=Extent.CANARY, quorum=2)
    words = platform(), said("approve", "ann", number=2)

    half = come(*words, requirement=two)
    assert isinstance(half, Approved)
    assert half.extent is Extent.CANARY
    whole = come(*words, said("approve", "bob", number=3), requirement=two)
    assert isinstance(whole, Approved)
    assert (whole.extent, whole.by) == (Extent.WHOLE, ("ann", "bob"))


def test_the_requester_approves_no_rest_however_the_canary_goes() -> None:
    came = come(platform(), said("approve", "rita", number=2), said("approve", PLATFORM, number=3))

    assert isinstance(came, Approved)
    assert came.extent is Extent.CANARY


def test_a_persons_no_is_a_no_to_the_canary_too() -> None:
    assert isinstance(come(platform(), said("reject", number=2)), Rejected)
    assert isinstance(come(said("reject"), platform(2)), Rejected)


def test_the_platforms_word_ends_when_nobody_can_be_asked_any_more() -> None:
    assert isinstance(come(platform(), now=CANARY.expires_at), Expired)
    window = need(unattended=Extent.CANARY, limits=Conditions(not_after=NOON + timedelta(hours=3)))
    came = come(platform(), requirement=window)
    assert isinstance(came, Approved)
    assert came.until == NOON + timedelta(hours=3)


def test_what_an_approver_limits_limits_the_rest_and_not_the_canary() -> None:
    strict = said("approve", "ann", number=2, conditions=Conditions(max_batch=1))
    two = need(unattended=Extent.CANARY, quorum=2)

    came = come(platform(), strict, requirement=two)

    assert isinstance(came, Approved)
    assert came.conditions.max_batch is None


# ---- which documents let it


@pytest.mark.parametrize(
    "other",
    [
        {"approvals": {"required": False}},
        {"approvals": {}},
        {"approvals": None},
        {"autonomy": {"mode": "approve_all"}},
        {"autonomy": {"mode": "full_auto"}},
        {"autonomy": None},
        {"phases": [{"kind": "canary"}]},
        {"phases": [{"kind": "wave"}, {"kind": "canary"}]},
        {"phases": []},
        {"phases": None},
        {"phases": [None, None]},
    ],
)
def test_a_document_without_a_canary_and_a_rest_that_asks_lets_none_go(other: Any) -> None:
    assert mode_alone(PLAN, Extent.CANARY) == "canary_only"
    assert mode_alone(PLAN | other, Extent.CANARY) is None
    with pytest.raises(NotAllowed, match="asks for people"):
        first(content=PLAN | other, requirement=CANARY)


def test_canary_only_never_lets_all_of_it_go() -> None:
    free = PLAN | {"approvals": {"required": False}}

    assert mode_alone(free, Extent.WHOLE) is None
    assert mode_alone(free, None) is None


def test_how_far_it_may_go_alone_is_part_of_what_is_approved() -> None:
    digests = {
        first(content=PLAN, requirement=requirement).task.digest for requirement in (CANARY, need())
    }
    assert len(digests) == 2


# ---- its steps


def asked() -> Record:
    made = first(content=PLAN, requirement=CANARY)
    assert made.document is not None
    return Record(task=made.task, document=made.document)


def after(record: Record, taken: Amendment) -> Record:
    return replace(
        record,
        task=replace(taken.task, seq=record.task.seq + 1),
        decisions=(*record.decisions, *taken.decisions),
        claims=(*record.claims, *taken.claims),
    )


def say(record: Record, kind: str, by: str = "ann", **parts: Any) -> Record:
    given = {"digest": record.task.digest, "number": len(record.decisions) + 1} | parts
    return after(record, task_steps.decided(record, said(kind, by, **given)))


def let_go() -> Record:
    return say(asked(), "approve", PLATFORM, role=Role.VIEWER)


def claimed(record: Record, stage: str = "execute", *, hours: float = 2) -> Any:
    at = NOON + timedelta(hours=hours)
    mine = Claim(digest=record.task.digest, stage=stage, holder=f"run of {stage}", claimed_at=at)
    return task_steps.claimed(record, mine)


def out(state: TaskState = TaskState.EXECUTING) -> Record:
    """Its canary is out."""
    record = let_go()
    record = after(record, claimed(record))
    return replace(record, task=replace(record.task, state=state))


def test_the_first_claim_goes_as_far_as_the_word_it_stands_on() -> None:
    [alone] = claimed(let_go()).claims
    [whole] = claimed(say(let_go(), "approve")).claims

    assert (alone.extent, whole.extent) == (Extent.CANARY, Extent.WHOLE)


@pytest.mark.parametrize("state", [TaskState.EXECUTING, TaskState.PAUSED])
def test_the_rest_is_claimed_once_people_approved_and_not_before(state: TaskState) -> None:
    record = out(state)
    for stage in ("rest", "more"):
        assert isinstance(claimed(record, stage), Pending)
    record = say(record, "approve", hours=3)
    assert isinstance(claimed(record, "more", hours=4), Approved)

    taken = claimed(record, "rest", hours=4)

    assert taken.task.state is TaskState.EXECUTING
    assert taken.claims[0].extent is Extent.WHOLE
    again = claimed(after(record, taken), "rest", hours=5)
    assert again == taken.claims[0]


def test_people_who_approve_a_waiting_canary_for_later_let_all_of_it_go_then() -> None:
    ready = let_go()
    ready = replace(ready, task=replace(ready.task, ready_seq=ready.task.seq))
    opens = NOON + timedelta(hours=5)
    later = say(ready, "approve", conditions=Conditions(not_before=opens))

    assert (later.task.state, later.task.ready_seq) == (TaskState.APPROVED, None)
    assert later.task.due_at == opens
    assert task_clock.on_time(later, now=NOON + timedelta(hours=4)) is None
    opened = task_clock.on_time(later, now=opens)
    assert opened is not None
    assert opened.ready
    [whole] = claimed(after(later, opened), hours=5).claims
    assert whole.extent is Extent.WHOLE


def test_no_rest_is_claimed_before_there_is_a_canary() -> None:
    assert isinstance(claimed(let_go(), "rest"), Approved)
    assert isinstance(claimed(say(asked(), "approve"), "rest"), Approved)


@pytest.mark.parametrize("no", ["reject", "request_changes"])
@pytest.mark.parametrize("state", [TaskState.EXECUTING, TaskState.PAUSED])
def test_a_no_while_it_is_out_leaves_the_task_where_it_is_and_ends_the_asking(
    state: TaskState, no: str
) -> None:
    record = say(out(state), no, hours=3)

    assert record.task.state is state
    assert record.task.due_at is None
    assert not isinstance(claimed(record, "rest", hours=4), Amendment)
    with pytest.raises(Refused, match="its canary is brought back"):
        say(record, "approve", "bob", hours=4)


def test_who_approved_the_rest_revokes_it_until_it_starts() -> None:
    with pytest.raises(Refused, match="no approval to revoke"):
        say(out(), "revoke", hours=3)
    approved = say(out(), "approve", hours=3)
    with pytest.raises(Refused, match="revoke the approval instead"):
        say(approved, "reject", "bob", hours=3)
    with pytest.raises(Refused, match="approved already"):
        say(approved, "approve", "bob", hours=3)

    revoked = say(approved, "revoke", "bob", hours=3)
    assert not isinstance(claimed(revoked, "rest", hours=4), Amendment)

    started = after(approved, claimed(approved, "rest", hours=4))
    with pytest.raises(Refused, match="come too late"):
        say(started, "revoke", "bob", hours=5)


def test_before_it_starts_a_rejection_ends_the_task() -> None:
    assert say(let_go(), "reject").task.state is TaskState.REJECTED
    assert say(let_go(), "revoke").task.state is TaskState.REVOKED
    assert say(let_go(), "request_changes").task.state is TaskState.PLANNED


def test_the_clock_reminds_of_a_rest_and_says_that_time_ran_out_and_ends_nothing() -> None:
    record = out(TaskState.PAUSED)
    taken = task_clock.on_time(record, now=NOON + timedelta(hours=11))
    assert taken is not None
    assert taken.entries[0].kind == "approval_reminded"

    late = task_clock.on_time(record, now=CANARY.expires_at)

    assert late is not None
    assert late.entries[0].kind == "approval_rest_expired"
    assert (late.task.state, late.task.due_at) == (TaskState.PAUSED, None)


def test_pausing_and_going_on_forgets_no_reminder() -> None:
    record = out()
    from_here = record.task.due_at
    assert from_here is not None

    paused = task_steps.finished(record, task_steps.TaskEvent.PAUSED, now=NOON, by="run")

    assert paused.task.due_at == from_here


def test_the_platform_says_it_once_and_about_its_canary_only() -> None:
    for name in ("autonomy:full_auto", "autonomy:"):
        with pytest.raises(Refused, match="is nobody"):
            say(asked(), "approve", name, role=Role.VIEWER)
    for state in (TaskState.EXECUTING, TaskState.PAUSED):
        with pytest.raises(Refused):
            say(out(state), "approve", PLATFORM, role=Role.VIEWER)
    for kind in set(DecisionKind) - {DecisionKind.APPROVE, DecisionKind.REVIEW}:
        with pytest.raises(Refused):
            say(asked(), kind.value, PLATFORM, role=Role.VIEWER, delegate="ann")


# ---- its rollout's state


def test_nothing_but_the_release_leads_from_the_gate_to_the_rest() -> None:
    gate = RolloutState.AWAITING_APPROVAL
    leads = {event: to for (state, event), to in NEXT.items() if state is gate}

    assert leads == {
        RolloutEvent.RELEASED: RolloutState.RUNNING,
        RolloutEvent.RETRIED: RolloutState.RUNNING,  # of the canary's own assets, within its bound
        RolloutEvent.HELD: RolloutState.HELD,
        RolloutEvent.DENIED: RolloutState.ROLLING_BACK,
        RolloutEvent.ROLLBACK_ASKED: RolloutState.ROLLING_BACK,
        RolloutEvent.CANCELLED: RolloutState.CANCELLED,
    }
    assert {state for state, event in NEXT if event is RolloutEvent.RELEASED} == {gate}


# ---- who hears of it


def test_people_are_told_that_the_rest_asks_for_them_until_they_decided() -> None:
    record = let_go()
    asked_first = entry_of(task_steps.opened(*opening()))
    told = news_of(asked_first, record, record.document)

    assert told is not None
    assert "what follows its canary" in told.message.says
    assert told.message.facts["approvals"].startswith("0 of 1")
    assert holds(told.message, record, now=NOON)
    assert holds(told.message, out(TaskState.PAUSED), now=NOON)
    assert not holds(told.message, say(out(), "approve", hours=3), now=NOON)
    assert not holds(told.message, say(out(), "reject", hours=3), now=NOON)


def test_the_platforms_word_ends_no_asking_and_a_persons_does() -> None:
    by_platform = task_steps.decided(
        asked(), said("approve", PLATFORM, role=Role.VIEWER, digest=asked().task.digest)
    )
    record = let_go()
    told = news_of(entry_of(by_platform), record, record.document)
    assert told is not None
    assert told.resolving == ()
    assert "asks for approval of the rest" in told.message.says

    canary_out = out()
    word = said("approve", number=2, hours=3, digest=canary_out.task.digest)
    by_ann = task_steps.decided(canary_out, word)
    told = news_of(entry_of(by_ann), after(canary_out, by_ann), canary_out.document)
    assert told is not None
    assert told.resolving != ()
    assert told.message.says == "is approved"


def opening() -> Any:
    made = first(content=PLAN, requirement=CANARY)
    return replace(made.task, state=TaskState.CREATED), made.document


def entry_of(taken: Amendment) -> Any:
    """As it stands in the ledger."""
    [new] = taken.entries
    ledger = FakeLedger()
    ledger.append({taken.task.tenant: [new]})
    return list(ledger.entries(taken.task.tenant))[-1]
