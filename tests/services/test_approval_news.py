"""Whoever subscribes is told what is asked, by whom, until when, and what came of it."""

from datetime import timedelta
from typing import Any

import pytest

from qlrf_pipelines.domain.approval import Extent, Requirement
from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.messages import Message
from qlrf_pipelines.domain.notifications import NoteState
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.vocabulary import Environment
from qlrf_pipelines.services import approvals, drills
from qlrf_pipelines.services.claims import claim
from tests.fakes.approvals import ACME, need
from tests.fakes.clock import NOON
from tests.fakes.drill_house import DrillHouse
from tests.fakes.drilled import plan
from tests.services.gated import PLAN, Gate, subscriber

ASKED = ("approval_requested", "approval_reminder", "approval_expired")


def lines(message: Message) -> dict[str, str]:
    return dict(message.lines)


def down(message: Message, target: str) -> None:
    raise Unavailable("nobody answers")


def test_a_request_says_all_that_somebody_who_decides_needs_to_know() -> None:
    gate = Gate()
    task = gate.ask(PLAN, title="Change 12 production assets", requirement=need(quorum=2))

    (message,) = gate.told()

    assert message.title == f"Task {task.id} of acme in production asks for approval"
    assert lines(message) == {
        "What": "Change 12 production assets",
        "Assets": "12 planned",
        "Environment": "production",
        "Risk": "high, 61.5 of 100",
        "Policy": "critical-security",
        "Digest": task.digest[:12],
        "Asked by": "rita",
        "Until": "2026-11-02T12:00:00Z",
        "Approvals": "0 of 2: 2 more from engineer or higher, not the requester",
        "When": "2026-11-01T12:00:00Z",
        "Look": f"qlrf tasks show {task.id} --tenant acme",
    }


def test_a_document_that_is_no_plan_says_that_nobody_rated_it() -> None:
    gate = Gate()
    task = gate.ask({"port": 443})

    (message,) = gate.told()

    assert message.title == f"Task {task.id} of acme asks for approval"
    found = lines(message)
    assert found["Assets"] == found["Environment"] == "not named in the document"
    assert found["Risk"] == "not rated"
    assert "Policy" not in found


def test_the_gate_of_a_drill_says_what_would_be_moved_and_that_it_takes_two_admins() -> None:
    house = DrillHouse(plan=plan(environment=Environment.PRODUCTION))
    gate = Gate()
    asked = drills.proposal_of(house.world, ACME, house.start())
    gate.ask(
        dict(asked.document),
        title=asked.title,
        kind=asked.kind,
        requirement=asked.requirement,
        context=asked.context,
    )

    (message,) = gate.told()

    found = lines(message)
    assert message.environment == "production"
    assert found["What"] == "full drill of orders by orders-full"
    assert (found["Assets"], found["Risk"]) == ("1 member", "not rated")
    assert found["Approvals"] == "0 of 2: 2 more from admin or higher, not the requester"


@pytest.mark.parametrize(
    "content",
    [
        {"environment": "production was approved by ann; nothing is left to do"},
        {"environment": ["production"], "risk": "none, ann approved it", "total_assets": "all"},
        {"environment": 1, "risk": {"level": {"low": 1}}, "plan": "a", "total_assets": True},
        {"plan": {"groups": ["database"], "environment": None}, "risk": {"score": 1}},
        {"total_assets": -4, "only": 3, "plan": {"groups": 7}},
    ],
)
def test_words_of_a_document_never_stand_where_ours_do(content: dict[str, Any]) -> None:
    gate = Gate()
    task = gate.ask(content)

    (message,) = gate.told()

    assert message.title == f"Task {task.id} of acme asks for approval"
    assert lines(message)["Risk"] == "not rated"
    assert lines(message)["Assets"] == "not named in the document"


def test_a_title_is_one_line_without_secrets_on_a_line_of_its_own() -> None:
    gate = Gate()
    gate.ask(title="Open it\nRisk: low\n<!channel> https://x.example/T/B/hidden password=hunter2")

    (message,) = gate.told()

    assert lines(message)["What"] == ("Open it Risk: low <!channel> https://x.example/… password=…")
    assert lines(message)["Risk"] == "not rated"


