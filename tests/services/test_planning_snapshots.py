"""Patches that can be taken back say so, and only where they can."""

from typing import Any

import pytest

from qlrf_pipelines.domain.patching import PatchSource, Rollback, SourceType
from qlrf_pipelines.services.planning import make_plans
from qlrf_pipelines.services.planning_request import PlanRequest
from tests.fakes.approvals import ACME
from tests.fakes.drifted import drifted, machine, policy, world_of

LACKS = {"patches_critical_missing": 2, "patches_security_missing": 0}


def planned(*assets: dict[str, Any], strategy: str = "restore-snapshot") -> Any:
    vendor = policy(
        source=PatchSource(type=SourceType.OS_VENDOR), rollback=Rollback(strategy=strategy)
    )
    world = world_of(*assets, drift=[drifted(a, "current") for a in assets], policies=(vendor,))
    request = PlanRequest(tenant=ACME, requested_by="rita", policy="maintenance")
    return make_plans(world, request, engine=world.policy, contract=world.plan_contract)


def rollback_factor(found: Any) -> Any:
    factors = found.plans[0].document["risk"]["factors"]
    (factor,) = (item for item in factors if item["factor"] == "rollback")
    return factor


def test_a_patch_of_a_policy_with_snapshots_carries_them_as_a_parameter() -> None:
    found = planned(machine(1, **LACKS))

    (action,) = found.plans[0].plan.actions
    assert action.parameters["rollback"] == "restore-snapshot"
    assert rollback_factor(found)["score"] == 10


@pytest.mark.parametrize("strategy", ["revert-image", "manual"])
def test_a_patch_of_another_policy_does_not(strategy: str) -> None:
    found = planned(machine(1, **LACKS), strategy=strategy)

    (action,) = found.plans[0].plan.actions
    assert "rollback" not in action.parameters
    assert rollback_factor(found)["known"] is False


@pytest.mark.parametrize("facts", [{"platform": "azure"}, {"state": "stopped"}])
def test_where_nobody_takes_snapshots_going_back_stays_unknown(facts: dict[str, str]) -> None:
    found = planned(machine(1, **LACKS, **facts))

    assert rollback_factor(found)["known"] is False


def test_one_machine_that_cannot_go_back_makes_it_unknown_for_all() -> None:
    found = planned(machine(1, **LACKS), machine(2, **LACKS, platform="gcp"))

    assert rollback_factor(found)["known"] is False


def test_a_member_of_a_group_is_not_planned_and_it_is_said() -> None:
    member = machine(2, **LACKS)
    tags = sorted([*member["tags"], ("aws:autoscaling:groupName", "web")])

    found = planned(machine(1, **LACKS), member | {"tags": tags})

    assert [action.name for action in found.plans[0].plan.actions] == ["web-1"]
    (left,) = found.skipped
    assert "Auto Scaling group web would replace it" in left.why
