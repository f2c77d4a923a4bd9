"""What a plan's assets were promised is told beside the plan, and is no part of it."""

from datetime import timedelta
from typing import Any

import pytest

from qlrf_pipelines.domain.datasets import PATCH_SLA
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.patch_deadlines import Deadlines, deadlines
from qlrf_pipelines.services.patch_sla import judge_patch_sla
from qlrf_pipelines.services.planning import Planned, make_plan
from qlrf_pipelines.services.planning_request import PlanRequest
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.drifted import drifted, machine, policy, world_of
from tests.fakes.observations import keep
from tests.fakes.plan_contract import FakePlanContract
from tests.fakes.policy import FakePolicies

AGES = (8, 7, 6, 1)


def fleet(policies: Any = None) -> World:
    assets = [machine(number) for number in range(len(AGES))]
    drift = [
        drifted(asset, drifted_since=NOON - timedelta(days=age))
        for asset, age in zip(assets, AGES, strict=True)
    ]
    world = world_of(*assets, drift=drift, policies=(policies or policy(),))
    judge_patch_sla(world, world.estate.load().tenants)
    return world


def planned(world: World, **parts: Any) -> Planned:
    request = PlanRequest(tenant=TenantId("acme"), requested_by="dana", **parts)
    return make_plan(world, request, engine=FakePolicies(), contract=FakePlanContract())


def told(world: World, **parts: Any) -> Deadlines:
    found = deadlines(world, planned(world, **parts or {"policy": "maintenance"}).plan)
    assert found is not None
    return found


def test_a_plan_under_a_policy_says_how_many_assets_are_late_and_when_the_first_was_due() -> None:
    assert told(fleet()) == Deadlines(
        assets=4,
        breached=2,
        breaching=1,
        due=1,
        met=0,
        unknown=0,
        first_due_at=NOON - timedelta(days=1),
    )


def test_time_moves_what_is_told_and_not_the_plan() -> None:
    world = fleet()
    before = planned(world, policy="maintenance").digest
    assert isinstance(world.clock, FakeClock)
    world.clock.advance(hours=20)

    assert planned(world, policy="maintenance").digest == before
    world.clock.moment = NOON + timedelta(hours=23)
    assert told(world).breaching == 1
    world.clock.moment = NOON + timedelta(hours=24)
    assert (told(world).breached, told(world).breaching) == (3, 0)


def test_what_nobody_judged_lately_or_ever_is_unknown() -> None:
    world = fleet()
    assert isinstance(world.clock, FakeClock)
    world.clock.advance(hours=24, seconds=1)
    late = told(world)

    keep(world.lake, PATCH_SLA, [], "acme")
    never = told(world)

    assert (late.unknown, late.breached, late.first_due_at) == (4, 0, None)
    assert (never.unknown, never.first_due_at) == (4, None)


def test_a_plan_without_a_policy_was_promised_nothing() -> None:
    assert deadlines(fleet(), planned(fleet(), families=("ql-base-linux",)).plan) is None


@pytest.mark.parametrize("name", ["maintenance", "other"])
def test_only_the_promises_of_the_plans_own_policy_are_told(name: str) -> None:
    world = fleet(policy(name=name))

    found = told(world, policy=name)

    assert found.breached == 2
