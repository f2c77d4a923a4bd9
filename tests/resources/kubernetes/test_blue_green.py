"""Blue-green of a Deployment, with everything its Services' EndpointSlices ever said."""

import pytest

from qlrf_pipelines.domain.operations import Status
from tests.fakes.kubernetes_change import Change
from tests.fakes.kubernetes_fleet import BAD, NEW, OLD, Fleet, carry_out
from tests.fakes.kubernetes_traffic import Traffic

pytestmark = pytest.mark.real
PIN = "pod-template-hash"


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture
def change(fleet: Fleet) -> Change:
    target = fleet.deploy()
    fleet.service()
    return Change(fleet, target)


def test_a_new_side_is_available_and_no_request_can_have_reached_it(
    fleet: Fleet, change: Change
) -> None:
    traffic = Traffic(fleet)

    progress = change.done(change.start())

    assert progress.asset_id == change.side.id != change.target.id
    assert fleet.is_ready(change.side)
    assert fleet.image_of(change.side) == NEW
    assert fleet.image_of(change.target) == OLD
    assert len(fleet.slices()) == 2
    assert not any(change.is_new(pod) for said in traffic.all() for pod in said)
    assert all(traffic.all())


def test_a_switch_leads_to_the_new_side_alone_and_never_to_both_or_to_none(
    fleet: Fleet, change: Change
) -> None:
    change.done(change.start())
    traffic = Traffic(fleet)

    progress = change.done(change.switch())

    sides = [{change.is_new(pod) for pod in said} for said in traffic.all()]
    assert progress.asset_id == change.new
    assert fleet.served() == {NEW}
    assert sides[0] == {False}
    assert sides[-1] == {True}
    assert all(len(side) == 1 for side in sides)
    assert fleet.is_ready(change.target), "the old side keeps running"


@pytest.mark.parametrize("switched", [False, True])
def test_going_back_leads_to_the_old_side_alone_and_leaves_nothing(
    fleet: Fleet, change: Change, switched: bool
) -> None:
    change.done(change.start())
    if switched:
        change.done(change.switch())
    traffic = Traffic(fleet)

    progress = change.done(change.restore())

    sides = [{change.is_new(pod) for pod in said} for said in traffic.all()]
    assert progress.asset_id == change.target.id
    assert all(len(side) == 1 for side in sides)
    assert not fleet.there(change.side)
    change.never_was()


def test_a_side_that_is_retained_is_kept_without_pods(fleet: Fleet, change: Change) -> None:
    change.done(change.start())
    change.done(change.switch())

    change.done(change.restore(retain="true"))

    kept = fleet.get(change.side)
    assert kept["spec"]["replicas"] == 0
    change.never_was()


def test_finalising_ends_as_a_rolling_update_would_and_never_without_the_new_image(
    fleet: Fleet, change: Change
) -> None:
    change.done(change.start())
    change.done(change.switch())
    traffic = Traffic(fleet)
    old_pods = {
        p["metadata"]["name"] for p in fleet.pods() if not change.is_new(p["metadata"]["name"])
    }

    progress = change.done(change.finalise())

    assert progress.asset_id == change.target.id
    change.is_all_there_is()
    assert all(traffic.all())
    assert not any(said & old_pods for said in traffic.all())


def test_a_workload_no_service_leads_to_has_nothing_to_pin_or_to_switch(fleet: Fleet) -> None:
    change = Change(fleet, fleet.deploy())

    change.done(change.start())
    change.done(change.switch())
    change.done(change.finalise())

    assert fleet.images_running() == {NEW}


def test_every_service_of_a_workload_is_pinned_and_switched(fleet: Fleet, change: Change) -> None:
    fleet.service("inside", app="web")
    fleet.service("elsewhere", app="other")
    change.before = fleet.operator().capture(change.target)

    change.done(change.start())
    pinned = {name: PIN in fleet.selector(name) for name in ("web", "inside", "elsewhere")}
    change.done(change.switch())

    assert pinned == {"web": True, "inside": True, "elsewhere": False}
    assert fleet.served("web") == fleet.served("inside") == {NEW}


def test_an_image_that_cannot_be_had_fails_without_traffic_and_is_taken_back(
    fleet: Fleet, change: Change
) -> None:
    change.image = BAD
    traffic = Traffic(fleet)

    progress = carry_out(fleet, change.start())
    served = fleet.served()
    change.done(change.restore())

    assert progress.status is Status.FAILED
    assert "ImagePullBackOff" in progress.detail
    assert served == {OLD}
    assert all(traffic.all())
    change.never_was()


def test_a_new_side_takes_over_at_the_strength_the_old_one_has_by_then(
    fleet: Fleet, change: Change
) -> None:
    change.done(change.start())
    fleet.edit(change.target, {"spec": {"replicas": 3}})
    fleet.settle(change.target)

    change.done(change.switch())
    switched = len(fleet.slices())
    fleet.edit(change.side, {"spec": {"replicas": 4}})
    fleet.settle(change.side)
    change.done(change.finalise())

    assert switched == 3
    assert len(fleet.slices()) == 4
    change.is_all_there_is()