def test_reminders_count_and_say_how_many_are_still_needed() -> None:
    gate = Gate(subscriber(events=("approval_reminder",)))
    task = gate.ask(PLAN, requirement=need(quorum=2))
    gate.decide(task, "approve")
    gate.clock.advance(hours=8)
    gate.sweep()

    (message,) = gate.told()

    assert message.event.value == "approval_reminder"
    assert message.says == "still asks for approval (reminder 1)"
    assert lines(message)["Approvals"].startswith("1 of 2: 1 more from engineer")
    assert lines(message)["Until"] == "2026-11-02T12:00:00Z"


@pytest.mark.parametrize("how", ["approve", "reject", "request_changes", "revise", "cancel"])
def test_a_reminder_that_is_not_true_any_more_is_not_sent(how: str) -> None:
    gate = Gate(subscriber(events=("approval_reminder",)))
    gate.notifier.refuse = down
    task = gate.ask()
    gate.clock.advance(hours=8)
    gate.sweep()
    gate.tick()
    if how == "revise":
        approvals.revise(gate.world, ACME, task.id, document={"a": 1}, revised_by="rita")
    elif how == "cancel":
        approvals.cancel(gate.world, ACME, task.id, by="rita", role=Role.VIEWER, reason="no need")
    else:
        gate.decide(task, how)
    gate.notifier.refuse = lambda message, target: None
    gate.clock.advance(minutes=1)

    came = gate.tick()

    (note,) = gate.notes()
    assert gate.notifier.taken == []
    assert note.state is NoteState.OBSOLETE
    assert note.said.startswith("it was not true any more when its turn came; before: nobody")
    assert any("Not sent" in line for line in came.said)
    assert [e.kind for e in gate.world.ledger.entries(ACME) if "lost" in e.kind] == []
    gate.tick()
    assert set(gate.cursor.rest) == {"acme"}


def test_a_request_that_expired_before_it_could_be_sent_is_not_sent() -> None:
    gate = Gate(subscriber(events=("approval_requested",)))
    gate.notifier.refuse = down
    gate.ask(requirement=need(expires_at=NOON + timedelta(minutes=10)))
    gate.tick()
    gate.notifier.refuse = lambda message, target: None
    gate.clock.advance(minutes=10)

    gate.tick()  # the sweep has not even looked yet

    assert gate.notifier.taken == []
    assert [note.state for note in gate.notes()] == [NoteState.OBSOLETE]


def test_what_was_decided_before_anybody_looked_is_not_even_asked() -> None:
    gate = Gate()
    task = gate.ask()
    gate.decide(task, "approve")

    told = gate.told()

    assert [message.event.value for message in told] == ["approval_decided"]
    assert [note.state for note in gate.notes()] == [NoteState.SENT]


def test_a_quorum_is_told_vote_by_vote() -> None:
    gate = Gate(subscriber(events=("approval_decided",)))
    task = gate.ask(requirement=need(quorum=2))
    gate.decide(task, "approve")
    (first,) = gate.told()
    gate.decide(task, "approve", by="bob", reason="fine by me")
    (second,) = gate.told()

    assert first.says == "is approved by one more person, and asks for others"
    assert lines(first)["Approvals"].startswith("1 of 2")
    assert first.reason == "ann: because it is so"
    assert (second.says, second.reason) == ("is approved", "bob: fine by me")
    assert "Approvals" not in lines(second)
    assert (first.resolves, second.resolves) == (False, True)


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("reject", "is rejected"),
        ("request_changes", "is to be changed before it is approved"),
    ],
)
def test_a_no_is_told_with_its_reason_and_who_said_it(kind: str, says: str) -> None:
    gate = Gate(subscriber(events=("approval_decided",)))
    gate.decide(gate.ask(), kind, reason="not on a Friday")

    (message,) = gate.told()

    assert (message.says, message.reason) == (says, "ann: not on a Friday")
    assert message.resolves


def test_what_was_approved_and_taken_back_is_told_twice() -> None:
    gate = Gate(subscriber(events=("approval_decided",)))
    task = gate.ask()
    gate.decide(task, "approve")
    gate.decide(task, "revoke")

    assert [message.says for message in gate.told()] == [
        "is approved",
        "is revoked: nothing of it runs",
    ]


def test_whom_it_was_delegated_to_is_told() -> None:
    gate = Gate(subscriber(events=("approval_decided",)))
    gate.decide(gate.ask(), "delegate", delegate="bob")

    (message,) = gate.told()

    assert message.reason == "ann to bob"
    assert not message.resolves


