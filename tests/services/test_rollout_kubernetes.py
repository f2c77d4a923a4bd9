"""A whole rollout of workloads on a real cluster: canary, wave, and the way back."""

from typing import Any

import pytest

from qlrf_pipelines.domain.estate import Estate, Tenant
from qlrf_pipelines.domain.vocabulary import Platform
from tests.fakes.clock import FakeClock
from tests.fakes.estate import FakeEstate
from tests.fakes.kubernetes_fleet import BAD, NEW, OLD, Fleet
from tests.fakes.world import fake_world
from tests.services.rollout_house import ACME, House, phase, plan

pytestmark = pytest.mark.real
NAMES = ("web", "api", "shop")


class KubernetesHouse(House):
    """A tenant with a cluster; whoever waits there waits for the cluster's controllers, too."""

    def __init__(self, fleet: Fleet, image: str) -> None:
        self.fleet = fleet
        self.clock = FakeClock()
        tenant = Tenant(name=ACME, display_name="Acme", connectors=(fleet.connector(),))
        self.world = fake_world(
            clock=self.clock,
            executors={Platform.KUBERNETES: fleet.executor},
            estate=FakeEstate(Estate(tenants=(tenant,))),
        )
        self.watch_cluster()
        canary, wave = (_phase(fleet, name, image) for name in ("canary", "wave-1"))
        self.record = self.claimed(plan(canary, wave))

    def watch_cluster(self) -> None:
        """Wait for the cluster from now on, too."""
        self._seen = self.fleet.versions()
        self.world.rollouts.on_wait = self._wait  # type: ignore[attr-defined]

    def _wait(self, seconds: float) -> None:
        self.clock.advance(seconds=seconds)
        self.fleet.moved(self._seen, seconds=0.2)
        self._seen = self.fleet.versions()


def _phase(fleet: Fleet, name: str, image: str) -> dict[str, Any]:
    names = NAMES[:1] if name == "canary" else NAMES[1:]
    keys = [fleet.target(one).key for one in names]
    actions = [{"asset": key, "operation": "rolling_update", "image": image} for key in keys]
    return phase(name, []) | {"assets": keys, "batches": [keys], "actions": actions}


@pytest.fixture
def fleet() -> Fleet:
    made = Fleet()
    for name in NAMES:
        made.deploy(name)
    return made


def images(fleet: Fleet) -> list[str]:
    return [fleet.image_of(fleet.target(name)) for name in NAMES]


def test_every_workload_gets_the_image_once_and_is_looked_at(fleet: Fleet) -> None:
    house = KubernetesHouse(fleet, NEW)

    ended = house.go()

    assert ended.state == "completed", house.rows()
    assert images(fleet) == [NEW, NEW, NEW]
    assert fleet.images_running() == {NEW}
    assert [fleet.revision(fleet.target(name)) for name in NAMES] == [2, 2, 2]


def test_a_canary_whose_image_cannot_be_had_is_brought_back_and_no_other_is_touched(
    fleet: Fleet,
) -> None:
    house = KubernetesHouse(fleet, BAD)

    ended = house.go()

    assert ended.state == "rolled_back", house.rows()
    assert images(fleet) == [OLD, OLD, OLD]
    fleet.until(lambda: fleet.images_running() == {OLD})
    assert [fleet.revision(fleet.target(name)) for name in NAMES[1:]] == [1, 1]
    assert house.task_state() == "rolled_back"


def test_a_workload_that_is_gone_is_skipped(fleet: Fleet) -> None:
    fleet.ask("DELETE", fleet.path("deployments", "apis/apps/v1", "api"))
    house = KubernetesHouse(fleet, NEW)

    ended = house.go()

    assert ended.state == "completed", house.rows()
    assert house.states()["deployment/api"] == "skipped"
