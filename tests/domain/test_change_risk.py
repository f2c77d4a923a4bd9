"""Change risk: explained, bounded, and never better for knowing less."""

from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.change_risk import (
    WEIGHTS,
    ChangeFacts,
    ChangeHistory,
    ChangeRisk,
    ChangeSize,
    Factor,
    RiskRule,
    assess_change,
    level_of,
)
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.schedules import Span
from qlrf_pipelines.domain.vocabulary import Environment, RiskLevel


def span(day: int, hour: int, hours: int = 1) -> Span:
    start = datetime(2026, 11, day, hour, tzinfo=UTC)
    return Span(opens_at=start, closes_at=start + timedelta(hours=hours))


KNOWN = ChangeFacts(
    environment=Environment.DEVELOPMENT,
    affected=1,
    fleet=100,
    critical=0,
    history=ChangeHistory(failure_rate=0.0, days_since_failure=None, success_streak=20),
    size=ChangeSize.MINOR,
    tested_in_staging=True,
    window=span(3, 2),
    maintenance=True,
    dependents=0,
    external_dependents=False,
    drift_days=120,
    rollback_available=True,
)
HISTORIES = st.builds(
    ChangeHistory,
    failure_rate=st.floats(0, 1),
    days_since_failure=st.none() | st.floats(0, 400),
    success_streak=st.integers(0, 50),
)
FACTS = st.builds(
    ChangeFacts,
    environment=st.none() | st.sampled_from(Environment),
    affected=st.none() | st.integers(0, 1000),
    fleet=st.none() | st.integers(0, 1000),
    critical=st.none() | st.integers(0, 1000),
    history=st.none() | HISTORIES,
    size=st.none() | st.sampled_from(ChangeSize),
    tested_in_staging=st.none() | st.booleans(),
    window=st.none() | st.builds(span, st.integers(1, 28), st.integers(0, 23), st.integers(1, 9)),
    maintenance=st.none() | st.booleans(),
    dependents=st.none() | st.integers(0, 20),
    external_dependents=st.none() | st.booleans(),
    drift_days=st.none() | st.floats(0, 1000),
    rollback_available=st.none() | st.booleans(),
)
NAMES = [field.name for field in fields(ChangeFacts)]


def score(risk: ChangeRisk, factor: Factor) -> float:
    return next(item.score for item in risk.factors if item.factor is factor)


@given(facts=FACTS, name=st.sampled_from(NAMES))
def test_losing_an_input_never_lowers_the_risk(facts: ChangeFacts, name: str) -> None:
    known, lost = assess_change(facts), assess_change(replace(facts, **{name: None}))

    assert lost.score >= known.score
    assert lost.batch_share <= known.batch_share
    assert lost.wait >= known.wait


@given(facts=FACTS)
def test_a_score_is_bounded_explained_and_of_its_level(facts: ChangeFacts) -> None:
    risk = assess_change(facts)

    assert 0 <= risk.score <= 100
    assert risk.level is level_of(risk.score)
    assert {item.factor for item in risk.factors} == set(Factor)
    assert all(item.why for item in risk.factors)


@given(facts=FACTS, days=st.floats(0, 1000), more=st.floats(0, 1000))
def test_a_larger_drift_never_makes_fixing_it_look_riskier(
    facts: ChangeFacts, days: float, more: float
) -> None:
    little = assess_change(replace(facts, drift_days=days))
    large = assess_change(replace(facts, drift_days=days + more))

    assert large.score <= little.score


def test_the_weights_are_the_eight_and_sum_to_one() -> None:
    assert sum(WEIGHTS.values()) == pytest.approx(1)
    assert len(WEIGHTS) == 8


def test_unknown_history_is_the_worst_history() -> None:
    assert score(assess_change(replace(KNOWN, history=None)), Factor.HISTORY) == 100


