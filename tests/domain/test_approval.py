"""What decisions come to: never more than enough people, other than the requester, said in time."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.approval import (
    NO_CONDITIONS,
    Approved,
    ChangesRequested,
    Conditions,
    DecisionKind,
    Expired,
    Extent,
    Pending,
    Rejected,
    Revoked,
    requirement_for,
    standing,
    voters,
)
from qlrf_pipelines.domain.glass import review_due
from qlrf_pipelines.domain.roles import Permission, Role, may, permissions, person
from qlrf_pipelines.domain.vocabulary import RiskLevel
from tests.fakes.approvals import DIGEST, need, said
from tests.fakes.clock import NOON

LATER = NOON + timedelta(hours=2)


def come(*decisions, requirement=None, now=LATER, requester="rita", digest=DIGEST, author=""):
    return standing(
        requirement or need(),
        decisions,
        digest=digest,
        requester=requester,
        author=author,
        now=now,
    )


def test_nobody_said_anything_so_it_waits_and_says_how_long():
    assert come() == Pending(have=0, need=1, until=NOON + timedelta(hours=24))


def test_one_engineer_is_enough_for_one():
    came = come(said("approve"))

    assert isinstance(came, Approved)
    assert came.by == ("ann",)
    assert came.conditions == NO_CONDITIONS


@pytest.mark.parametrize("name", ["rita", " Rita", "RITA "])
def test_the_requester_never_approves_however_they_write_their_name(name):
    assert isinstance(come(said("approve", name)), Pending)
    assert isinstance(come(said("break_glass", name, role=Role.ADMIN)), Pending)


@pytest.mark.parametrize("name", ["ann", " Ann", "ANN "])
def test_who_wrote_the_document_as_it_is_now_says_no_and_never_yes(name):
    assert isinstance(come(said("approve", name), author="ann"), Pending)
    assert isinstance(come(said("break_glass", name, role=Role.ADMIN), author="ann"), Pending)
    to_author = (said("delegate", "bob", delegate=name), said("approve", name, number=2))
    assert isinstance(come(*to_author, author="ann"), Pending)
    by_author = said("delegate", name, delegate="vic")
    spoke = said("approve", "vic", number=2, role=Role.VIEWER)
    assert isinstance(come(by_author, spoke, author="ann"), Pending)
    assert isinstance(come(said("reject", name), author="ann"), Rejected)
    assert isinstance(come(said("approve", "bob"), author="ann"), Approved)
    assert voters(need(), [said("approve", name)], requester="rita", author="ann") == ()
    broken = said("break_glass", "ada", role=Role.ADMIN)
    review = said("review", name, number=2)
    assert review_due([broken, review], requester="rita", author="ann") == broken


def test_two_people_are_two_people():
    two = need(quorum=2)

    assert come(said("approve"), said("approve", number=2), requirement=two) == Pending(
        have=1, need=2, until=two.expires_at
    )
    assert isinstance(
        come(said("approve"), said("approve", "ANN ", number=2), requirement=two), Pending
    )
    assert isinstance(
        come(said("approve"), said("approve", "bob", number=2), requirement=two), Approved
    )


@pytest.mark.parametrize("role", [Role.VIEWER, Role.OPERATOR])
def test_who_may_not_approve_does_not_count(role):
    assert isinstance(come(said("approve", role=role)), Pending)
    assert isinstance(come(said("reject", role=role)), Pending)


def test_an_admin_is_needed_where_one_is_asked_for():
    assert isinstance(come(said("approve"), requirement=need(role=Role.ADMIN)), Pending)


def test_a_word_about_another_digest_is_not_about_this_one():
    assert isinstance(come(said("approve", digest="e" * 64)), Pending)
    assert isinstance(come(said("approve"), digest="e" * 64), Pending)


def test_one_no_is_a_no_also_of_the_requester():
    assert come(said("reject"), said("approve", "bob", number=2)) == Rejected(
        by="ann", reason="because it is so"
    )
    assert isinstance(come(said("reject", "rita")), Rejected)
    assert isinstance(come(said("request_changes")), ChangesRequested)
    assert isinstance(come(said("approve"), said("revoke", "bob", number=2)), Revoked)


def test_time_rejects_and_never_approves():
    end = need().expires_at

    assert come(now=end) == Expired(at=end)
    assert come(said("approve", at=end), now=end + timedelta(hours=1)) == Expired(at=end)


def test_an_approval_in_the_last_minute_still_has_its_whole_day():
    last = need().expires_at - timedelta(minutes=1)

    assert isinstance(come(said("approve", at=last), now=last + timedelta(hours=23)), Approved)
    assert isinstance(come(said("approve", at=last), now=last + timedelta(hours=24)), Expired)


def test_a_quorum_reached_too_late_is_no_quorum():
    two, end = need(quorum=2), need().expires_at

    came = come(said("approve"), said("approve", "bob", number=2, at=end), requirement=two, now=end)

    assert isinstance(came, Expired)


def test_the_strictest_conditions_of_all_hold():
    window = Conditions(not_before=NOON + timedelta(hours=5), not_after=NOON + timedelta(hours=9))
    wide = Conditions(not_before=NOON + timedelta(hours=3), max_batch=4)
    small = Conditions(max_batch=7)

    came = come(
        said("approve", conditions=window),
        said("approve", "bob", number=2, conditions=wide),
        said("approve", "cid", number=3, conditions=small),
        requirement=need(quorum=3),
    )

    assert came.conditions == Conditions(
        not_before=NOON + timedelta(hours=5), not_after=NOON + timedelta(hours=9), max_batch=4
    )
    assert came.until == NOON + timedelta(hours=9)


def test_a_window_in_three_days_is_waited_for():
    opens = NOON + timedelta(days=3)

    came = come(said("approve", conditions=Conditions(not_before=opens)), now=opens)

    assert isinstance(came, Approved)
    assert came.until == opens + timedelta(hours=24)


def test_a_delegate_speaks_for_the_delegator_and_not_beside_them():
    two = need(quorum=2)
    gave = said("delegate", "ann", delegate="vic")
    spoke = said("approve", "vic", number=2, role=Role.VIEWER)
    also = said("approve", "ann", number=3)

    assert isinstance(come(gave, spoke), Approved)
    assert isinstance(come(gave, spoke, also, requirement=two), Pending)
    assert isinstance(
        come(gave, spoke, also, said("approve", "bob", number=4), requirement=two), Approved
    )


def test_a_delegate_with_two_words_is_still_one_person():
    came = come(
        said("delegate", "ann", delegate="vic"),
        said("delegate", "bob", number=2, delegate="vic"),
        said("approve", "vic", number=3, role=Role.VIEWER),
        said("approve", "vic", number=4, role=Role.VIEWER),
        requirement=need(quorum=2),
    )

    assert came == Pending(have=1, need=2, until=need().expires_at)


def test_what_one_may_not_do_cannot_be_delegated_nor_passed_on():
    nothing = said("delegate", "vic", role=Role.VIEWER, delegate="wil")
    spoke = said("approve", "wil", number=3, role=Role.VIEWER)

    assert isinstance(come(nothing, spoke), Pending)
    given = said("delegate", "ann", number=1, delegate="vic")
    passed = said("delegate", "vic", number=2, role=Role.VIEWER, delegate="wil")
    assert isinstance(come(given, passed, spoke), Pending)


def test_the_requester_is_nobodys_delegate_and_delegates_nothing():
    to_rita = said("delegate", "ann", delegate="Rita")
    by_rita = said("delegate", "rita", delegate="vic")

    assert isinstance(come(to_rita, said("approve", "rita", number=2)), Pending)
    assert isinstance(come(by_rita, said("approve", "vic", number=2, role=Role.VIEWER)), Pending)


def test_an_admin_breaks_the_glass_alone_and_somebody_else_reviews_it():
    broken = said("break_glass", "ada", role=Role.ADMIN)
    came = come(broken, requirement=need(quorum=3))

    assert isinstance(came, Approved)
    assert came.broke_glass
    assert isinstance(come(said("break_glass")), Pending)
    assert isinstance(come(broken, requirement=need(break_glass=False)), Pending)
    for reviewer, left in (("ada", broken), ("rita", broken), ("bob", None)):
        found = review_due([broken, said("review", reviewer, number=2)], requester="rita")
        assert found == left
    weak = said("review", "vic", number=2, role=Role.VIEWER)
    assert review_due([broken, weak], requester="rita") == broken


def test_a_critical_risk_asks_for_two():
    assert {risk: requirement_for(risk, now=NOON).quorum for risk in RiskLevel} == {
        RiskLevel.LOW: 1,
        RiskLevel.MEDIUM: 1,
        RiskLevel.HIGH: 1,
        RiskLevel.CRITICAL: 2,
    }
    assert all(requirement_for(risk, now=NOON).four_eyes for risk in RiskLevel)


PEOPLE = st.sampled_from(["rita", "ann", "bob", "vic", "Ann "])
WORDS = st.lists(
    st.builds(
        said,
        st.sampled_from([kind.value for kind in DecisionKind]),
        PEOPLE,
        hours=st.floats(0, 30),
        role=st.sampled_from(list(Role)),
        delegate=PEOPLE,
        digest=st.sampled_from([DIGEST, "e" * 64]),
    ),
    max_size=8,
)


@given(words=WORDS, quorum=st.integers(1, 3), hours=st.floats(0, 60), data=st.data())
def test_leaving_out_a_yes_never_makes_it_approved(words, quorum, hours, data):
    numbered = [one for one in words if one.kind is not DecisionKind.REVIEW]
    now, requirement = NOON + timedelta(hours=hours), need(quorum=quorum)
    came = come(*numbered, requirement=requirement, now=now)
    yes = (DecisionKind.APPROVE, DecisionKind.BREAK_GLASS, DecisionKind.DELEGATE)
    left = [one for one in numbered if one.kind not in yes or data.draw(st.booleans())]

    if not isinstance(come(*left, requirement=requirement, now=now), Approved):
        return
    no = (Rejected, Revoked, ChangesRequested)
    assert isinstance(came, (Approved, *no, Expired))


@given(words=WORDS, quorum=st.integers(1, 3), hours=st.floats(0, 60))
def test_an_approval_has_enough_distinct_people_none_of_them_the_requester(words, quorum, hours):
    came = come(*words, requirement=need(quorum=quorum), now=NOON + timedelta(hours=hours))

    if isinstance(came, Approved) and not came.broke_glass:
        names = {person(name) for name in came.by}
        assert len(names) >= quorum
    if isinstance(came, Approved):
        assert "rita" not in {person(name) for name in came.by}
        assert NOON + timedelta(hours=hours) < came.until


def test_there_are_fifteen_permissions_and_every_role_holds_the_ones_below():
    assert len(permissions(Role.ADMIN)) == 16 == len(Permission)
    for lower, higher in zip(list(Role), list(Role)[1:], strict=False):
        assert permissions(lower) < permissions(higher)
    assert may(Role.ENGINEER, Permission.APPROVE_TASKS)
    assert not may(Role.OPERATOR, Permission.APPROVE_TASKS)
    assert not may(Role.ENGINEER, Permission.APPROVE_EXCEPTIONS)


def test_a_requests_own_limits_hold_whatever_approvers_say():
    opens, closes = NOON + timedelta(hours=4), NOON + timedelta(hours=8)
    limits = Conditions(not_before=opens, not_after=closes, max_batch=5)
    wider = Conditions(not_before=NOON, not_after=NOON + timedelta(days=9), max_batch=50)

    came = come(said("approve", conditions=wider), requirement=need(limits=limits))

    assert isinstance(came, Approved)
    assert came.conditions == limits
    assert came.until == closes


def test_the_platform_approves_only_what_asks_for_nobody():
    word = said("approve", "autonomy:full_auto", role=Role.VIEWER)

    assert isinstance(come(word), Pending)
    came = come(word, requirement=need(unattended=Extent.WHOLE))
    assert isinstance(came, Approved)
    assert came.by == ("autonomy:full_auto",)


@given(kind=st.sampled_from(DecisionKind), role=st.sampled_from(Role), own=st.booleans())
def test_the_platform_says_nothing_else_of_any_weight(kind, role, own):
    name = "Autonomy:full_auto " if own else "autonomy:risk_based"
    word = said(kind.value, name, role=role, delegate="bob")

    assert isinstance(come(word), Pending)
    if kind is not DecisionKind.APPROVE:
        assert isinstance(come(word, requirement=need(unattended=Extent.WHOLE)), Pending)


def test_people_stop_what_the_platform_let_go():
    words = (said("approve", "autonomy:full_auto"), said("revoke", "bob", number=2))

    assert isinstance(come(*words, requirement=need(unattended=Extent.WHOLE)), Revoked)


def test_voters_are_people_with_the_role_that_gives_their_word_weight():
    words = (
        said("delegate", "ann", delegate="dan"),
        said("approve", "dan", number=2, role=Role.VIEWER),
        said("approve", "bob", number=3, role=Role.ADMIN),
        said("approve", "rita", number=4),
    )

    found = voters(need(quorum=2), words, requester="rita")

    assert set(found) == {("dan", Role.ENGINEER), ("bob", Role.ADMIN)}
    assert (
        voters(need(unattended=Extent.WHOLE), [said("approve", "autonomy:x")], requester="r") == ()
    )
