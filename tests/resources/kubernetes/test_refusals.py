"""What is turned away before anything is done, and what somebody else's hands mean."""

import re
from dataclasses import replace
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import NotFound, Rejected
from qlrf_pipelines.domain.operations import FIRST_TRY, OperationKind, Status, Target
from tests.fakes.kubernetes_change import Change
from tests.fakes.kubernetes_fleet import BAD, NEW, OLD, Fleet, carry_out, operation

pytestmark = pytest.mark.real
UPDATE, START = OperationKind.ROLLING_UPDATE, OperationKind.START_BESIDE
RESTORE, REBOOT = OperationKind.RESTORE, OperationKind.REBOOT


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def rejected(fleet: Fleet, target: Target, kind: OperationKind = UPDATE, image: str = NEW) -> str:
    """Why an operation is turned away; nothing was changed."""
    before = fleet.operator().capture(target)
    with pytest.raises(Rejected) as raised:
        fleet.operator().advance(operation(kind, target, image=image, before=before))
    assert fleet.watch.changes == []
    return str(raised.value)


@pytest.mark.parametrize("kind", [UPDATE, START, REBOOT])
def test_a_workload_that_is_paused_is_not_changed(fleet: Fleet, kind: OperationKind) -> None:
    target = fleet.deploy()
    fleet.edit(target, {"spec": {"paused": True}})

    assert "paused" in rejected(fleet, target, kind)


@pytest.mark.parametrize("kind", [UPDATE, START, REBOOT])
def test_a_workload_whose_rollout_is_under_way_is_not_changed(
    fleet: Fleet, kind: OperationKind
) -> None:
    target = fleet.deploy()
    fleet.set_image(target, "shop.example/web:broken")
    fleet.until(lambda: BAD in fleet.images_running())

    assert "under way" in rejected(fleet, target, kind)


def test_a_workload_another_controller_owns_is_not_changed(fleet: Fleet) -> None:
    owner = {"apiVersion": "v1", "kind": "Namespace", "name": "x", "uid": "u", "controller": True}
    item = fleet.ask("GET", f"api/v1/namespaces/{fleet.namespace}")
    owner |= {"uid": item["metadata"]["uid"], "name": fleet.namespace}
    target = fleet.deploy(metadata={"ownerReferences": [owner]})

    assert f"Namespace {fleet.namespace}" in rejected(fleet, target)


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_a_workload_that_is_updated_only_by_deleting_pods_is_not_changed(
    fleet: Fleet, kind: str
) -> None:
    target = fleet.deploy(kind=kind, updateStrategy={"type": "OnDelete"})

    assert "OnDelete" in rejected(fleet, target)


def test_a_set_of_which_only_a_part_would_be_updated_is_not_changed(fleet: Fleet) -> None:
    strategy = {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}}
    target = fleet.deploy(kind="StatefulSet", updateStrategy=strategy)

    assert "partition" in rejected(fleet, target)


def test_a_workload_without_pods_is_not_changed(fleet: Fleet) -> None:
    assert "wants no pod" in rejected(fleet, fleet.deploy(replicas=0))


@pytest.mark.parametrize(
    ("images", "why"),
    [
        ({"web": "shop.example/api:1", "proxy": "envoy:1"}, r"proxy \(envoy:1\)"),
        ({"a": "shop.example/web:1", "b": "shop.example/web:1"}, "Several containers .* a, b"),
    ],
    ids=["none", "several"],
)
@pytest.mark.parametrize("kind", [UPDATE, START])
def test_an_image_no_single_container_is_meant_for_is_rejected_with_their_names(
    fleet: Fleet, images: dict[str, str], why: str, kind: OperationKind
) -> None:
    containers = [{"name": name, "image": image} for name, image in images.items()]
    target = fleet.deploy(containers=containers)

    assert re.search(why, rejected(fleet, target, kind))


