"""Steps of a task: what is refused, and what a clock that runs behind cannot do."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from qlrf_pipelines.domain import task_clock, task_steps
from qlrf_pipelines.domain.approval import Approved, Conditions, Expired, Extent
from qlrf_pipelines.domain.errors import Refused, Rejected
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import Amendment, Claim, Record, TaskState
from tests.fakes.approvals import first, need, said
from tests.fakes.clock import NOON


def record(**parts: Any) -> Record:
    made = first(**parts)
    assert made.document is not None
    return Record(task=made.task, document=made.document)


def after(before: Record, taken: Amendment) -> Record:
    return replace(
        before,
        task=taken.task,
        decisions=(*before.decisions, *taken.decisions),
        claims=(*before.claims, *taken.claims),
    )


def say(before: Record, kind: str = "approve", by: str = "ann", **parts: Any) -> Record:
    word = said(
        kind, by, number=len(before.decisions) + 1, **({"digest": before.task.digest} | parts)
    )
    return after(before, task_steps.decided(before, word))


def take(before: Record, *, hours: float = 2, stage: str = "execute") -> Any:
    at = NOON + timedelta(hours=hours)
    mine = Claim(digest=before.task.digest, stage=stage, holder="run", claimed_at=at)
    return task_steps.claimed(before, mine)


def test_a_clock_that_runs_behind_does_not_bring_an_approval_back():
    approved = say(record())
    late = replace(approved, task=replace(approved.task, changed_at=NOON + timedelta(hours=30)))

    assert isinstance(task_steps.standing_of(approved, now=NOON), Approved)
    assert isinstance(task_steps.standing_of(late, now=NOON), Expired)


def test_what_started_is_neither_revoked_nor_expired():
    approved = say(record())
    running = after(approved, take(approved))

    with pytest.raises(Refused, match="come too late"):
        say(running, "revoke", hours=3)
    assert task_clock.on_time(running, now=NOON + timedelta(days=9)) is None


def test_a_second_stage_of_the_same_digest_goes_on_under_the_same_approval():
    approved = say(record())
    running = after(approved, take(approved, stage="canary"))

    again = take(running, hours=40, stage="rest")

    assert isinstance(again, Amendment)
    assert again.task.state is TaskState.EXECUTING


def test_a_no_needs_a_reason_and_conditions_need_to_be_possible():
    with pytest.raises(Rejected, match="reason"):
        say(record(), "reject", reason=" ")
    with pytest.raises(Rejected, match="reason somebody can review"):
        say(record(), "break_glass", reason="now", role=Role.ADMIN)
    never = Conditions(not_before=NOON + timedelta(hours=5), not_after=NOON + timedelta(hours=5))
    with pytest.raises(Rejected, match="No moment"):
        say(record(), conditions=never)
    with pytest.raises(Rejected, match="over already"):
        say(record(), conditions=Conditions(not_after=NOON))
    with pytest.raises(Rejected, match="No moment or batch"):
        say(record(), conditions=Conditions(max_batch=0))


def test_two_windows_that_exclude_each_other_are_refused_with_the_second():
    early = Conditions(not_after=NOON + timedelta(hours=3))
    late = Conditions(not_before=NOON + timedelta(hours=4))
    first_said = say(record(requirement=need(quorum=2)), conditions=early)

    with pytest.raises(Rejected, match="together with those of the request"):
        say(first_said, "approve", "bob", conditions=late)
    with pytest.raises(Rejected, match="together with those of the request"):
        say(first_said, "break_glass", "bob", conditions=late, role=Role.ADMIN)
    with pytest.raises(Rejected, match="together with those of the request"):
        say(record(requirement=need(limits=late)), conditions=early)

    apart = say(first_said, "reject", "bob")
    assert apart.task.state is TaskState.REJECTED
    assert isinstance(take(say(first_said, "approve", "bob")), Amendment)


def test_windows_that_exclude_each_other_never_open_though_both_were_kept():
    early = said("approve", conditions=Conditions(not_after=NOON + timedelta(hours=3)))
    late = said(
        "approve", "bob", number=2, conditions=Conditions(not_before=NOON + timedelta(hours=4))
    )
    asked = record(requirement=need(quorum=2))
    words = tuple(replace(one, digest=asked.task.digest) for one in (early, late))
    both = replace(asked, task=replace(asked.task, state=TaskState.APPROVED), decisions=words)

    for hours in (2, 3.5, 5):
        assert not isinstance(take(both, hours=hours), Amendment)


@pytest.mark.parametrize(
    ("kind", "hint"), [("revoke", "no approval to revoke"), ("review", "no broken glass")]
)
def test_what_cannot_be_said_yet_says_what_to_do_instead(kind, hint):
    with pytest.raises(Refused, match=hint):
        say(record(), kind)


@pytest.mark.parametrize("name", ["ann", " Ann"])
def test_nobody_delegates_to_themselves(name):
    with pytest.raises(Rejected, match="to somebody else"):
        say(record(), "delegate", delegate=name)


def test_after_changes_were_requested_it_says_what_is_waited_for():
    for kind in ("approve", "reject", "delegate"):
        with pytest.raises(Refused, match="once its document is revised"):
            say(say(record(), "request_changes", "bob"), kind, "eve")


def test_an_approval_is_revoked_and_not_rejected():
    with pytest.raises(Refused, match="revoke the approval instead"):
        say(say(record()), "reject", "bob")


def test_a_word_about_another_digest_says_to_look_again():
    with pytest.raises(Refused, match="look at it again"):
        say(record(), digest="e" * 64)


def test_a_broken_glass_stays_marked_until_somebody_else_reviews_it():
    broken = say(record(requirement=need(quorum=2)), "break_glass", "ada", role=Role.ADMIN)
    assert broken.task.state is TaskState.APPROVED
    assert broken.task.review_due
    done = after(broken, take(broken))

    for by in ("ada", "rita"):
        with pytest.raises(Refused, match="neither"):
            say(done, "review", by)
    assert not say(done, "review", "bob").task.review_due


FREE = {"approvals": {"required": False}, "autonomy": {"mode": "full_auto"}}


@pytest.mark.parametrize(
    "content",
    [
        {"restart": ["i-1"]},
        FREE | {"approvals": {"required": True}},
        FREE | {"approvals": {}},
        FREE | {"approvals": {"required": None}},
        FREE | {"approvals": "none"},
        FREE | {"autonomy": {}},
        {"approvals": {"required": False}},
    ],
)
def test_a_document_that_does_not_say_that_nobody_is_needed_needs_somebody(content):
    with pytest.raises(Rejected, match="asks for people"):
        record(content=content, requirement=need(unattended=Extent.WHOLE))

    asked = record(content=content)
    with pytest.raises(Refused):
        say(asked, by="autonomy:full_auto", role=Role.VIEWER)


def test_the_platform_approves_under_the_mode_the_document_names_and_no_other():
    asked = record(content=FREE, requirement=need(unattended=Extent.WHOLE))

    with pytest.raises(Refused, match="is nobody"):
        say(asked, by="autonomy:risk_based", role=Role.VIEWER)
    approved = say(asked, by="autonomy:full_auto", role=Role.VIEWER)

    assert approved.task.state is TaskState.APPROVED
    assert isinstance(take(approved), Amendment)


def test_whether_anybody_is_asked_is_part_of_the_digest():
    asked = record(content=FREE)

    assert (
        record(content=FREE, requirement=need(unattended=Extent.WHOLE)).task.digest
        != asked.task.digest
    )


def test_a_window_of_the_request_keeps_an_approval_from_being_ready():
    opens = NOON + timedelta(hours=4)
    asked = record(requirement=need(limits=Conditions(not_before=opens)))

    word = said(number=1, kind="approve", digest=asked.task.digest)
    taken = task_steps.decided(asked, word)

    assert not taken.ready
    assert taken.task.due_at == opens
    assert isinstance(take(after(asked, taken)), Approved)
    assert isinstance(take(after(asked, taken), hours=4), Amendment)
