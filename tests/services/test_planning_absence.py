"""Planning with less known: no lower risk, no relaxed gate, no asset left unmentioned."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.services.planning import Planning, make_plans
from qlrf_pipelines.services.planning_request import PlanRequest
from tests.examples import examples
from tests.fakes.drifted import AT_REST, drifted, fleet, machine, rules, world_of
from tests.fakes.plan_contract import FakePlanContract
from tests.fakes.policy import FakePolicies

INVENTORY_FACTS = ("image_ref", "tags", "state", "account", "fresh")
DRIFT_FACTS = ("version", "days_behind", "reason", "versions_behind")
COUNT = 6


def plans(assets: list[dict[str, Any]], drift: list[dict[str, Any]], mode: Mode) -> Planning:
    world = world_of(*assets, drift=drift, changes=rules(mode, cooldown_minutes=0))
    request = PlanRequest(tenant=TenantId("acme"), requested_by="dana", families=("ql-base-linux",))
    return make_plans(world, request, engine=FakePolicies(), contract=FakePlanContract())


@settings(max_examples=examples(20, thorough=40), deadline=None)
@given(
    mode=st.sampled_from(Mode),
    lost=st.sampled_from([(0, name) for name in INVENTORY_FACTS] + [(1, n) for n in DRIFT_FACTS]),
    which=st.integers(0, COUNT - 1),
    environment=st.sampled_from(["production", "staging", "development"]),
)
def test_a_fact_that_is_lost_makes_nothing_easier(
    mode: Mode, lost: tuple[int, str], which: int, environment: str
) -> None:
    assets = fleet(COUNT, environment)
    drift = [drifted(asset) for asset in assets]
    (known,) = plans(assets, drift, mode).plans
    table, name = lost
    (drift if table else assets)[which][name] = None

    found = plans(assets, drift, mode)

    (less,) = found.plans
    assert len(less.plan.actions) + len(found.skipped) == COUNT
    assert less.risk.score >= known.risk.score
    assert less.plan.approval >= known.plan.approval
    assert less.plan.quorum >= known.plan.quorum


@settings(max_examples=20, deadline=None)
@given(
    verdicts=st.lists(
        st.sampled_from(["behind", "retired", "stale", "unknown", "unmanaged"]),
        min_size=1,
        max_size=8,
    )
)
def test_every_drifted_asset_is_planned_or_named(verdicts: list[str]) -> None:
    assets = [machine(number) for number in range(len(verdicts))]
    drift = [drifted(a, verdict) for a, verdict in zip(assets, verdicts, strict=True)]

    found = plans(assets, drift, Mode.APPROVE_ALL)

    planned = [action.asset for item in found.plans for action in item.plan.actions]
    named = [one.asset for one in found.skipped]
    assert sorted(planned + named) == sorted(asset["asset_key"] for asset in assets)
    assert all(one.why for one in found.skipped)


def test_a_machine_that_says_nothing_of_itself_is_critical() -> None:
    silent, quiet = machine(1, tags=[]), machine(2, tags=sorted(AT_REST.items()))
    drift = [drifted(silent), drifted(quiet)]

    (found,) = plans([silent, quiet], drift, Mode.APPROVE_ALL).plans

    assert found.document["blast_radius"]["critical_assets"] == 1
    assert "dependents" not in found.document["blast_radius"]