def test_a_deployment_that_runs_the_image_already_gets_no_second_side(fleet: Fleet) -> None:
    target = fleet.deploy()

    assert "already" in rejected(fleet, target, START, OLD)
    assert not fleet.get(target)["spec"].get("paused")


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_only_a_deployment_gets_a_second_side(fleet: Fleet, kind: str) -> None:
    assert "rolling update" in rejected(fleet, fleet.deploy(kind=kind), START)


def test_a_deployment_that_is_scaled_by_itself_gets_no_second_side(fleet: Fleet) -> None:
    target = fleet.deploy()
    named = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    spec = {"scaleTargetRef": named, "minReplicas": 1, "maxReplicas": 3}
    path = fleet.path("horizontalpodautoscalers", "apis/autoscaling/v2")
    fleet.ask("POST", path, {"metadata": {"name": "busy"}, "spec": spec})

    assert "HorizontalPodAutoscaler busy" in rejected(fleet, target, START)


def test_a_service_of_several_workloads_is_not_pinned_to_one(fleet: Fleet) -> None:
    for name in ("web", "api"):
        labels = {"app": name, "part-of": "shop"}
        template = {
            "metadata": {"labels": labels},
            "spec": {"containers": [{"name": name, "image": f"shop.example/{name}:1"}]},
        }
        fleet.deploy(name, template=template)
    fleet.service("shop", **{"part-of": "shop"})

    assert "pods of other workloads" in rejected(fleet, fleet.target("web"), START)


def test_a_service_somebody_else_has_pinned_is_left_alone(fleet: Fleet) -> None:
    target = fleet.deploy()
    fleet.service("web", app="web", **{"pod-template-hash": "abc"})

    assert "pinned by something else" in rejected(fleet, target, START)


@pytest.mark.parametrize(
    "kind", [OperationKind.PATCH_IN_PLACE, OperationKind.REPLACE_WITH_IMAGE], ids=str
)
def test_what_is_for_machines_is_rejected_with_advice(fleet: Fleet, kind: OperationKind) -> None:
    assert "rolling update" in rejected(fleet, fleet.deploy(), kind)


@pytest.mark.parametrize("asset_id", ["web", "pod/web", "deployment/", "deployment/a/b"])
def test_what_is_no_workload_is_rejected(fleet: Fleet, asset_id: str) -> None:
    with pytest.raises(Rejected, match="no workload"):
        fleet.operator().capture(replace(fleet.target("web"), id=asset_id))


def test_another_cluster_is_not_entered(fleet: Fleet) -> None:
    with pytest.raises(NotFound, match="leads to cluster here"):
        fleet.executor.operator(fleet.connector(), "there")
    with pytest.raises(Rejected, match="not in cluster"):
        fleet.operator().capture(replace(fleet.target("web"), account="there"))


def begun(fleet: Fleet, target: Target) -> Any:
    wanted = operation(UPDATE, target, image=NEW, before=fleet.operator().capture(target))
    fleet.operator().advance(wanted)
    return wanted


def test_an_image_somebody_else_set_meanwhile_is_not_fought_over(fleet: Fleet) -> None:
    target = fleet.deploy()
    wanted = begun(fleet, target)
    fleet.set_image(target, "shop.example/web:3")

    progress = carry_out(fleet, wanted)
    back = carry_out(fleet, operation(RESTORE, target, number=2, before=wanted.before))

    assert progress.status is back.status is Status.FAILED
    assert "somebody else" in progress.detail
    assert "somebody else" in back.detail
    assert fleet.image_of(target) == "shop.example/web:3"


def test_what_somebody_else_changed_before_it_began_is_not_changed(fleet: Fleet) -> None:
    target = fleet.deploy()
    before = fleet.operator().capture(target)
    fleet.set_image(target, "shop.example/web:3")
    fleet.settle(target)

    progress = carry_out(fleet, operation(UPDATE, target, image=NEW, before=before))

    assert progress.status is Status.FAILED
    assert fleet.image_of(target) == "shop.example/web:3"


