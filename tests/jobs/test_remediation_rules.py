"""Autonomy, roles, broken glass and windows: the rules of a plan, kept by its job."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.patching import PolicyWindow, Strategy, StrategyType
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.schedules import WeeklyWindow, clock_time
from qlrf_pipelines.domain.tasks import TaskState
from qlrf_pipelines.domain.vocabulary import Environment
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.claims import sweep
from qlrf_pipelines.services.planning_request import PlanRequest
from qlrf_pipelines.services.submission import submit_plan
from resources.plan_contract import SchemaPlanContract
from tests.fakes.approvals import ACME
from tests.fakes.drifted import fleet, machine, policy, rules, world_of
from tests.fakes.policy import shipped_policies
from tests.jobs.remediated import ASK, FLEET, House, skipped

FREE = rules(Mode.FULL_AUTO, cooldown_minutes=0)


def free_world() -> World:
    return world_of(*fleet(3, "development"), changes=FREE)


def test_what_asks_for_nobody_is_approved_in_the_platforms_name_and_goes(instance: Any):
    house = House(instance, free_world())
    house.world = replace(house.world, policy=shipped_policies())

    result = house.run(ASK)

    assert result.success
    assert house.document["approvals"]["required"] is False
    assert len(house.carried_out) == 1
    assert house.approved_by == ["autonomy:full_auto"]
    kinds = [e.kind for e in house.world.ledger.entries(ACME)]
    assert kinds[:3] == ["approval_requested", "approval_approve", "plan_rechecked"]


def test_what_asks_for_nobody_is_stopped_by_anybody_before_it_starts(instance: Any):
    house = House(instance, free_world())
    request = PlanRequest(tenant=ACME, requested_by="rita", families=("ql-base-linux",))
    submit_plan(
        house.world,
        house.plan(request),
    )
    assert house.task.state is TaskState.APPROVED
    before = house.request()
    house.say("revoke")

    assert skipped(house.run(tags=dict(before.tags)))
    assert house.carried_out == []


def test_no_person_takes_the_platforms_name(instance: Any):
    house = House(instance, world_of(*FLEET))
    house.run(ASK)

    with pytest.raises(Refused, match="platform's own name"):
        house.say(by="autonomy:full_auto", role=Role.ADMIN)

    assert house.task.state is TaskState.AWAITING_APPROVAL


def test_what_went_by_itself_asks_people_once_a_fact_wants_them(instance: Any):
    house = House(instance, free_world())
    request = PlanRequest(tenant=ACME, requested_by="rita", families=("ql-base-linux",))
    planned = house.plan(request)
    submit_plan(house.world, planned)
    before = house.request()
    house.seen(*(machine(n, "production") for n in range(3)))

    result = house.run(tags=dict(before.tags))

    assert result.success
    assert house.carried_out == []
    assert house.task.state is TaskState.CANCELLED  # they are no development machines any more


def test_a_plan_people_carry_out_is_recorded_and_nothing_else(instance: Any):
    house = House(instance, world_of(*FLEET, changes=rules(Mode.PLAN_ONLY)))
    house.world = replace(house.world, policy=shipped_policies())
    house.run(ASK)
    house.say()

    assert house.go_on().success
    assert house.carried_out == []
    [kept] = house.recorded
    assert (kept["document"], kept["approved_by"]) == (house.document, ["ann"])
    assert house.task.state is TaskState.COMPLETED
    assert not house.fleet.effects


@pytest.mark.parametrize("roles", [("engineer", "admin"), ("engineer",), ("admin",)])
@pytest.mark.parametrize("environment", ["production", "staging"])
def test_the_shipped_policies_let_an_approved_plan_run(
    instance: Any, environment: str, roles: tuple[str, ...]
):
    usual = policy(selector=replace(policy().selector, environments=(Environment(environment),)))
    kept = replace(usual, approval=replace(usual.approval, roles=roles))
    house = House(instance, world_of(*fleet(4, environment), policies=(kept,)))
    house.world = replace(
        house.world,
        policy=shipped_policies(),
        plan_contract=SchemaPlanContract(),
    )
    house.run({"tenant": "acme", "policy": "maintenance", "requested_by": "rita"})
    house.say(role=Role.ADMIN)

    result = house.go_on()

    assert result.success
    assert len(house.carried_out) == 1


def test_a_broken_glass_lets_it_run_and_is_told_to_the_policies(instance: Any):
    house = House(
        instance,
        world_of(*FLEET, changes=rules(Mode.APPROVE_ALL, require_two_approvers=True)),
    )
    house.world = replace(house.world, policy=shipped_policies())
    house.run(ASK)
    house.say("break_glass", by="zoe", role=Role.ADMIN)

    assert house.go_on().success
    assert house.task.review_due
    assert len(house.carried_out) == 1


NIGHTLY = Strategy(
    type=StrategyType.MAINTENANCE_WINDOW,
    windows=(
        PolicyWindow(window=WeeklyWindow(start=clock_time("02:00"), lasts=timedelta(hours=2))),
    ),
)


def test_an_approved_plan_starts_when_its_window_opens_and_not_before(instance: Any):
    house = House(instance, world_of(*FLEET, policies=(policy(strategy=NIGHTLY),)))
    house.world = replace(house.world, policy=shipped_policies())
    house.run({"tenant": "acme", "policy": "maintenance", "requested_by": "rita"})
    house.say()
    assert house.world.tasks.approved_since(ACME, cursor=0, limit=9) == []
    tags = {"qlrf/tenant": "acme", "qlrf/task": house.task.id}
    assert skipped(house.run(tags=tags))

    house.world.clock.advance(hours=15)
    sweep(house.world, [ACME])

    assert house.go_on().success
    assert len(house.carried_out) == 1


def test_a_window_that_closed_unused_runs_nothing(instance: Any):
    house = House(instance, world_of(*FLEET, policies=(policy(strategy=NIGHTLY),)))
    house.run({"tenant": "acme", "policy": "maintenance", "requested_by": "rita"})
    house.say()
    house.world.clock.advance(hours=17)

    tags = {"qlrf/tenant": "acme", "qlrf/task": house.task.id}
    assert skipped(house.run(tags=tags))
    assert house.carried_out == []
