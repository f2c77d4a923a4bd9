"""What other people's hands do while a change stands, or is on its way."""

from dataclasses import replace
from typing import Any

import pytest

from qlrf_pipelines.domain.operations import FIRST_TRY, OperationKind, Status, Target
from tests.fakes.kubernetes_change import Change
from tests.fakes.kubernetes_fleet import NEW, OLD, Fleet, Patient, carry_out, operation
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


def roll_back(fleet: Fleet, target: Target, was: dict[str, Any]) -> None:
    """What `kubectl rollout undo` does: the template and the annotations there were, in a patch."""
    steps = [
        {"op": "replace", "path": "/spec/template", "value": was["spec"]["template"]},
        {"op": "replace", "path": "/metadata/annotations", "value": was["metadata"]["annotations"]},
    ]
    name = target.id.removeprefix("deployment/")
    path = fleet.path("deployments", "apis/apps/v1", name)
    fleet.ask("PATCH", path, steps, "json-patch+json")


@pytest.mark.parametrize("kind", [OperationKind.ROLLING_UPDATE, OperationKind.REBOOT], ids=str)
def test_what_somebody_rolled_back_is_not_asked_for_again(
    fleet: Fleet, kind: OperationKind
) -> None:
    target = fleet.deploy()
    was, before = fleet.get(target), fleet.operator().capture(target)
    wanted = operation(kind, target, image=NEW, before=before)
    fleet.operator().advance(wanted)
    fleet.until(lambda: fleet.revision(target) == 2)
    roll_back(fleet, target, was)
    fleet.settle(target)

    progress = carry_out(fleet, replace(wanted, begun=True))
    back = carry_out(fleet, operation(OperationKind.RESTORE, target, number=2, before=before))

    assert progress.status is Status.FAILED
    assert "rolled back by somebody else" in progress.detail
    assert back.status is Status.SUCCEEDED, back.detail
    assert fleet.get(target)["spec"]["template"] == was["spec"]["template"]
    assert len(fleet.watch.changes) == 1


def test_a_mark_somebody_took_away_does_not_pass_for_an_end(fleet: Fleet, switched: Change) -> None:
    undoing = {FIRST_TRY: switched.start().token, "operation": str(OperationKind.START_BESIDE)}
    fleet.edit(switched.target, {"metadata": {"annotations": {"qlrf.io/side": None}}})

    ends = [
        carry_out(fleet, replace(wanted, parameters=undoing))
        for wanted in (switched.restore(), switched.finalise())
    ]

    assert {one.status for one in ends} == {Status.FAILED}
    assert {"lost its mark" in one.detail for one in ends} == {True}
    assert {"Service web is pinned" in one.detail for one in ends} == {True}
    assert fleet.served() == {NEW}


@pytest.mark.parametrize("retain", ["false", "true"])
def test_a_way_back_that_is_over_is_over(fleet: Fleet, switched: Change, retain: str) -> None:
    undoing = {FIRST_TRY: switched.start().token, "operation": str(OperationKind.START_BESIDE)}
    back = replace(switched.restore(), parameters=undoing | {"retain": retain})

    ends = [carry_out(fleet, back) for _ in range(2)]

    assert {one.status for one in ends} == {Status.SUCCEEDED}
    assert fleet.there(switched.side) is (retain == "true")
    switched.never_was()


def test_a_way_back_from_finalising_keeps_the_new_side_until_the_old_one_can_do_without(
    fleet: Fleet,
) -> None:
    target = fleet.deploy(progressDeadlineSeconds=60)
    fleet.service()
    change = Change(fleet, target)
    change.done(change.start())
    change.done(change.switch())
    operator = Patient(fleet, fleet.operator())
    while fleet.selector() != {"app": "web"}:
        operator.advance(change.finalise())
    fleet.cluster.node.hold(OLD)

    waits = [operator.advance(change.restore()) for _ in range(4)]
    kept = fleet.is_ready(change.side)
    fleet.cluster.node.let_go(OLD)
    change.done(change.restore())

    assert {one.status for one in waits} == {Status.RUNNING}
    assert kept
    change.never_was()
