"""What other people's hands do while a change stands, or is on its way."""

import pytest

from qlrf_pipelines.domain.operations import Status
from tests.fakes.kubernetes_change import Change
from tests.fakes.kubernetes_fleet import NEW, OLD, Fleet, carry_out
from tests.fakes.kubernetes_traffic import Traffic

pytestmark = pytest.mark.real
CAREFUL = [{"name": "web", "env": [{"name": "MODE", "value": "careful"}]}]


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


@pytest.fixture
def change(fleet: Fleet) -> Change:
    target = fleet.deploy()
    fleet.service()
    return Change(fleet, target)


@pytest.fixture
def switched(change: Change) -> Change:
    change.done(change.start())
    change.done(change.switch())
    return change


def test_an_old_side_somebody_scaled_to_nothing_gets_its_pods_before_it_gets_the_traffic(
    fleet: Fleet, switched: Change
) -> None:
    fleet.edit(switched.target, {"spec": {"replicas": 0}})
    fleet.until(lambda: not fleet.pods_of(switched.target))
    traffic = Traffic(fleet)

    switched.done(switched.restore())

    assert all(traffic.all())
    assert fleet.get(switched.target)["spec"]["replicas"] == 2
    switched.never_was()


def test_an_old_side_somebody_rolled_on_does_not_get_the_traffic(
    fleet: Fleet, switched: Change
) -> None:
    template = {"spec": {"containers": CAREFUL}}
    fleet.edit(switched.target, {"spec": {"paused": False, "template": template}})
    fleet.settle(switched.target)
    fleet.until(lambda: len(fleet.pods_of(switched.target)) == 2)
    traffic = Traffic(fleet)

    progress = carry_out(fleet, switched.restore())

    assert progress.status is Status.FAILED
    assert "rolled on by somebody else" in progress.detail
    assert fleet.served() == {NEW}
    assert all(traffic.all())


def test_a_template_somebody_gave_a_paused_old_side_does_not_bar_the_way_back(
    fleet: Fleet, switched: Change
) -> None:
    fleet.edit(switched.target, {"spec": {"template": {"spec": {"containers": CAREFUL}}}})
    fleet.until(lambda: not fleet.get(switched.target)["status"].get("updatedReplicas"))
    traffic = Traffic(fleet)

    progress = switched.done(switched.restore())

    (container,) = fleet.get(switched.target)["spec"]["template"]["spec"]["containers"]
    assert "somebody else" in progress.detail
    assert (container["image"], container["env"]) == (OLD, CAREFUL[0]["env"])
    assert fleet.images_running() == fleet.served() == {OLD}
    assert all(traffic.all())
