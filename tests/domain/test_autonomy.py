"""Autonomy: five modes, guardrails before all of them, and windows that really block."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.autonomy import (
    AutonomyRule,
    AutonomyRules,
    Mode,
    Permission,
    Proposal,
    decide,
)
from qlrf_pipelines.domain.change_risk import ChangeRisk, level_of
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.schedules import Span, between, clock_time, weekday
from qlrf_pipelines.domain.vocabulary import Environment, Platform

FRIDAY_NIGHT = between((weekday("FRIDAY"),), clock_time("22:00"), clock_time("04:00"))


def risk(score: float) -> ChangeRisk:
    return ChangeRisk(score=score, level=level_of(score), factors=())


def span(day: int, hour: int) -> Span:
    start = datetime(2026, 11, day, hour, tzinfo=UTC)
    return Span(opens_at=start, closes_at=start + timedelta(hours=1))


FINE = Proposal(
    operations=("replace_with_image",),
    environment=Environment.DEVELOPMENT,
    platforms=(Platform.AWS,),
    assets=20,
    critical=0,
    minutes_since_change=60,
    window=span(3, 2),
    timezone="UTC",
    risk=risk(20),
)


def ask(mode: Mode, rule: dict[str, Any] | None = None, **parts: Any) -> Permission:
    return decide(AutonomyRule(mode=mode, **(rule or {})), replace(FINE, **parts))


@pytest.mark.parametrize(
    ("mode", "executes", "automatic", "approval"),
    [
        (Mode.PLAN_ONLY, False, False, True),
        (Mode.APPROVE_ALL, True, False, True),
        (Mode.CANARY_ONLY, True, True, True),
        (Mode.RISK_BASED, True, True, False),
        (Mode.FULL_AUTO, True, True, False),
    ],
)
def test_the_five_modes_differ(mode: Mode, executes: bool, automatic: bool, approval: bool) -> None:
    found = ask(mode)

    assert (found.executes, found.automatic, found.approval) == (executes, automatic, approval)


@pytest.mark.parametrize(
    ("parts", "says"),
    [
        ({"operations": ("terminate",)}, "terminate"),
        ({"assets": 101}, "101 assets"),
        ({"critical": 6}, "6 critical"),
        ({"platforms": (Platform.BAREMETAL,)}, "baremetal"),
        ({"minutes_since_change": 4}, "cooldown"),
    ],
)
@pytest.mark.parametrize("mode", list(Mode))
def test_no_mode_passes_a_guardrail(mode: Mode, parts: dict[str, Any], says: str) -> None:
    found = ask(mode, **parts)

    assert found.approval
    assert not found.automatic
    assert says in found.blocked[0]


@pytest.mark.parametrize(
    ("when", "blocked"),
    [(span(6, 23), True), (span(7, 3), True), (span(6, 3), False), (span(7, 23), False)],
)
def test_a_blocked_window_over_midnight_blocks_both_days(when: Span, blocked: bool) -> None:
    found = ask(Mode.FULL_AUTO, {"blocked_windows": (FRIDAY_NIGHT,)}, window=when)

    assert bool(found.blocked) == blocked


def test_a_change_at_any_time_may_be_in_a_blocked_window() -> None:
    assert ask(Mode.FULL_AUTO, {"blocked_windows": (FRIDAY_NIGHT,)}, window=None).approval


def test_a_bad_zone_is_an_error_and_never_utc() -> None:
    with pytest.raises(Rejected, match="no time zone"):
        ask(Mode.FULL_AUTO, timezone="Amerika/Bonn")


@pytest.mark.parametrize(("score", "approval"), [(30, False), (30.1, True)])
def test_risk_based_goes_by_the_threshold_in_production_too(score: float, approval: bool) -> None:
    found = ask(Mode.RISK_BASED, environment=Environment.PRODUCTION, risk=risk(score))

    assert found.approval == approval
    assert found.canary


@pytest.mark.parametrize("mode", [Mode.CANARY_ONLY, Mode.RISK_BASED, Mode.FULL_AUTO])
def test_a_critical_or_unknown_risk_needs_people_in_every_mode(mode: Mode) -> None:
    rule = {"risk_threshold": 100}

    assert not ask(mode, rule, risk=risk(75)).automatic
    assert not ask(mode, rule, risk=None).automatic


@pytest.mark.parametrize(("assets", "expected"), [(1, 1), (9, 1), (20, 2), (99, 9)])
def test_the_canary_is_its_percent_and_at_least_one(assets: int, expected: int) -> None:
    assert ask(Mode.CANARY_ONLY, assets=assets).canary_assets == expected


@given(
    mode=st.sampled_from(Mode),
    name=st.sampled_from(
        ["environment", "assets", "critical", "minutes_since_change", "window", "risk"]
    ),
    score=st.floats(0, 100),
    blocked=st.booleans(),
)
def test_losing_an_input_never_relaxes_the_gate(
    mode: Mode, name: str, score: float, blocked: bool
) -> None:
    rule = {"blocked_windows": (FRIDAY_NIGHT,) if blocked else ()}
    known = ask(mode, rule, risk=risk(score))

    lost = ask(mode, rule, **({"risk": risk(score)} | {name: None}))

    assert lost.approval >= known.approval
    assert lost.automatic <= known.automatic
    assert lost.canary >= known.canary


def test_an_environment_may_have_its_own_rule() -> None:
    careful = AutonomyRule(mode=Mode.PLAN_ONLY)
    rules = AutonomyRules(
        default=AutonomyRule(mode=Mode.FULL_AUTO), environments={Environment.PRODUCTION: careful}
    )

    assert rules.of(Environment.PRODUCTION) is careful
    assert rules.of(Environment.SANDBOX).mode is Mode.FULL_AUTO


def test_nothing_said_is_approve_all() -> None:
    assert AutonomyRules().of(Environment.DEVELOPMENT).mode is Mode.APPROVE_ALL
