"""An Auto Scaling group is replaced as a whole, or not at all."""

from typing import Any

from qlrf_pipelines.domain.patching import PatchPolicy, PatchSelector, Strategy, StrategyType
from qlrf_pipelines.domain.vocabulary import DriftVerdict
from qlrf_pipelines.services.planning import make_plans
from qlrf_pipelines.services.planning_request import PlanRequest
from tests.fakes.approvals import ACME
from tests.fakes.drifted import drifted, machine, policy, world_of


def member(number: int, group: str = "web", **facts: Any) -> dict[str, Any]:
    made = machine(number, "staging")
    tags = [*made["tags"], ("aws:autoscaling:groupName", group)]
    return made | {"tags": sorted(tags)} | facts


def planned(
    *assets: dict[str, Any],
    drift: list[dict[str, Any]] | None = None,
    under: PatchPolicy | None = None,
) -> Any:
    world = world_of(*assets, drift=drift, policies=() if under is None else (under,))
    chosen: dict[str, Any] = {"families": ("ql-base-linux",)}
    if under is not None:
        chosen = {"policy": under.name}
    request = PlanRequest(tenant=ACME, requested_by="rita", **chosen)
    return make_plans(world, request, engine=world.policy, contract=world.plan_contract)


def test_a_whole_group_is_one_batch_of_one_phase() -> None:
    found = planned(*(member(n) for n in range(4)), *(machine(n, "staging") for n in range(4, 10)))

    [plan] = found.plans
    groups = [
        {a.parameters.get("together") for a in batch.actions}
        for phase in plan.plan.phases
        for batch in phase.batches
    ]
    having = [names for names in groups if "111122223333:us-east-1:web" in names]
    assert len(having) == 1
    assert len(plan.plan.actions) == 10


def test_half_a_group_is_not_changed_and_it_is_said() -> None:
    assets = [member(0), member(1), machine(2, "staging")]
    current = drifted(assets[1], drift_verdict=DriftVerdict.CURRENT.value)
    found = planned(*assets, drift=[drifted(assets[0]), current, drifted(assets[2])])

    [plan] = found.plans
    assert [action.name for action in plan.plan.actions] == ["web-2"]
    [left] = found.skipped
    assert left.name == "web-0"
    assert "replaced as a whole, and 1 of its machines" in left.why


def test_a_group_moves_inside_as_its_policy_says() -> None:
    strategy = Strategy(type=StrategyType.ROLLING, max_unavailable_percent=25, max_surge_percent=50)
    wanted = policy(selector=PatchSelector(), strategy=strategy)
    found = planned(member(0), member(1), machine(2, "staging"), under=wanted)

    [plan] = found.plans
    parameters = {a.name: dict(a.parameters) for a in plan.plan.actions}
    bounds = {"max_unavailable_percent": "25", "max_surge_percent": "50"}
    assert parameters["web-0"] == {"together": "111122223333:us-east-1:web", **bounds}
    assert parameters["web-2"] == {}


def test_a_group_has_no_second_side_and_stand_alone_machines_have_one() -> None:
    kept = policy(selector=PatchSelector(), strategy=Strategy(type=StrategyType.BLUE_GREEN))

    found = planned(member(0), member(1), machine(2, "staging"), under=kept)

    [plan] = found.plans
    [action] = plan.plan.actions
    assert (action.name, action.parameters["strategy"]) == ("web-2", "blue-green")
    assert sorted(one.name for one in found.skipped) == ["web-0", "web-1"]
    assert {one.why for one in found.skipped} == {
        "its Auto Scaling group web has no second side here; plan it with rolling or canary"
    }
