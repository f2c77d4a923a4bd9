"""Recovery promises that hold on every platform two sites of which can be had in a test."""

import pytest

from qlrf_pipelines.domain.errors import Rejected, Unavailable
from qlrf_pipelines.domain.operations import Health, Status
from qlrf_pipelines.domain.recovery import (
    Member,
    MoveKind,
    ReplicationStatus,
    Serving,
    Side,
)
from qlrf_pipelines.domain.recovery_plans import ProbeType
from tests.fakes.recovery_sites import DRILL, OTHER, Sites, a_move, again, finish, finish_killed

ISOLATE, FAIL_OVER, SWITCH = MoveKind.ISOLATE, MoveKind.FAIL_OVER, MoveKind.SWITCH
FAIL_BACK, CLEAN_UP = MoveKind.FAIL_BACK, MoveKind.CLEAN_UP
REAL = (ISOLATE, FAIL_OVER, SWITCH, FAIL_BACK, CLEAN_UP)


REAL_PEER = pytest.mark.real


@pytest.fixture(
    params=[
        "aws",
        pytest.param("vsphere", marks=REAL_PEER),
        pytest.param("kubernetes", marks=REAL_PEER),
        pytest.param("kubernetes-apart", marks=REAL_PEER),
    ]
)
def sites(request: pytest.FixtureRequest) -> Sites:
    if request.param == "aws":
        from tests.fakes.aws_sites import AwsSites

        return AwsSites()
    if request.param == "vsphere":
        from tests.fakes.vcsim_sites import VcsimSites

        return VcsimSites()
    from tests.fakes.kubernetes_sites import KubernetesSites

    return KubernetesSites(apart=request.param == "kubernetes-apart")


def test_a_test_drill_leaves_the_primary_serving_and_goes_without_a_trace(sites: Sites) -> None:
    before = sites.world()

    for kind in REAL[:3]:
        assert finish(sites, a_move(kind, test=True)).status is Status.SUCCEEDED
        assert sites.served_by() is Side.PRIMARY
    during = dict(sites.session().serving())
    left = list(sites.session().leftovers(DRILL))
    for kind in REAL[3:]:
        assert finish(sites, a_move(kind, test=True)).status is Status.SUCCEEDED

    assert during == {Side.PRIMARY: Serving.LIVE, Side.RECOVERY: Serving.ISOLATED}
    assert left
    assert sites.session().leftovers(DRILL) == []
    assert sites.world() == before


def test_a_real_move_fences_brings_up_switches_and_comes_back(sites: Sites) -> None:
    before = sites.world()

    assert finish(sites, a_move(ISOLATE)).status is Status.SUCCEEDED
    assert not sites.primary_works()
    assert sites.session().serving()[Side.PRIMARY] is Serving.ISOLATED
    assert finish(sites, a_move(FAIL_OVER)).status is Status.SUCCEEDED
    assert finish(sites, a_move(SWITCH)).status is Status.SUCCEEDED
    assert sites.served_by() is Side.RECOVERY
    assert sites.session().serving()[Side.RECOVERY] is Serving.LIVE
    assert finish(sites, a_move(FAIL_BACK)).status is Status.SUCCEEDED
    assert sites.served_by() is Side.PRIMARY
    assert sites.session().serving()[Side.PRIMARY] is Serving.LIVE
    assert finish(sites, a_move(CLEAN_UP)).status is Status.SUCCEEDED

    assert sites.session().leftovers(DRILL) == []
    assert sites.world() == before


@pytest.mark.slow
@pytest.mark.parametrize("kind", REAL)
def test_killed_after_any_change_of_a_move_nothing_is_done_twice(
    sites: Sites, kind: MoveKind
) -> None:
    before = sites.world()
    at, died = 0, True
    while died:
        drill = f"drill-{at:02}"
        for step in REAL:
            move = a_move(step, drill=drill)
            if step is kind:
                died = finish_killed(sites, move, at=at)
            else:
                assert finish(sites, move).status is Status.SUCCEEDED
            if step is SWITCH:
                assert sites.served_by() is Side.RECOVERY
                assert sites.made() == sites.expected
        assert sites.session().leftovers(drill) == []
        at += 1

    assert sites.world() == before
    assert at > 1  # it did change something, and was killed after it


def test_a_finished_move_asked_again_changes_nothing(sites: Sites) -> None:
    for kind in (ISOLATE, FAIL_OVER, SWITCH):
        ended = finish(sites, a_move(kind))
        now = sites.world()

        assert finish(sites, again(a_move(kind), ended.checkpoint)).status is Status.SUCCEEDED
        assert sites.world() == now


