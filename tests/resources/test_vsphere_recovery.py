"""What only a vCenter can get wrong."""

from dataclasses import replace

import pytest

from qlrf_pipelines.domain.errors import Denied, Unavailable
from qlrf_pipelines.domain.operations import Status
from qlrf_pipelines.domain.recovery import MoveKind, ReplicationStatus, Serving, Side
from tests.fakes.recovery_sites import DRILL, a_move, again, finish
from tests.fakes.vcsim_sites import ISOLATED, PRODUCTION, REFERENCES, VcsimSites

pytestmark = pytest.mark.real
ISOLATE, FAIL_OVER, SWITCH = MoveKind.ISOLATE, MoveKind.FAIL_OVER, MoveKind.SWITCH


@pytest.fixture
def sites() -> VcsimSites:
    return VcsimSites()


def test_replication_is_the_age_of_the_newest_snapshot(sites: VcsimSites) -> None:
    found = sites.session().replication()

    assert found.status is ReplicationStatus.IN_SYNC
    assert found.lag_seconds is not None
    assert 3500 < found.lag_seconds < 3700  # the fixture's clock is an hour ahead


def test_a_machine_without_a_snapshot_cannot_come_back_and_has_no_lag(sites: VcsimSites) -> None:
    machine = sites.vcsim.machine(sites.names[0])
    sites.vcsim.done(machine.RemoveAllSnapshots_Task(None))

    found = sites.session().replication()
    progress = finish(sites, a_move(FAIL_OVER, test=True))

    assert (found.status, found.lag_seconds) == (ReplicationStatus.FAILED, None)
    assert progress.status is Status.FAILED
    assert "snapshot" in progress.detail


def test_clones_never_touch_the_production_network_before_the_switch(sites: VcsimSites) -> None:
    finish(sites, a_move(ISOLATE))
    finish(sites, a_move(FAIL_OVER))

    clones = [found for name, found in sites.world().items() if name.startswith("qlrf-")]
    ours = [networks for _, networks, marks in clones if marks["qlrf.source"] in sites.names]

    assert ours == [[ISOLATED], [ISOLATED]]
    assert sites.session().serving()[Side.RECOVERY] is Serving.ISOLATED


def test_a_running_machine_whose_guest_is_not_up_has_not_come_back(sites: VcsimSites) -> None:
    session = sites.session()
    for _ in range(5):
        progress = session.advance(a_move(FAIL_OVER, test=True))

    assert progress.status is Status.RUNNING
    assert "guests" in progress.detail


def test_nothing_is_switched_into_a_network_the_primary_still_runs_in(sites: VcsimSites) -> None:
    finish(sites, a_move(FAIL_OVER))

    progress = finish(sites, a_move(SWITCH))

    assert progress.status is Status.FAILED
    assert "isolate first" in progress.detail
    assert sites.served_by() is Side.PRIMARY


def test_nothing_is_switched_before_every_machine_has_come_back(sites: VcsimSites) -> None:
    finish(sites, a_move(ISOLATE))

    progress = finish(sites, a_move(SWITCH))

    assert progress.status is Status.FAILED
    assert "fail over first" in progress.detail


def test_a_wrong_name_is_no_fenced_machine(sites: VcsimSites) -> None:
    machines = [{"name": sites.names[0]}, {"name": "nobody"}]
    settings = {**sites.member.settings, "machines": machines}
    sites.member = replace(sites.member, settings=settings)

    progress = finish(sites, a_move(ISOLATE))

    assert progress.status is Status.FAILED
    assert "nobody" in progress.detail
    assert sites.primary_works()


def test_a_clone_of_a_fenced_machine_is_not_fenced_itself(sites: VcsimSites) -> None:
    finish(sites, a_move(ISOLATE))
    finish(sites, a_move(FAIL_OVER))

    clones = [found for name, found in sites.world().items() if name.startswith("qlrf-")]
    ours = [marks for _, _, marks in clones if marks["qlrf.source"] in sites.names]

    assert len(ours) == 2
    assert all("qlrf.fenced" not in marks for marks in ours)
    assert all(marks["qlrf.drill"] == DRILL for marks in ours)


@pytest.mark.parametrize(
    ("field", "value"),
    [("pool", "DC0_C0/Nowhere"), ("isolated", "nowhere"), ("folder", "nowhere")],
)
def test_a_place_that_is_not_there_fails_the_move_by_name(
    sites: VcsimSites, field: str, value: str
) -> None:
    recovery = {**sites.member.settings["recovery"], field: value}
    sites.member = replace(sites.member, settings={**sites.member.settings, "recovery": recovery})

    progress = finish(sites, a_move(FAIL_OVER, test=True))

    assert progress.status is Status.FAILED
    assert value in progress.detail
    assert sites.made() == 0


def test_a_wrong_password_is_denied(sites: VcsimSites) -> None:
    keys = {**REFERENCES, "password": "env:USER"}
    settings = {
        **sites.member.settings,
        "recovery": {**sites.member.settings["recovery"], "credentials": keys},
    }
    sites.member = replace(sites.member, settings=settings)
    session = sites.adapter(shared=False).open(sites.member)

    with pytest.raises(Denied, match="InvalidLogin"):
        session.leftovers(DRILL)


def test_a_certificate_nobody_vouches_for_is_not_believed(sites: VcsimSites) -> None:
    settings = {
        side: {k: v for k, v in sites.member.settings[side].items() if k != "caFile"}
        for side in ("primary", "recovery")
    }
    sites.member = replace(sites.member, settings={**sites.member.settings, **settings})

    with pytest.raises(Unavailable, match="certificate"):
        sites.session().leftovers(DRILL)


def test_a_task_that_fails_later_fails_the_move_with_its_reason(sites: VcsimSites) -> None:
    finish(sites, a_move(ISOLATE))
    finish(sites, a_move(FAIL_OVER))
    began = sites.session().advance(a_move(MoveKind.FAIL_BACK))
    broken = {"side": "recovery", "tasks": {"clone": sites.a_failed_task()}}

    progress = sites.session().advance(again(a_move(MoveKind.FAIL_BACK), broken))

    assert began.status is Status.RUNNING
    assert progress.status is Status.FAILED
    assert "clone: InvalidArgument" in progress.detail


def test_a_second_request_for_what_is_done_already_begins_nothing(sites: VcsimSites) -> None:
    place = sites.adapter(shared=False).open(sites.member)
    finish(sites, a_move(ISOLATE), place)
    before = sites.world()

    # As the move's first call, made by a process that died before it could say so.
    for _ in range(2):
        assert finish(sites, a_move(ISOLATE), place).status is Status.SUCCEEDED

    assert sites.world() == before


def test_the_production_network_is_where_the_switch_leads(sites: VcsimSites) -> None:
    for kind in (ISOLATE, FAIL_OVER, SWITCH):
        finish(sites, a_move(kind))

    clones = [found for name, found in sites.world().items() if name.startswith("qlrf-")]
    ours = [networks for _, networks, marks in clones if marks["qlrf.source"] in sites.names]

    assert ours == [[PRODUCTION], [PRODUCTION]]