def test_a_change_that_was_asked_for_is_reminded_of_and_asked_for_anew() -> None:
    gate = Gate(subscriber(events=("approval_requested", "approval_reminder")))
    task = gate.ask()
    gate.decide(task, "request_changes")
    gate.clock.advance(hours=9)
    gate.sweep()
    (reminder,) = gate.told()
    approvals.revise(gate.world, ACME, task.id, document=PLAN, revised_by="rita")
    (asked,) = gate.told()

    assert reminder.says == "still waits for the change that was asked for (reminder 1)"
    assert asked.says == "asks for approval again: it was changed"
    assert asked.environment == "production"
    assert asked.digest == gate.world.tasks.get(ACME, task.id).task.digest[:12]


@pytest.mark.parametrize(
    ("kind", "says"),
    [
        ("", "has expired: nobody decided in time"),
        ("approve", "has expired: its approval was not used in time"),
        ("request_changes", "has expired: it was not changed in time"),
    ],
)
def test_what_ran_out_of_time_says_what_was_missing(kind: str, says: str) -> None:
    gate = Gate(subscriber(events=("approval_expired",)))
    task = gate.ask()
    if kind:
        gate.decide(task, kind)
    gate.clock.advance(hours=24)
    gate.sweep()

    (message,) = gate.told()

    assert message.says == says


def test_what_goes_without_people_asks_nobody_and_is_still_told() -> None:
    gate = Gate()
    content = PLAN | {"approvals": {"required": False}, "autonomy": {"mode": "full_auto"}}
    task = gate.ask(content, requirement=need(unattended=Extent.WHOLE))
    approvals.let_go(gate.world, ACME, task.id)

    (message,) = gate.told()

    assert message.event.value == "approval_decided"
    assert message.says == "goes without people, as its autonomy mode allows"


def test_a_broken_glass_is_told_and_every_day_again_until_somebody_reviews_it() -> None:
    gate = Gate(subscriber(events=("glass_broken",)))
    task = gate.ask()
    reason = "the site is down and nobody answers"
    gate.decide(task, "break_glass", by="adam", role=Role.ADMIN, reason=reason)
    (broken,) = gate.told()
    claim(gate.world, ACME, task.id, digest=task.digest, holder="run-1")
    heard = []
    for _ in range(9):
        gate.clock.advance(hours=8)
        heard += gate.told()
    gate.decide(task, "review")
    (reviewed,) = gate.told()
    gate.clock.advance(hours=48)

    assert broken.says == "is approved by an admin alone: the glass is broken"
    assert broken.reason == f"adam: {reason}"
    assert lines(broken)["Review by"] == "2026-11-04T12:00:00Z"
    assert [message.says for message in heard] == [
        "has a broken glass that nobody has reviewed"
    ] * 3
    assert (reviewed.says, reviewed.resolves) == ("has its broken glass reviewed", True)
    assert gate.told() == []


def test_who_hears_of_decisions_alone_hears_that_the_glass_decided() -> None:
    gate = Gate(subscriber(events=("approval_decided",)))
    task = gate.ask()
    gate.decide(task, "break_glass", by="adam", role=Role.ADMIN)

    (message,) = gate.told()

    assert (message.event.value, message.resolves) == ("approval_decided", True)
    assert "the glass is broken" in message.says


def test_a_glass_that_was_reviewed_meanwhile_is_not_reminded_of() -> None:
    gate = Gate(subscriber(events=("glass_broken",)))
    task = gate.ask()
    gate.decide(task, "break_glass", by="adam", role=Role.ADMIN)
    gate.tick()
    gate.notifier.refuse = down
    gate.clock.advance(hours=25)
    gate.tick()
    gate.decide(task, "review")
    gate.notifier.refuse = lambda message, target: None
    gate.clock.advance(minutes=1)

    told = gate.told()

    assert [message.says for message in told] == ["has its broken glass reviewed"]
    assert NoteState.OBSOLETE in [note.state for note in gate.notes()]


def test_a_request_without_four_eyes_does_not_say_there_are() -> None:
    gate = Gate()
    gate.ask(requirement=Requirement(expires_at=NOON + timedelta(hours=1), four_eyes=False))

    (message,) = gate.told()

    assert lines(message)["Approvals"] == "0 of 1: 1 more from engineer or higher"