@pytest.mark.parametrize(
    ("history", "expected"),
    [
        ((0.1, None, 0), 10),
        ((0.1, 3, 0), 40),
        ((0.1, 20, 0), 25),
        ((0.1, 20, 11), 5),
        ((0, 90, 11), 0),
    ],
)
def test_history_counts_failures_the_last_one_and_the_streak(
    history: tuple[float, float | None, int], expected: float
) -> None:
    rate, days, streak = history
    known = ChangeHistory(failure_rate=rate, days_since_failure=days, success_streak=streak)

    assert score(assess_change(replace(KNOWN, history=known)), Factor.HISTORY) == expected


@pytest.mark.parametrize(
    ("affected", "critical", "expected"),
    [(50, 0, 90), (25, 0, 60), (10, 0, 40), (1, 0, 20), (1, 1, 50), (50, 50, 100), (0, 5, 20)],
)
def test_scope_is_the_share_and_its_critical_part(
    affected: int, critical: int, expected: float
) -> None:
    facts = replace(KNOWN, affected=affected, critical=critical)

    assert score(assess_change(facts), Factor.SCOPE) == expected


def test_an_empty_fleet_divides_by_nothing() -> None:
    assert score(assess_change(replace(KNOWN, affected=0, fleet=0)), Factor.SCOPE) == 100


@pytest.mark.parametrize(
    ("window", "maintenance", "expected"),
    [
        (span(3, 2), True, 10),  # a Tuesday night, in a maintenance window
        (span(3, 2), False, 30),
        (span(7, 2), False, 60),  # a Saturday
        (span(3, 10), True, 80),  # busy hours, whatever it is called
        (span(3, 6, hours=9), False, 80),  # begins before and reaches into them
    ],
)
def test_timing_is_about_the_stated_window(
    window: Span, maintenance: bool, expected: float
) -> None:
    facts = replace(KNOWN, window=window, maintenance=maintenance)

    assert score(assess_change(facts), Factor.TIMING) == expected


def test_without_a_window_it_may_run_at_the_worst_time() -> None:
    assert score(assess_change(replace(KNOWN, window=None)), Factor.TIMING) == 80


def test_the_weekday_is_that_of_the_tenants_zone() -> None:
    late = replace(KNOWN, maintenance=False, window=span(6, 2))  # Friday in UTC

    here = assess_change(late)
    there = assess_change(late, RiskRule(timezone="America/New_York"))  # still Thursday

    assert score(here, Factor.TIMING) == 60
    assert score(there, Factor.TIMING) == 30


def test_a_bad_zone_is_an_error() -> None:
    with pytest.raises(Rejected, match="no time zone"):
        assess_change(KNOWN, RiskRule(timezone="Nowhere/Else"))


def test_weights_are_the_tenants_to_choose() -> None:
    only = RiskRule(weights={factor: float(factor is Factor.ROLLBACK) for factor in Factor})

    assert assess_change(KNOWN, only).score == 10


@pytest.mark.parametrize("weight", [0.0, -1.0])
def test_weights_that_weigh_nothing_are_rejected(weight: float) -> None:
    with pytest.raises(Rejected, match="weights"):
        assess_change(KNOWN, RiskRule(weights=dict.fromkeys(Factor, weight)))


@pytest.mark.parametrize(
    ("level", "share", "minutes"),
    [
        (RiskLevel.LOW, 0.5, 2),
        (RiskLevel.MEDIUM, 0.25, 5),
        (RiskLevel.HIGH, 0.1, 15),
        (RiskLevel.CRITICAL, 0.05, 30),
    ],
)
def test_the_level_sets_the_pace(level: RiskLevel, share: float, minutes: int) -> None:
    risk = ChangeRisk(score=0, level=level, factors=())

    assert (risk.batch_share, risk.wait) == (share, timedelta(minutes=minutes))
    assert risk.batch_size(1) == 1
    assert risk.batch_size(0) == 1


@pytest.mark.parametrize(
    ("number", "level"),
    [
        (24.99, "low"),
        (25, "medium"),
        (49.99, "medium"),
        (50, "high"),
        (75, "critical"),
    ],
)
def test_levels_begin_at_25_50_and_75(number: float, level: str) -> None:
    assert level_of(number) == level


def test_a_well_known_change_of_production_can_be_low() -> None:
    assert assess_change(replace(KNOWN, environment=Environment.PRODUCTION)).level == "low"
