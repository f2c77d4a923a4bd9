"""Planning: deterministic documents, five gates, and nothing that absence makes easier."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.datasets import CONTROL_RESULTS
from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.patching import (
    PatchSla,
    PatchSource,
    PolicyWindow,
    SourceType,
    Strategy,
    StrategyType,
)
from qlrf_pipelines.domain.schedules import Span, Weekday, WeeklyWindow, clock_time
from qlrf_pipelines.domain.tasks import TaskState
from qlrf_pipelines.domain.vocabulary import DriftVerdict, Environment
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.planning import Planned, make_plan, make_plans
from qlrf_pipelines.services.planning_request import PlanRequest
from qlrf_pipelines.services.submission import submit_plan
from resources.controls import FolderControls
from resources.estate import FolderEstate
from resources.estate_schema import CONTRACTS
from resources.plan_contract import SchemaPlanContract
from tests.fakes.drifted import (
    AT_REST,
    drifted,
    fleet,
    machine,
    policy,
    release,
    rules,
    world_of,
)
from tests.fakes.observations import keep, observed
from tests.fakes.plan_contract import FakePlanContract
from tests.fakes.policy import FakePolicies, shipped_policies

ACME = TenantId("acme")
ENGINE = shipped_policies()
CONTRACT = SchemaPlanContract()


def ask(**parts: Any) -> PlanRequest:
    chosen = {"families": ("ql-base-linux",)} if set(parts) <= {"mode", "window"} else {}
    return PlanRequest(tenant=ACME, requested_by="dana@acme.example", **(chosen | parts))


def planned(world: World, **parts: Any) -> Planned:
    return make_plan(world, ask(**parts), engine=ENGINE, contract=CONTRACT)


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7, 40])
def test_a_production_plan_of_any_size_keeps_contract_and_policies(count: int) -> None:
    made = planned(world_of(*fleet(count)))

    assert made.denials == ()
    assert made.plan.approval
    assert made.plan.phases[0].canary
    gates = ["schema", "policy", "risk", "autonomy", "approvals"]
    assert [gate.gate for gate in made.gates] == gates


def test_the_same_snapshot_makes_the_same_plan_at_any_time() -> None:
    world = world_of(*fleet(9))
    first = planned(world)
    world.clock.advance(days=3, hours=5)  # type: ignore[attr-defined]

    again = planned(world)

    assert (again.digest, again.document) == (first.digest, first.document)


def test_a_refresh_that_changes_nothing_makes_the_same_plan() -> None:
    assets = fleet(3)
    world = world_of(*assets)
    first = planned(world)
    seen = [asset | {"last_seen": datetime(2026, 11, 2, tzinfo=UTC)} for asset in assets]
    observed(world.lake, "acme", seen, drift=[drifted(asset) for asset in assets])

    assert planned(world).digest == first.digest


@pytest.mark.parametrize(
    "change", [{"image_ref": "ami-0bbbbbbbbbbbbbbb0"}, {"state": "pending"}, {"tags": []}]
)
def test_a_fact_that_changed_makes_another_digest(change: dict[str, Any]) -> None:
    asset = machine(1)

    assert planned(world_of(asset | change)).digest != planned(world_of(asset)).digest


def test_the_context_names_what_the_plan_was_made_from() -> None:
    made = planned(world_of(*fleet(2)))

    assert set(made.context) == {"policy_bundle", "inventory", "risk_inputs", "executor"}
    assert made.context["executor"] == "none"
    assert made.context["policy_bundle"] == ENGINE.bundle_digest()


def test_the_plan_says_which_image_each_asset_gets() -> None:
    made = planned(world_of(machine(1)))

    (action,) = made.document["phases"][0]["actions"]
    assert action["image"] == "ami-0aaaaaaaaaaaaaaa1"
    assert made.document["image_diff"] == [
        {
            "family": "ql-base-linux",
            "from_version": "1.6.3",
            "to_version": "1.6.4",
            "platform": "aws",
            "assets": 1,
        }
    ]


def test_what_cannot_be_planned_is_named_with_its_reason() -> None:
    assets = fleet(6)
    verdicts = ("behind", "stale", "unknown", "unmanaged", "current", "behind")
    rows = [drifted(a, verdict) for a, verdict in zip(assets, verdicts, strict=True)]
    rows[3] |= {"family": None, "version": None, "approved_version": None}
    assets[5]["region"] = "eu-west-1"  # where the release has no image

    found = make_plans(world_of(*assets, drift=rows), ask(), engine=ENGINE, contract=CONTRACT)

    assert [len(item.plan.actions) for item in found.plans] == [1]
    assert [one.name for one in found.skipped] == ["web-1", "web-2", "web-3", "web-5"]
    assert "no image on aws in eu-west-1" in found.skipped[-1].why


def test_a_retired_release_is_never_a_target() -> None:
    world = world_of(machine(1), releases=[release(status="deprecated")])

    found = make_plans(world, ask(), engine=ENGINE, contract=CONTRACT)

    assert found.plans == ()
    assert "not approved" in found.skipped[0].why


def test_environments_become_plans_of_their_own_the_safest_first() -> None:
    world = world_of(machine(1), machine(2, "staging"), machine(3, "development"))

    found = make_plans(world, ask(), engine=ENGINE, contract=CONTRACT)

    names = [item.plan.environment.value for item in found.plans]
    assert names == ["development", "staging", "production"]
    with pytest.raises(Refused, match="spans development, staging, production"):
        planned(world)


@pytest.mark.parametrize(
    ("request_parts", "error", "says"),
    [
        ({"policy": "nope"}, NotFound, "there is: maintenance"),
        ({"verdicts": (DriftVerdict.STALE,)}, Rejected, "stale"),
        ({"assets": ("i-9999",)}, NotFound, "i-9999"),
        ({"environments": (Environment.DR,)}, Refused, "nothing selected"),
        ({"families": ()}, Rejected, "Say what to plan"),
        ({"mode": Mode.FULL_AUTO}, Rejected, "less than that"),
    ],
)
def test_requests_that_cannot_be_planned(
    request_parts: dict[str, Any], error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        planned(world_of(machine(1), policies=(policy(),)), **request_parts)


def test_a_tenant_nobody_declared_has_no_plan() -> None:
    request = replace(ask(), tenant=TenantId("nobody"))

    with pytest.raises(NotFound, match="nobody"):
        make_plan(world_of(), request, engine=ENGINE, contract=CONTRACT)


def test_no_policy_engine_denies() -> None:
    made = make_plan(world_of(machine(1)), ask(), engine=None, contract=CONTRACT)

    assert made.denied
    assert made.context["policy_bundle"] == "none"


def test_a_decision_without_a_bundle_was_made_by_no_policy() -> None:
    made = make_plan(world_of(machine(1)), ask(), engine=FakePolicies(digest=""), contract=CONTRACT)

    assert made.denied


def test_every_reason_of_every_gate_is_told() -> None:
    engine = FakePolicies({"plan_safety": ["too fast", "too many"]})

    made = make_plan(
        world_of(machine(1)), ask(), engine=engine, contract=FakePlanContract("$.id: missing")
    )

    assert [d.partition(":")[0] for d in made.denials] == ["schema", "policy", "policy"]
    with pytest.raises(Refused, match="too many"):
        submit_plan(world_of(), made)


def test_the_generated_plan_is_what_policies_judge() -> None:
    engine = FakePolicies()
    made = make_plan(world_of(machine(1)), ask(), engine=engine, contract=CONTRACT)

    ((package, value),) = engine.asked

    assert package == "plan_safety"
    assert value["plan"] == {k: v for k, v in made.document.items() if k != "gates"}


def test_an_immediate_change_of_production_still_begins_with_a_canary() -> None:
    immediate = policy(strategy=Strategy(type=StrategyType.IMMEDIATE))
    made = planned(world_of(*fleet(30), policies=(immediate,)), policy="maintenance")

    assert made.denials == ()
    assert made.plan.phases[0].canary


def test_a_maintenance_window_is_stated_in_the_plan() -> None:
    saturday = WeeklyWindow(
        days=(Weekday.SATURDAY,), start=clock_time("02:00"), lasts=timedelta(hours=6)
    )
    windows = Strategy(
        type=StrategyType.MAINTENANCE_WINDOW,
        timezone="America/New_York",
        windows=(PolicyWindow(window=saturday, environments=(Environment.PRODUCTION,)),),
    )
    world = world_of(machine(1), policies=(policy(strategy=windows),))

    window = planned(world, policy="maintenance").document["window"]

    assert window == {
        "required": True,
        "opens_at": "2026-11-07T07:00:00Z",
        "closes_at": "2026-11-07T13:00:00Z",
        "timezone": "America/New_York",
    }


def test_an_environment_without_a_window_is_not_changed_at_any_time_instead() -> None:
    saturday = WeeklyWindow(
        days=(Weekday.SATURDAY,), start=clock_time("02:00"), lasts=timedelta(hours=6)
    )
    windows = Strategy(
        type=StrategyType.MAINTENANCE_WINDOW,
        windows=(PolicyWindow(window=saturday, environments=(Environment.STAGING,)),),
    )
    world = world_of(machine(1), policies=(policy(strategy=windows),))

    found = make_plans(world, ask(policy="maintenance"), engine=ENGINE, contract=CONTRACT)

    assert found.plans == ()
    (skipped,) = found.skipped
    assert skipped.why == "policy maintenance has no maintenance window for production"
    opens = datetime(2999, 1, 1, tzinfo=UTC)
    hours = Span(opens_at=opens, closes_at=opens + timedelta(hours=8))
    stated = planned(world, policy="maintenance", window=hours).document["window"]
    assert stated["opens_at"] == "2999-01-01T00:00:00Z"


def test_patches_in_place_are_planned_where_a_patch_manager_misses_them() -> None:
    vendor = policy(source=PatchSource(type=SourceType.OS_VENDOR))
    assets = [
        machine(1, patches_critical_missing=2, patches_security_missing=0),
        machine(2, patches_critical_missing=0, patches_security_missing=0),
        machine(3),
    ]
    rows = [drifted(asset, "current") for asset in assets]

    found = make_plans(
        world_of(*assets, drift=rows, policies=(vendor,)),
        ask(policy="maintenance"),
        engine=ENGINE,
        contract=CONTRACT,
    )

    assert [a.name for a in found.plans[0].plan.actions] == ["web-1"]
    assert found.plans[0].document["type"] == "patch_plan"
    assert found.plans[0].denials == ()
    assert [one.name for one in found.skipped] == ["web-3"]


@pytest.mark.parametrize("mode", list(Mode))
def test_every_mode_passes_the_policies_or_asks_for_approval(mode: Mode) -> None:
    world = world_of(*fleet(3, "staging"), changes=rules(mode))

    made = planned(world)

    assert made.denials == ()
    assert made.plan.approval  # without history the cooldown is unknown: a guardrail asks


def test_a_change_within_every_guardrail_may_go_by_itself_in_a_window() -> None:
    changes = rules(Mode.RISK_BASED, risk_threshold=60, cooldown_minutes=0)
    world = world_of(*fleet(3, "development"), changes=changes)
    night = Span(
        opens_at=datetime(2026, 11, 3, 2, tzinfo=UTC),
        closes_at=datetime(2026, 11, 3, 4, tzinfo=UTC),
    )

    made = planned(world, window=night)

    assert made.denials == ()
    assert not made.plan.approval
    assert made.plan.quorum == 0


def test_two_people_when_the_tenant_asks_for_two() -> None:
    made = planned(
        world_of(machine(1), changes=rules(Mode.APPROVE_ALL, require_two_approvers=True))
    )

    assert made.plan.quorum == 2
    assert made.denials == ()


def test_a_submitted_plan_is_a_task_whose_document_is_the_plan() -> None:
    world = world_of(machine(1))
    made = planned(world)

    task = submit_plan(world, made)
    again = submit_plan(world, made)

    assert task.id == again.id
    assert task.state is TaskState.AWAITING_APPROVAL
    assert task.launch is not None
    assert task.launch.job == "remediation"
    record = world.tasks.get(ACME, task.id)
    assert record.document.content == made.document
    assert made.context.items() <= record.document.context.items()


@pytest.mark.parametrize(
    "lost", ["qlrf:criticality", "qlrf:dependents", "qlrf:external-dependents"]
)
def test_a_tag_that_is_lost_never_lowers_the_risk(lost: str) -> None:
    tags = sorted((k, v) for k, v in AT_REST.items() if k != lost)

    known, unknown = planned(world_of(machine(1))), planned(world_of(machine(1, tags=tags)))

    assert unknown.risk.score >= known.risk.score
    assert unknown.plan.quorum >= known.plan.quorum


def test_assets_nobody_judged_count_as_audited() -> None:
    kept = policy(sla=PatchSla(require_evidence=False))

    made = planned(world_of(machine(1), policies=(kept,)), policy="maintenance")

    assert made.document["compliance"]["in_scope"] is True
    assert any("evidence_planned" in reason for reason in made.denials)


def test_the_frameworks_of_the_controls_that_judge_an_asset_are_named() -> None:
    world = replace(world_of(machine(1)), controls=FolderControls())
    control = next(c for c in world.controls.load() if "soc2" in c.frameworks)
    result = {"tenant": "acme", "control_id": control.id, "asset_key": machine(1)["asset_key"]}
    keep(world.lake, CONTROL_RESULTS, [result | {"verdict": "pass"}], "acme")

    assert "soc2" in planned(world).document["compliance"]["frameworks"]


@pytest.mark.parametrize("name", ["critical-security", "monthly-maintenance"])
@pytest.mark.parametrize("count", [1, 6, 50])
def test_the_shipped_policies_plan_production_and_pass_every_gate(name: str, count: int) -> None:
    shipped = FolderEstate(CONTRACTS / "examples").load().patches
    assets = [
        asset | {"patches_missing": 3, "patches_failed": 0, "patches_critical_missing": 1}
        for asset in fleet(count)
    ]
    world = world_of(*assets, policies=shipped)

    made = planned(world, policy=name, environments=(Environment.PRODUCTION,))

    assert made.denials == ()
    assert made.document["window"]["required"] == (name == "monthly-maintenance")
    assert len(made.plan.actions) == count


def test_an_approval_lasts_until_the_window_closes_and_is_not_asked_for_later() -> None:
    world = world_of(machine(1))
    opens = world.clock.now() + timedelta(days=6)
    made = planned(world, window=Span(opens_at=opens, closes_at=opens + timedelta(hours=4)))

    requirement = submit_plan(world, made).requirement
    world.clock.advance(days=7)  # type: ignore[attr-defined]

    assert requirement.valid_for == timedelta(days=6, hours=4)
    with pytest.raises(Refused, match="has closed"):
        submit_plan(world, made)