def test_a_workload_made_anew_under_the_same_name_is_another_one(fleet: Fleet) -> None:
    target = fleet.deploy()
    wanted = begun(fleet, target)
    fleet.ask("DELETE", fleet.path("deployments", "apis/apps/v1", "web"))
    gone = carry_out(fleet, wanted)
    fleet.deploy()

    again = carry_out(fleet, wanted)
    back = carry_out(fleet, operation(RESTORE, target, number=2, before=wanted.before))

    assert gone.status is again.status is back.status is Status.FAILED
    assert fleet.image_of(target) == OLD


@pytest.fixture
def change(fleet: Fleet) -> Change:
    target = fleet.deploy()
    fleet.service()
    return Change(fleet, target)


def test_a_rollout_somebody_starts_while_a_side_stands_beside_leaves_no_service_without_pods(
    fleet: Fleet, change: Change
) -> None:
    change.done(change.start())
    fleet.set_image(change.target, "shop.example/web:3")

    again = carry_out(fleet, change.start())
    served = fleet.served()
    back = carry_out(fleet, change.restore())
    fleet.settle(change.target)

    assert again.status is Status.FAILED
    assert served == {OLD}
    assert back.status is Status.FAILED
    assert "somebody else" in back.detail
    # What they wanted is what there is, behind a Service that is not pinned.
    assert fleet.selector() == {"app": "web"}
    assert fleet.images_running() == {"shop.example/web:3"}


@pytest.mark.parametrize("selector", [{"app": "other"}, {"app": "web", "more": "labels"}])
def test_a_service_somebody_else_changed_is_not_switched(
    fleet: Fleet, change: Change, selector: dict[str, str]
) -> None:
    change.done(change.start())
    path = fleet.path("services", name="web")
    fleet.cluster.merge(path, {"spec": {"selector": selector}})

    progress = carry_out(fleet, change.switch())
    back = carry_out(fleet, change.restore())

    assert progress.status is back.status is Status.FAILED
    assert "Service web" in progress.detail
    assert selector.items() <= fleet.selector().items()


def test_a_new_side_somebody_deleted_is_not_switched_to(fleet: Fleet, change: Change) -> None:
    change.done(change.start())
    name = change.side.id.removeprefix("deployment/")
    fleet.ask("DELETE", fleet.path("deployments", "apis/apps/v1", name))
    fleet.until(lambda: not fleet.there(change.side))

    progress = carry_out(fleet, change.switch())
    kept = carry_out(fleet, change.finalise())
    change.done(change.restore())

    assert progress.status is kept.status is Status.FAILED
    change.never_was()


def test_a_new_side_that_is_not_available_is_not_switched_to(fleet: Fleet, change: Change) -> None:
    change.done(change.start())
    fleet.set_image(change.side, BAD)
    fleet.until(lambda: BAD in fleet.images_running())

    progress = carry_out(fleet, change.switch())

    assert progress.status is Status.FAILED
    assert "ImagePullBackOff" in progress.detail
    assert fleet.served() == {OLD}


def test_finalising_before_the_switch_keeps_everything(fleet: Fleet, change: Change) -> None:
    change.done(change.start())

    progress = carry_out(fleet, change.finalise())

    assert progress.status is Status.FAILED
    assert "switch" in progress.detail
    assert fleet.served() == {OLD}
    assert fleet.there(change.side)


def test_a_name_that_is_taken_is_not_taken_over(fleet: Fleet, change: Change) -> None:
    change.done(change.start())
    name = change.side.id.removeprefix("deployment/")
    change.done(change.restore())
    fleet.deploy(name)

    with pytest.raises(Rejected, match="rename or remove it"):
        carry_out(fleet, change.start())


def test_a_second_rollout_waits_for_the_first(fleet: Fleet, change: Change) -> None:
    change.done(change.start())

    other = replace(change.start(), token=f"{9:064x}")
    progress = carry_out(fleet, other)
    undoing = {FIRST_TRY: other.token}
    for wanted in (change.restore(**undoing), replace(change.finalise(), parameters=undoing)):
        assert carry_out(fleet, wanted).status is Status.SUCCEEDED

    assert progress.status is Status.FAILED
    assert "another rollout" in progress.detail
    assert fleet.there(change.side)
    change.done(change.switch())
