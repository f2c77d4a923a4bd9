"""Mode canary_only: the canary goes by itself, the rest by people's word on that very digest."""

from datetime import timedelta

import dagster as dg
import pytest

from qlrf_pipelines.domain.approval import Conditions, DecisionKind, Extent
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.patching import PatchSchedule, Trigger
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.rollout import RolloutState
from qlrf_pipelines.domain.tasks import TaskState
from qlrf_pipelines.services import rollouts
from qlrf_pipelines.services.approvals import decide
from qlrf_pipelines.services.claims import claim
from sensors.approvals import run_request
from sensors.remediation import Cursor, look_around
from tests.fakes.approvals import ACME
from tests.fakes.drifted import policy
from tests.jobs.canaries import ANN, CANARY, FLEET, KEYS, REQUEST, CanaryHouse


@pytest.fixture
def house(instance: dg.DagsterInstance) -> CanaryHouse:
    return CanaryHouse(instance)


def test_a_canary_goes_by_itself_and_the_rest_once_people_approve(house: CanaryHouse) -> None:
    house.go_to_the_gate()

    assert house.touched == {CANARY}
    assert house.task.state is TaskState.PAUSED
    assert house.approved_by == ["autonomy:canary_only"]
    house.later(hours=2)
    assert house.tick() == []

    house.say()

    assert house.go() is RolloutState.COMPLETED
    assert house.touched == set(KEYS)
    assert house.task.state is TaskState.COMPLETED
    assert len(house.carried_out) == 1


def test_nothing_is_done_twice_and_the_ledger_says_who_approved_what(house: CanaryHouse) -> None:
    house.go_to_the_gate()
    house.say()
    house.go()

    changes = [key for _, kind, key in house.fleet.log if kind == "replace_with_image"]
    assert sorted(changes) == sorted(KEYS)
    canary, rest = house.entries("approval_claimed")
    assert (canary["extent"], canary["approved_by"]) == ("canary", ["autonomy:canary_only"])
    assert (rest["stage"], rest["approved_by"]) == ("rest", ["ann"])
    [begun], [released] = house.entries("rollout_begun"), house.entries("rollout_released")
    assert begun["approved_by"] == ["autonomy:canary_only"]
    assert released["approved_by"] == ["ann"]
    rechecked = house.entries("plan_rechecked")
    assert [one["of"] for one in rechecked] == ["canary", "rest"]
    assert all(one["gate"]["result"] == "passed" for one in rechecked)


def test_a_plan_somebody_submits_goes_the_same_way(house: CanaryHouse) -> None:
    task = house.submit(REQUEST)
    assert task.state is TaskState.APPROVED
    assert task.requirement.unattended is Extent.CANARY

    assert house.go_on().success
    assert house.go() is RolloutState.AWAITING_APPROVAL
    house.say()
    assert house.go() is RolloutState.COMPLETED


def test_so_does_what_a_policy_asks_for_by_itself(instance: dg.DagsterInstance) -> None:
    drift = policy(schedule=PatchSchedule(type=Trigger.DRIFT_TRIGGERED))
    house = CanaryHouse(instance, policies=(drift,))
    [request] = look_around(house.world, house.world.estate.load(), Cursor()).requests
    config = request.run_config["ops"]["plan_remediation"]["config"]

    assert house.run(config, tags=dict(request.tags)).success
    assert house.go() is RolloutState.AWAITING_APPROVAL
    assert house.task.requested_by == "policy:maintenance"
    assert look_around(house.world, house.world.estate.load(), Cursor()).requests == ()
    house.say()
    assert house.go() is RolloutState.COMPLETED


@pytest.mark.parametrize("when", ["before", "while"])
def test_whoever_approves_early_lets_it_go_on_without_a_stop(house: CanaryHouse, when: str) -> None:
    house.submit(REQUEST)
    if when == "before":
        house.say()
    house.go_on()
    if when == "while":
        house.say()

    assert house.go() is RolloutState.COMPLETED
    extents = [one.extent for one in house.world.tasks.get(ACME, house.task.id).claims]
    assert extents == (["whole"] if when == "before" else ["canary", "whole"])


