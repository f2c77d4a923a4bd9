"""Mode canary_only: what keeps a canary from going by itself, and its rest from following."""

from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.change_risk import Factor, RiskRule
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.rollout import RolloutState
from qlrf_pipelines.domain.tasks import TaskState
from qlrf_pipelines.services import rollouts
from qlrf_pipelines.services.claims import claim, require_claim
from tests.fakes.approvals import ACME
from tests.fakes.drifted import policy, rules
from tests.fakes.policy import FakePolicies
from tests.jobs.canaries import ANN, CANARY, FLEET, KEYS, REQUEST, CanaryHouse
from tests.jobs.remediated import ASK, skipped, told


@pytest.fixture
def house(instance: dg.DagsterInstance) -> CanaryHouse:
    return CanaryHouse(instance)


@pytest.mark.parametrize(
    ("by", "role", "says"),
    [
        ("rita", Role.ADMIN, "nobody decides about their own request"),
        ("autonomy:canary_only", Role.ADMIN, "platform's own name"),
        ("otto", Role.OPERATOR, "engineer or higher"),
    ],
)
def test_who_may_not_approve_lets_nothing_go_while_the_canary_is_out(
    house: CanaryHouse, by: str, role: Role, says: str
) -> None:
    house.go_to_the_gate()

    with pytest.raises(Refused, match=says):
        house.say(by=by, role=role)

    assert house.tick() == []
    assert house.touched == {CANARY}


@pytest.mark.parametrize("verb", ["promote", "resume"])
def test_no_word_to_the_rollout_replaces_the_approval(house: CanaryHouse, verb: str) -> None:
    house.go_to_the_gate()

    with pytest.raises(Refused, match="qlrf tasks approve"):
        getattr(rollouts, verb)(house.world, ACME, house.rollout.id, **ANN)

    assert house.go() is RolloutState.AWAITING_APPROVAL
    assert house.touched == {CANARY}
    assert f"--digest {house.task.digest[:12]}" in house.rollout.reason


def test_promoting_a_watched_canary_ends_its_watch_and_goes_no_further(house: CanaryHouse) -> None:
    house.run(ASK)
    assert house.rollout.state is RolloutState.WATCHING

    rollouts.promote(house.world, ACME, house.rollout.id, **ANN)

    assert house.go() is RolloutState.AWAITING_APPROVAL
    assert house.touched == {CANARY}


def test_a_rest_that_is_not_what_was_approved_is_held_and_comes_back_in_time(
    house: CanaryHouse,
) -> None:
    house.go_to_the_gate()
    house.refreshed(*FLEET[1:9], FLEET[9] | {"image_ref": "ami-0bbbbbbbbbbbbbbb1"})
    house.say()

    assert house.go() is RolloutState.HELD
    assert "is not as it was" in house.rollout.reason
    assert house.touched == {CANARY}
    house.later(hours=25)
    assert house.go() is RolloutState.ROLLED_BACK


def test_what_the_policies_deny_of_the_rest_is_held_and_looked_at_again(house: CanaryHouse) -> None:
    house.go_to_the_gate()
    kept = house.world.policy
    same = FakePolicies({"plan_safety": ["not today"]}, digest=kept.bundle_digest())
    house.world = replace(house.world, policy=same)
    house.say()

    assert house.go() is RolloutState.HELD
    assert "not today" in house.rollout.reason
    house.world = replace(house.world, policy=kept)
    rollouts.resume(house.world, ACME, house.rollout.id, **ANN)
    assert house.go() is RolloutState.COMPLETED


def test_whoever_approved_a_canary_they_saw_need_not_promote_it_as_well(
    instance: dg.DagsterInstance,
) -> None:
    house = CanaryHouse(instance, policies=(policy(),))
    house.run({"tenant": "acme", "policy": "maintenance", "requested_by": "rita"})
    assert house.go() is RolloutState.AWAITING_APPROVAL
    kept = house.world.policy
    same = FakePolicies({"plan_safety": ["not today"]}, digest=kept.bundle_digest())
    house.world = replace(house.world, policy=same)
    house.say()
    assert house.go() is RolloutState.HELD
    house.world = replace(house.world, policy=kept)

    rollouts.resume(house.world, ACME, house.rollout.id, **ANN)

    assert house.go() is RolloutState.COMPLETED


def test_a_canary_the_policies_deny_waits_for_people_to_approve_all_of_it(
    house: CanaryHouse,
) -> None:
    kept = house.world.policy
    house.submit(REQUEST)
    denies = FakePolicies({"plan_safety": ["no canary"]}, digest=kept.bundle_digest())
    house.world = replace(house.world, policy=denies)

    result = house.go_on()

    assert "The canary of task" in told(result)
    assert house.carried_out == []
    house.world = replace(house.world, policy=kept)
    house.say()
    assert house.go_on().success
    assert house.rollout.bound is None


@pytest.mark.parametrize(
    "rule",
    [
        {"max_assets": 5},
        {"always_approve": ("replace_with_image",)},
        {"mode": Mode.APPROVE_ALL},
    ],
)
def test_what_a_guardrail_or_another_mode_holds_asks_people_first(
    instance: dg.DagsterInstance, rule: dict[str, Any]
) -> None:
    house = CanaryHouse(instance)
    house.rule(rules(**({"mode": Mode.CANARY_ONLY, "cooldown_minutes": 0} | rule)))

    assert skipped(house.run(ASK))
    assert house.task.state is TaskState.AWAITING_APPROVAL
    assert house.task.requirement.unattended is None
    assert house.carried_out == []


def test_a_critical_risk_asks_people_first(house: CanaryHouse) -> None:
    where_it_runs = RiskRule(weights=dict.fromkeys(Factor, 0.001) | {Factor.ENVIRONMENT: 1.0})
    house.rule(rules(Mode.CANARY_ONLY, cooldown_minutes=0), risk=where_it_runs)

    house.run(ASK)

    assert house.document["risk"]["level"] == "critical"
    assert house.task.state is TaskState.AWAITING_APPROVAL
    assert house.carried_out == []


def test_a_guardrail_that_holds_it_since_asks_people_before_the_canary(house: CanaryHouse) -> None:
    house.submit(REQUEST)
    before = house.task
    house.rule(rules(Mode.CANARY_ONLY, cooldown_minutes=0, max_assets=3))

    assert skipped(house.go_on())

    assert house.carried_out == []
    assert house.task.digest != before.digest
    assert house.task.requirement.unattended is None
    assert house.task.state is TaskState.AWAITING_APPROVAL


def test_a_canary_that_is_all_of_the_plan_asks_people_first(house: CanaryHouse) -> None:
    house.run(ASK | {"assets": [KEYS[3]]})

    assert house.document["total_assets"] == 1
    assert house.task.state is TaskState.AWAITING_APPROVAL
    assert house.task.requirement.unattended is None


def test_a_job_that_knows_no_canary_does_not_carry_out_all_of_it(house: CanaryHouse) -> None:
    task = house.submit(REQUEST)
    claim(house.world, ACME, task.id, digest=task.digest, holder="run-1")

    with pytest.raises(Refused, match="Only the canary"):
        require_claim(house.world, ACME, task.id, digest=task.digest, holder="run-1")
