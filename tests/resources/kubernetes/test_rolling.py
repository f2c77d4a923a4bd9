"""Rolling updates of workloads, on a real API server with its real controllers."""

import json
from dataclasses import replace
from typing import Any

import pytest

from qlrf_pipelines.domain.operations import OperationKind, Status, Target
from tests.fakes.kubernetes_fleet import BAD, NEW, OLD, Fleet, carry_out, operation

pytestmark = pytest.mark.real
KINDS = ("Deployment", "StatefulSet", "DaemonSet")
UPDATE, RESTORE, REBOOT = (
    OperationKind.ROLLING_UPDATE,
    OperationKind.RESTORE,
    OperationKind.REBOOT,
)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def update(fleet: Fleet, target: Target, image: str = NEW, **fields: Any) -> Any:
    before = fleet.operator().capture(target)
    return operation(UPDATE, target, image=image, before=before, **fields)


@pytest.mark.parametrize("kind", KINDS)
def test_every_pod_of_a_workload_gets_the_image(fleet: Fleet, kind: str) -> None:
    target = fleet.deploy(kind=kind)

    progress = carry_out(fleet, update(fleet, target))

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert fleet.images_running() == {NEW}
    assert fleet.is_ready(target)


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_captured_is_put_back(fleet: Fleet, kind: str) -> None:
    target = fleet.deploy(kind=kind)
    template = fleet.get(target)["spec"]["template"]
    wanted = update(fleet, target)
    carry_out(fleet, wanted)

    progress = carry_out(fleet, operation(RESTORE, target, number=2, before=wanted.before))

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert fleet.get(target)["spec"]["template"] == template
    assert fleet.images_running() == {OLD}
    assert fleet.is_ready(target)


@pytest.mark.parametrize("kind", KINDS)
def test_an_image_that_cannot_be_had_fails_with_the_pods_reason_and_is_taken_back(
    fleet: Fleet, kind: str
) -> None:
    target = fleet.deploy(kind=kind)
    wanted = update(fleet, target, BAD)

    progress = fail(fleet, wanted)
    fleet.later(minutes=10)
    back = carry_out(fleet, operation(RESTORE, target, number=2, before=wanted.before))

    assert progress.status is Status.FAILED
    assert "ImagePullBackOff" in progress.detail
    assert back.status is Status.SUCCEEDED, back.detail
    assert fleet.images_running() == {OLD}
    assert fleet.is_ready(target)


def fail(fleet: Fleet, wanted: Any) -> Any:
    """Carry an operation out until it fails; what has no deadline of its own is given time."""
    operator = fleet.operator()
    while True:
        before = fleet.versions()
        progress = operator.advance(wanted)
        if progress.status is not Status.RUNNING:
            return progress
        if "since" in progress.checkpoint:
            fleet.clock.advance(minutes=6)
        else:
            fleet.moved(before)
        wanted = replace(wanted, begun=True, checkpoint=progress.checkpoint)


def test_what_is_kept_of_a_workload_holds_none_of_its_environment(fleet: Fleet) -> None:
    environment = [{"name": "PASSWORD", "value": "hunter2"}]
    containers = [{"name": "web", "image": OLD, "env": environment}]
    target = fleet.deploy(containers=containers)

    before = fleet.operator().capture(target)

    assert before["images"] == {"web": OLD}
    assert "hunter2" not in json.dumps(before)


def test_what_somebody_else_changed_beside_the_image_is_kept_and_said(fleet: Fleet) -> None:
    target = fleet.deploy()
    wanted = update(fleet, target)
    carry_out(fleet, wanted)
    environment = [{"name": "MODE", "value": "careful"}]
    containers = [{"name": "web", "env": environment}]
    fleet.edit(target, {"spec": {"template": {"spec": {"containers": containers}}}})

    progress = carry_out(fleet, operation(RESTORE, target, number=2, before=wanted.before))

    (container,) = fleet.get(target)["spec"]["template"]["spec"]["containers"]
    assert progress.status is Status.SUCCEEDED, progress.detail
    assert "somebody else" in progress.detail
    assert (container["image"], container["env"]) == (OLD, environment)
    assert fleet.images_running() == {OLD}


def test_a_restart_that_was_there_before_is_there_again(fleet: Fleet) -> None:
    target = fleet.deploy()
    carry_out(fleet, operation(REBOOT, target, number=5))
    fleet.settle(target)
    template = fleet.get(target)["spec"]["template"]
    before = fleet.operator().capture(target)
    carry_out(fleet, operation(REBOOT, target, number=6))

    progress = carry_out(fleet, operation(RESTORE, target, number=7, before=before))

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert fleet.get(target)["spec"]["template"] == template