def test_cleaning_up_is_refused_while_the_recovery_side_serves(sites: Sites) -> None:
    for kind in (ISOLATE, FAIL_OVER, SWITCH):
        finish(sites, a_move(kind))
    now = sites.world()

    progress = finish(sites, a_move(CLEAN_UP))

    assert progress.status is Status.FAILED
    assert "fail back first" in progress.detail
    assert sites.world() == now


def test_failing_back_in_the_middle_brings_everything_back(sites: Sites) -> None:
    before = sites.world()
    finish(sites, a_move(ISOLATE))
    sites.session().advance(a_move(FAIL_OVER))

    assert finish(sites, a_move(FAIL_BACK)).status is Status.SUCCEEDED
    assert finish(sites, a_move(CLEAN_UP)).status is Status.SUCCEEDED

    assert sites.served_by() is Side.PRIMARY
    assert sites.world() == before


def test_a_drill_neither_sees_nor_removes_what_another_has_made(sites: Sites) -> None:
    finish(sites, a_move(FAIL_OVER, test=True))
    now = sites.world()

    assert sites.session().leftovers(OTHER) == []
    assert finish(sites, a_move(CLEAN_UP, drill=OTHER)).status is Status.SUCCEEDED
    assert sites.world() == now


def test_a_member_neither_sees_nor_removes_what_another_member_has(sites: Sites) -> None:
    finish(sites, a_move(FAIL_OVER, test=True))
    now = sites.world()

    other = sites.session_of("other")

    assert other.leftovers(DRILL) == []
    assert finish(sites, a_move(CLEAN_UP), other).status is Status.SUCCEEDED
    assert sites.world() == now


def test_a_second_drill_cannot_fence_what_the_first_has_fenced(sites: Sites) -> None:
    finish(sites, a_move(ISOLATE))

    progress = finish(sites, a_move(ISOLATE, drill=OTHER))

    assert progress.status is Status.FAILED
    assert DRILL in progress.detail


def test_failing_back_another_drill_touches_nothing(sites: Sites) -> None:
    for kind in (ISOLATE, FAIL_OVER, SWITCH):
        finish(sites, a_move(kind))
    now = sites.world()

    finish(sites, a_move(FAIL_BACK, drill=OTHER))

    assert sites.world() == now


def test_what_cannot_be_read_is_unknown_and_never_nothing(sites: Sites) -> None:
    dead = sites.unreachable()

    assert dead.replication().status is ReplicationStatus.UNKNOWN
    assert dead.replication().lag_seconds is None
    assert set(dead.serving().values()) == {Serving.UNKNOWN}
    with pytest.raises(Unavailable):
        dead.leftovers(DRILL)
    for kind in REAL:
        with pytest.raises(Unavailable):
            dead.advance(a_move(kind))


def test_before_a_drill_the_primary_serves_and_the_recovery_side_does_not(sites: Sites) -> None:
    serving = sites.session().serving()

    assert serving[Side.PRIMARY] is Serving.LIVE
    assert serving[Side.RECOVERY] in (Serving.ABSENT, Serving.STANDBY, Serving.STOPPED)


def test_a_member_without_a_canary_has_none(sites: Sites) -> None:
    assert [sites.session().canary(side, drill=DRILL) for side in Side] == [None, None]


def test_settings_of_somebody_else_are_rejected_before_anything_is_reached(sites: Sites) -> None:
    for settings in ({}, {**sites.member.settings, "surprise": 1}):
        member = Member(name="web", adapter=sites.member.adapter, settings=settings)
        with pytest.raises(Rejected, match="Member web"):
            sites.adapter().open(member)


def test_a_secret_that_leads_nowhere_is_rejected(sites: Sites) -> None:
    settings = sites.without_credentials()
    member = Member(name="web", adapter=sites.member.adapter, settings=settings)

    with pytest.raises(Rejected, match="NOWHERE"):
        sites.adapter().open(member)


@pytest.mark.parametrize("kind", [ProbeType.SQL, ProbeType.COMMAND])
def test_a_check_that_is_not_answered_proves_nothing_and_the_others_find_nothing_there_yet(
    sites: Sites, kind: ProbeType
) -> None:
    check = {"type": kind.value, "statement": "SELECT 1", "command": ["true"], "expect": None}

    answer = sites.session().ask(Side.RECOVERY, check, drill=DRILL, timeout_seconds=5)

    answered = kind in sites.adapter().answers
    assert answer.health is (Health.UNHEALTHY if answered else Health.UNKNOWN), answer.why
