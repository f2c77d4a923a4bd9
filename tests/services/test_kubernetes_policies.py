"""The shipped policies for workloads, from what was discovered to the end of their rollouts."""

from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from qlrf_pipelines.domain.rollout import Rollout
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.metrics import Series
from qlrf_pipelines.services import rollouts
from tests.fakes.kube_apiserver import ADMIN
from tests.fakes.kubernetes_fleet import Fleet
from tests.fakes.kubernetes_traffic import Traffic
from tests.fakes.metrics import FakeMetrics
from tests.services.rollout_house import ACME, as_engineer
from tests.services.test_kubernetes_estate import AT_REST, NEW, OLD, Site
from tests.services.test_rollout_kubernetes import KubernetesHouse

pytestmark = pytest.mark.real
METRICS = "  metrics: [{kind: prometheus, url: http://127.0.0.1:9}]\n"


class Calm(FakeMetrics):
    """Nothing ever goes wrong, whatever is asked."""

    def series(self, query: str, *, start: datetime, end: datetime, step: timedelta) -> Series:
        self.answers = {query: lambda _: 0.001}
        found = super().series(query, start=start, end=end, step=step)
        assert isinstance(found, Series)
        return found


class PolicyHouse(KubernetesHouse):
    """A tenant whose contract leads to the cluster, and the plan a shipped policy makes of it."""

    def __init__(self, fleet: Fleet, folder: Path, policy: str) -> None:
        self.fleet = fleet
        cluster = fleet.cluster
        site = Site(
            folder, url=cluster.url, trust=cluster.trust, token=ADMIN, namespace=fleet.namespace
        )
        contract = folder / "estate" / "tenants" / "acme.yaml"
        contract.write_text(contract.read_text() + METRICS)
        self.clock = site.clock
        self.world = replace(
            site.world,
            executors={Platform.KUBERNETES: fleet.executor},
            metrics=lambda _: Calm({}),
        )
        site.refresh()
        self.watch_cluster()
        self.record = self.claimed(dict(site.planned(policy).document))

    def approved_to_the_end(self) -> Rollout:
        """Somebody lets it go on whenever it asks."""
        found = self.now
        while "promote it" in found.reason and found.state == "held":
            reason = as_engineer(reason="it looks good")
            rollouts.promote(self.world, ACME, self.id, **reason)
            found = self.drive()
        return found


@pytest.fixture
def fleet() -> Fleet:
    made = Fleet()
    labels = {"environment": "prod", **AT_REST}
    made.cluster.merge(f"api/v1/namespaces/{made.namespace}", {"metadata": {"labels": labels}})
    for name, more in (("web", {}), ("api", {"rollout": "blue-green"})):
        containers = [{"name": name, "image": OLD}]
        made.deploy(name, containers=containers, metadata={"labels": more})
        made.service(name)
    return made


def test_a_rolling_policy_ends_with_every_workload_on_the_image_of_its_cluster(
    fleet: Fleet, tmp_path: Path
) -> None:
    house = PolicyHouse(fleet, tmp_path, "kubernetes-rolling")

    house.go()
    ended = house.approved_to_the_end()

    assert ended.state == "completed", (ended.reason, [r.detail for r in house.rows().values()])
    assert fleet.images_running() == {NEW}


def test_a_blue_green_policy_waits_for_a_yes_switches_at_once_and_leaves_one_deployment(
    fleet: Fleet, tmp_path: Path
) -> None:
    house = PolicyHouse(fleet, tmp_path, "kubernetes-blue-green")
    traffic = Traffic(fleet)

    held = house.go()
    previewed, running = fleet.served("api"), fleet.images_running()
    ended = house.approved_to_the_end()

    assert held.state == "held", held
    assert (previewed, running) == ({OLD}, {OLD, NEW})
    assert ended.state == "completed", (ended.reason, [r.detail for r in house.rows().values()])
    assert fleet.served("api") == {NEW}
    assert fleet.selector("api") == {"app": "api"}
    assert fleet.served("web") == {OLD}
    assert all(traffic.all())
    assert house.rows()["deployment/api"].now_id == "deployment/api"


def test_a_blue_green_rollout_that_is_taken_back_leaves_everything_as_it_was(
    fleet: Fleet, tmp_path: Path
) -> None:
    house = PolicyHouse(fleet, tmp_path, "kubernetes-blue-green")
    house.go()

    rollouts.rollback(house.world, ACME, house.id, **as_engineer(reason="it looks bad"))
    ended = house.drive()

    assert ended.state == "rolled_back", (ended.reason, [r.detail for r in house.rows().values()])
    assert fleet.images_running() == {OLD}
    assert fleet.served("api") == {OLD}
    assert fleet.selector("api") == {"app": "api"}