def test_a_policy_that_promotes_nothing_by_itself_wants_an_early_approver_to_look(
    instance: dg.DagsterInstance,
) -> None:
    house = CanaryHouse(instance, policies=(policy(),))
    house.run({"tenant": "acme", "policy": "maintenance", "requested_by": "rita"})
    house.say()

    assert house.go() is RolloutState.HELD
    assert "promote it to go on" in house.rollout.reason
    rollouts.promote(house.world, ACME, house.rollout.id, **ANN)
    assert house.go() is RolloutState.COMPLETED


def test_an_approval_before_the_canary_starts_makes_it_ready_again(house: CanaryHouse) -> None:
    house.submit(REQUEST)
    first = house.request()
    house.say()
    second = house.request()

    assert first.run_key != second.run_key
    assert first.tags == second.tags
    assert run_request(house.task) == second


def test_half_a_quorum_makes_nothing_ready_again_and_lets_nothing_go(
    instance: dg.DagsterInstance,
) -> None:
    house = CanaryHouse(instance, rule={"require_two_approvers": True})
    house.submit(REQUEST)
    first = house.request()
    house.say()
    assert house.request() == first

    house.go_on()
    assert house.go() is RolloutState.AWAITING_APPROVAL
    assert "1 of 2" in house.rollout.reason
    house.say(by="bob")
    assert house.go() is RolloutState.COMPLETED


def test_the_rest_keeps_the_conditions_people_set(house: CanaryHouse) -> None:
    house.go_to_the_gate()
    opens = house.world.clock.now() + timedelta(hours=3)
    decide(
        house.world,
        ACME,
        house.task.id,
        kind=DecisionKind.APPROVE,
        digest=house.task.digest,
        conditions=Conditions(not_before=opens, max_batch=1),
        **ANN,
    )
    assert house.go() is RolloutState.AWAITING_APPROVAL
    house.later(hours=3)

    assert house.go() is RolloutState.COMPLETED
    assert house.rollout.max_batch == 1


def test_an_admin_who_breaks_the_glass_lets_the_rest_go_and_is_reviewed(house: CanaryHouse) -> None:
    house.go_to_the_gate()
    house.say("break_glass", by="zoe", role=Role.ADMIN)

    assert house.go() is RolloutState.COMPLETED
    assert house.task.review_due


def test_a_refresh_that_sees_the_replaced_canary_changes_nothing(house: CanaryHouse) -> None:
    house.go_to_the_gate()
    house.refreshed()
    house.say()

    assert house.go() is RolloutState.COMPLETED
    assert house.rechecked == ["unchanged", "unchanged"]


def test_what_is_gone_of_the_rest_is_left_out(house: CanaryHouse) -> None:
    house.go_to_the_gate()
    house.refreshed(*FLEET[1:9], FLEET[9] | {"state": "terminated"})
    house.say()

    assert house.go() is RolloutState.COMPLETED
    assert list(house.left_out) == [KEYS[9]]
    assert house.touched == set(KEYS[:9])
    assert house.rechecked == ["unchanged", "shrunk"]


def test_a_claimed_canary_is_taken_up_as_a_canary(house: CanaryHouse) -> None:
    task = house.submit(REQUEST)
    claim(house.world, ACME, task.id, digest=task.digest, holder="a run that died")
    house.say()
    house.later(minutes=5)
    [request] = house.tick()
    house.drive(request)

    [begun] = house.entries("rollout_begun")
    assert begun["extent"] == "canary"
    assert house.go() is RolloutState.COMPLETED


def test_a_rest_that_was_claimed_and_not_released_is_released_by_the_next_run(
    house: CanaryHouse,
) -> None:
    house.go_to_the_gate()
    house.say()
    claim(
        house.world,
        ACME,
        house.task.id,
        digest=house.task.digest,
        holder="a run that died",
        stage="rest",
    )
    assert house.task.state is TaskState.EXECUTING
    with pytest.raises(Refused):
        house.say("revoke", by="bob")

    assert house.go() is RolloutState.COMPLETED
