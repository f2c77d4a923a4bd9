"""Refusals, silence and second tries, between the executor and a real API server."""

from dataclasses import replace
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Denied, NotFound, Rejected, Unavailable
from qlrf_pipelines.domain.operations import FIRST_TRY, Operation, OperationKind, Status
from resources.clouds.kubernetes.executor import KubernetesExecutor
from resources.secrets import Secrets
from tests.fakes.clock import FakeClock
from tests.fakes.kubernetes_change import Change
from tests.fakes.kubernetes_fleet import BAD, CLUSTER, NEW, OLD, Fleet, carry_out, operation

pytestmark = pytest.mark.real
UPDATE, RESTORE, START = (
    OperationKind.ROLLING_UPDATE,
    OperationKind.RESTORE,
    OperationKind.START_BESIDE,
)


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def update(fleet: Fleet, image: str = NEW, **fields: Any) -> Operation:
    target = fleet.target("web")
    return operation(UPDATE, target, image=image, before=fleet.operator().capture(target), **fields)


@pytest.mark.parametrize(
    ("status", "becomes"),
    [
        (401, Denied),
        (403, Denied),
        (429, Unavailable),
        (500, Unavailable),
        (503, Unavailable),
        (504, Unavailable),
    ],
)
@pytest.mark.parametrize("verb", ["get", "patch"])
def test_a_refusal_is_told_from_silence_and_nothing_was_done(
    fleet: Fleet, verb: str, status: int, becomes: type[Unavailable]
) -> None:
    fleet.deploy()
    wanted = update(fleet)
    fleet.watch.spoils(verb, "deployments", status)

    with pytest.raises(Unavailable) as raised:
        fleet.operator().advance(wanted)

    assert type(raised.value) is becomes
    assert fleet.image_of(wanted.target) == OLD
    assert carry_out(fleet, wanted).status is Status.SUCCEEDED


@pytest.mark.parametrize("status", [400, 422])
def test_what_the_server_does_not_take_fails(fleet: Fleet, status: int) -> None:
    fleet.deploy()
    fleet.watch.spoils("patch", "deployments", status)

    progress = carry_out(fleet, update(fleet))

    assert progress.status is Status.FAILED
    assert f"HTTP {status}" in progress.detail


def test_a_conflict_is_looked_at_again(fleet: Fleet) -> None:
    target = fleet.deploy()
    wanted = update(fleet)
    fleet.watch.on_patch = lambda: fleet.edit(target, {"metadata": {"annotations": {"a": "b"}}})

    with pytest.raises(Unavailable, match="409"):
        fleet.operator().advance(wanted)

    assert carry_out(fleet, replace(wanted, begun=True)).status is Status.SUCCEEDED
    assert fleet.get(target)["metadata"]["annotations"]["a"] == "b"


def test_a_server_nobody_hears_is_asked_again_later(fleet: Fleet) -> None:
    nowhere = fleet.connector(endpoint_url="https://127.0.0.1:9")
    executor = KubernetesExecutor(secrets=Secrets({"TOKEN": "x"}), clock=FakeClock(), timeout=2)

    with pytest.raises(Unavailable) as raised:
        executor.operator(nowhere, CLUSTER).capture(fleet.target("web"))

    assert raised.value.retryable


def test_a_token_that_is_nobodys_is_denied(fleet: Fleet) -> None:
    executor = KubernetesExecutor(secrets=Secrets({"TOKEN": "x"}), clock=FakeClock())

    with pytest.raises(Denied):
        executor.operator(fleet.connector(), CLUSTER).capture(fleet.target("web"))


def test_a_reference_that_leads_nowhere_is_rejected(fleet: Fleet) -> None:
    executor = KubernetesExecutor(secrets=Secrets({}), clock=FakeClock())

    with pytest.raises(Rejected, match="TOKEN"):
        executor.operator(fleet.connector(), CLUSTER)


