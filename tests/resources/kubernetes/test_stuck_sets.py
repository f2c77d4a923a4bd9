"""StatefulSets one of whose pods is not ready: when it is waited for, and when it is replaced."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from qlrf_pipelines.domain.operations import Operation, OperationKind, Status
from tests.fakes.kubernetes_fleet import NEW, Fleet, carry_out, operation

pytestmark = pytest.mark.real
FLAKY, SLOW = "shop.example/web:flaky", "shop.example/web:slow"


@pytest.fixture
def fleet() -> Iterator[Fleet]:
    made = Fleet()
    made.deploy(kind="StatefulSet", containers=[{"name": "web", "image": FLAKY}])
    yield made
    for image in (FLAKY, SLOW):
        made.cluster.node.let_go(image)


def update(fleet: Fleet, image: str = NEW) -> Operation:
    """An update that was asked for."""
    target = fleet.target("web", "StatefulSet")
    before = fleet.operator().capture(target)
    wanted = operation(OperationKind.ROLLING_UPDATE, target, image=image, before=before)
    fleet.operator().advance(wanted)
    return replace(wanted, begun=True)


def stumbles(fleet: Fleet, pod: str = "web-0") -> None:
    """A pod of the flaky image is not ready any more."""
    fleet.cluster.node.hold(FLAKY)
    path = fleet.path("pods", name=pod)
    fleet.cluster.merge(path, {"metadata": {"annotations": {"somebody": "looks"}}})
    fleet.until(lambda: "False" in str(fleet.ask("GET", path)["status"]["conditions"]))


def deleted(fleet: Fleet) -> int:
    return len([one for one in fleet.watch.changes if (one.verb, one.kind) == ("delete", "pods")])


def test_a_pod_that_is_unready_for_a_moment_is_waited_for(fleet: Fleet) -> None:
    stumbles(fleet)
    wanted = update(fleet)
    fleet.later(minutes=2)

    waits = [fleet.operator().advance(wanted) for _ in range(3)]
    fleet.cluster.node.let_go(FLAKY)
    progress = carry_out(fleet, wanted)

    assert {one.status for one in waits} == {Status.RUNNING}
    assert progress.status is Status.SUCCEEDED, progress.detail
    assert fleet.images_running() == {NEW}
    assert deleted(fleet) == 0


def test_a_pod_that_does_not_get_ready_is_replaced(fleet: Fleet) -> None:
    stumbles(fleet)
    wanted = update(fleet)
    fleet.later(minutes=4)

    progress = carry_out(fleet, wanted)

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert fleet.images_running() == {NEW}
    assert deleted(fleet) == 1


def test_no_pod_is_replaced_while_another_one_has_just_been(fleet: Fleet) -> None:
    fleet.cluster.node.hold(SLOW)
    wanted = update(fleet, SLOW)
    fleet.until(lambda: SLOW in fleet.images_running())
    stumbles(fleet)
    long_ago = (datetime.now(UTC) - timedelta(minutes=9)).strftime("%Y-%m-%dT%H:%M:%SZ")
    ready = {"type": "Ready", "status": "False", "lastTransitionTime": long_ago}
    conditions = [ready, {"type": "ContainersReady", "status": "False"}]
    path = f"{fleet.path('pods', name='web-0')}/status"
    fleet.cluster.merge(path, {"status": {"conditions": conditions}})
    fleet.later(minutes=1)

    waits = [fleet.operator().advance(wanted) for _ in range(3)]

    assert {one.status for one in waits} == {Status.RUNNING}
    assert deleted(fleet) == 0
