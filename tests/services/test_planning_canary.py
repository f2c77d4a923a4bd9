"""Which plans let their canary go by itself, how large it is, and until when people are asked."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from qlrf_pipelines.domain.approval import Extent
from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.patching import (
    ApprovalRule,
    CanaryStep,
    PolicyWindow,
    Strategy,
    StrategyType,
)
from qlrf_pipelines.domain.rollout_plan import read_plan
from qlrf_pipelines.domain.schedules import WeeklyWindow, clock_time
from qlrf_pipelines.services.planning import Planned, make_plan
from qlrf_pipelines.services.planning_request import PlanRequest
from qlrf_pipelines.services.rollout_history import hands_of
from qlrf_pipelines.services.submission import alone_to, requirement_of
from resources.plan_contract import SchemaPlanContract
from tests.fakes.clock import NOON
from tests.fakes.drifted import fleet, policy, rules, world_of
from tests.fakes.policy import FakePolicies
from tests.services.rollout_house import goes_alone, phase

ACME = TenantId("acme")
NIGHTLY = Strategy(
    type=StrategyType.MAINTENANCE_WINDOW,
    windows=(
        PolicyWindow(window=WeeklyWindow(start=clock_time("02:00"), lasts=timedelta(hours=2))),
    ),
)


def planned(count: int = 20, strategy: Strategy | None = None, **parts: Any) -> Planned:
    """A plan of so many production machines under canary_only."""
    rule = {"mode": Mode.CANARY_ONLY, "cooldown_minutes": 0} | parts.pop("rule", {})
    mine = () if strategy is None else (policy(strategy=strategy, **parts),)
    world = world_of(*fleet(count), changes=rules(**rule), policies=mine)
    request = PlanRequest(
        tenant=ACME, requested_by="rita", policy="maintenance" if mine else None, verdicts=()
    )
    given = replace(request, families=("ql-base-linux",)) if not mine else request
    return make_plan(
        world,
        given,
        engine=FakePolicies(),
        contract=SchemaPlanContract(),
        hands=hands_of(world),
    )


@pytest.mark.parametrize("percent", [5, 10, 25])
@pytest.mark.parametrize(
    "strategy",
    [
        None,
        Strategy(type=StrategyType.IMMEDIATE),
        Strategy(type=StrategyType.ROLLING, max_unavailable_percent=50),
        Strategy(type=StrategyType.CANARY, initial_percent=50),
        Strategy(
            type=StrategyType.CANARY, steps=(CanaryStep(percent=100, pause=timedelta(minutes=1)),)
        ),
    ],
)
def test_whatever_the_strategy_no_more_goes_alone_than_the_tenant_lets(
    strategy: Strategy | None, percent: int
) -> None:
    made = planned(40, strategy, rule={"canary_percent": percent})

    first = made.plan.phases[0]
    assert first.canary
    assert len(first.actions) <= max(1, 40 * percent // 100)
    assert alone_to(made) is Extent.CANARY
    assert sum(len(one.actions) for one in made.plan.phases) == 40


def test_a_canary_that_has_to_be_larger_asks_people_first() -> None:
    made = planned(40)
    larger = replace(made, permission=replace(made.permission, canary_assets=1))

    assert len(made.plan.phases[0].actions) > 1
    assert alone_to(larger) is None


def test_nothing_behind_it_makes_it_no_canary() -> None:
    assert alone_to(planned(1)) is None


@pytest.mark.parametrize("mode", [mode for mode in Mode if mode is not Mode.CANARY_ONLY])
def test_no_other_mode_lets_a_canary_go_alone(mode: Mode) -> None:
    assert alone_to(planned(rule={"mode": mode, "risk_threshold": 100})) is not Extent.CANARY


def test_what_its_policy_and_two_people_ask_for_they_ask_about_the_rest() -> None:
    two = ApprovalRule(required=True, min_approvers=2)
    made = planned(20, Strategy(type=StrategyType.CANARY), approval=two)

    need = requirement_of(made, now=NOON)

    assert (need.unattended, need.quorum) == (Extent.CANARY, 2)


def test_time_to_decide_counts_from_when_there_is_something_to_see() -> None:
    made = planned(20, NIGHTLY)
    window = made.plan.window
    assert window is not None

    need = requirement_of(made, now=NOON)

    assert need.unattended is Extent.CANARY
    assert need.limits.not_before == window.opens_at
    assert need.expires_at == window.closes_at
    short = replace(made, policy=policy(approval=ApprovalRule(timeout=timedelta(hours=1))))
    assert requirement_of(short, now=NOON).expires_at == window.opens_at + timedelta(hours=1)


def test_its_bound_is_behind_its_hooks_and_its_switch() -> None:
    canary = phase("canary", [["i-1"]])
    rest = phase("wave-1", [["i-2"]])
    hook = {"when": "preRollout", "type": "webhook", "target": "https://x.example"}

    plain = read_plan(goes_alone(canary, rest))
    hooked = read_plan(goes_alone(canary, rest, hooks=[hook]))
    beside = read_plan(goes_alone(canary | {"preview_seconds": 60}, rest))

    assert (plain.canary_phase, hooked.canary_phase, beside.canary_phase) == (0, 1, 1)
    assert [one.name for one in beside.phases] == ["canary preview", "canary", "wave-1"]