@pytest.mark.parametrize("kind", ["deployment", "statefulset", "daemonset"])
def test_a_workload_that_is_not_there_is_not_found(fleet: Fleet, kind: str) -> None:
    with pytest.raises(NotFound):
        fleet.operator().capture(fleet.target("nothing", kind))
    with pytest.raises(Denied, match="in nowhere"):
        fleet.operator().capture(replace(fleet.target("nothing", kind), region="nowhere"))


def test_without_what_was_captured_nothing_is_done(fleet: Fleet) -> None:
    target = fleet.deploy()

    for kind in (UPDATE, RESTORE, START, OperationKind.SWITCH, OperationKind.FINALISE):
        with pytest.raises(Rejected, match="capture"):
            fleet.operator().advance(operation(kind, target, image=NEW))


def second_try(wanted: Operation) -> Operation:
    return replace(wanted, token=f"{77:064x}", parameters={FIRST_TRY: wanted.token})


def test_a_second_try_starts_the_pods_anew_once_the_image_can_be_had(fleet: Fleet) -> None:
    fleet.deploy()
    fleet.cluster.node.hold("shop.example/web:late")
    wanted = update(fleet, "shop.example/web:late")
    late = carry_out(fleet, wanted)
    fleet.cluster.node.let_go("shop.example/web:late")

    progress = carry_out(fleet, second_try(wanted))

    assert late.status is Status.FAILED
    assert progress.status is Status.SUCCEEDED, progress.detail
    assert fleet.images_running() == {"shop.example/web:late"}


def test_a_second_try_of_an_update_that_never_began_begins_it(fleet: Fleet) -> None:
    fleet.deploy()

    progress = carry_out(fleet, second_try(update(fleet)))

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert fleet.images_running() == {NEW}


def test_a_second_try_of_a_new_side_is_the_same_side(fleet: Fleet) -> None:
    change = Change(fleet, fleet.deploy(), "shop.example/web:later")
    fleet.service()
    fleet.cluster.node.hold(change.image)
    late = carry_out(fleet, change.start())
    fleet.cluster.node.let_go(change.image)

    again = carry_out(fleet, second_try(change.start()))
    change.new = again.asset_id or ""
    change.done(change.switch())
    change.done(change.finalise())

    assert late.status is Status.FAILED
    assert again.status is Status.SUCCEEDED, again.detail
    change.is_all_there_is()


def test_a_deployment_that_is_recreated_comes_back_although_it_was_late(fleet: Fleet) -> None:
    target = fleet.deploy(strategy={"type": "Recreate"})
    wanted = update(fleet, BAD)
    late = carry_out(fleet, wanted)
    fleet.cluster.node.hold(OLD)
    back = operation(RESTORE, target, number=2, before=wanted.before)

    waits = [fleet.operator().advance(back) for _ in range(3)]
    fleet.until(lambda: fleet.images_running() == {OLD})
    waits.append(fleet.operator().advance(back))
    fleet.cluster.node.let_go(OLD)

    assert late.status is Status.FAILED
    assert {progress.status for progress in waits} == {Status.RUNNING}
    assert carry_out(fleet, back).status is Status.SUCCEEDED


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_what_has_no_deadline_is_given_ten_minutes_without_progress(
    fleet: Fleet, kind: str
) -> None:
    target = fleet.deploy(kind=kind)
    wanted = operation(UPDATE, target, image=BAD, before=fleet.operator().capture(target))
    fleet.operator().advance(wanted)
    fleet.until(lambda: BAD in fleet.images_running())

    looks = []
    for _ in range(4):
        progress = fleet.operator().advance(replace(wanted, begun=True))
        while "since" not in progress.checkpoint:
            progress = fleet.operator().advance(replace(wanted, begun=True))
        fleet.clock.advance(minutes=9)
        looks.append(fleet.operator().advance(replace(wanted, checkpoint=progress.checkpoint)))
    fleet.clock.advance(minutes=2)
    end = fleet.operator().advance(replace(wanted, checkpoint=looks[-1].checkpoint))

    assert {look.status for look in looks} == {Status.RUNNING}
    assert end.status is Status.FAILED
    assert "ImagePullBackOff" in end.detail
