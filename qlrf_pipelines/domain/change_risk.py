"""How risky a change is: eight factors, each explained. What nobody knows counts at its worst."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from zoneinfo import ZoneInfo

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.schedules import Span, Weekday, WeeklyWindow, between, clock_time, zone
from qlrf_pipelines.domain.vocabulary import Environment, RiskLevel


class Factor(StrEnum):
    """What makes a change risky."""

    ENVIRONMENT = "environment"
    SCOPE = "scope"
    HISTORY = "history"
    CHANGE_SIZE = "change_size"
    TIMING = "timing"
    DEPENDENCIES = "dependencies"
    DRIFT = "drift"
    ROLLBACK = "rollback"


class ChangeSize(StrEnum):
    """How far the new version is from the old one."""

    MAJOR = "major"
    MODERATE = "moderate"
    MINOR = "minor"


WEIGHTS: Mapping[Factor, float] = {
    Factor.ENVIRONMENT: 0.20,
    Factor.SCOPE: 0.15,
    Factor.HISTORY: 0.15,
    Factor.CHANGE_SIZE: 0.15,
    Factor.TIMING: 0.10,
    Factor.DEPENDENCIES: 0.10,
    Factor.DRIFT: 0.10,
    Factor.ROLLBACK: 0.05,
}
WORST = 100.0
_ENVIRONMENTS = {
    Environment.PRODUCTION: 80.0,
    Environment.DR: 50.0,
    Environment.STAGING: 40.0,
    Environment.DEVELOPMENT: 10.0,
    Environment.SANDBOX: 10.0,
}
_SHARES = ((0.50, 90.0), (0.25, 60.0), (0.10, 40.0), (0.0, 20.0))
_SIZES = {ChangeSize.MAJOR: 80.0, ChangeSize.MODERATE: 50.0, ChangeSize.MINOR: 20.0}
# The longer a machine has drifted the more leaving it costs, so the less the change adds to that.
_DRIFT_BANDS = (
    (90, 10.0, "more than 90 days"),
    (30, 20.0, "31 to 90 days"),
    (14, 30.0, "15 to 30 days"),
)
_LITTLE_DRIFT = (0, 40.0, "at most 14 days")
_LEVELS = ((25.0, RiskLevel.LOW), (50.0, RiskLevel.MEDIUM), (75.0, RiskLevel.HIGH))
_PACES = {
    RiskLevel.LOW: (0.50, 2),
    RiskLevel.MEDIUM: (0.25, 5),
    RiskLevel.HIGH: (0.10, 15),
    RiskLevel.CRITICAL: (0.05, 30),
}
_QUIET_DAYS = (Weekday.FRIDAY, Weekday.SATURDAY, Weekday.SUNDAY)
WORKDAYS = tuple(day for day in Weekday if day <= Weekday.FRIDAY)


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskRule:
    """A tenant's weights, zone and busy hours."""

    weights: Mapping[Factor, float] = field(default_factory=lambda: dict(WEIGHTS))
    timezone: str = "UTC"
    peaks: tuple[WeeklyWindow, ...] = (between(WORKDAYS, clock_time("09:00"), clock_time("18:00")),)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeHistory:
    """How changes of this kind went before."""

    failure_rate: float
    days_since_failure: float | None
    success_streak: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PastChanges:
    """What the platform did in an environment before; `last_at` None means that it did nothing."""

    last_at: datetime | None = None
    history: ChangeHistory | None = None

    def minutes_before(self, now: datetime) -> float:
        """How long ago the last change was; `inf` if there was none."""
        if self.last_at is None:
            return math.inf
        return max(0.0, (now - self.last_at).total_seconds() / 60)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeFacts:
    """What is known of a change; None is unknown, and counts at its worst."""

    environment: Environment | None = None
    affected: int | None = None
    fleet: int | None = None
    critical: int | None = None
    history: ChangeHistory | None = None
    size: ChangeSize | None = None
    tested_in_staging: bool | None = None
    window: Span | None = None
    maintenance: bool | None = None
    dependents: int | None = None
    external_dependents: bool | None = None
    drift_days: float | None = None
    rollback_available: bool | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorScore:
    """One factor: 0 is safest, and why it is what it is."""

    factor: Factor
    weight: float
    score: float
    why: str
    known: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRisk:
    """The weighted mean of the factors, and how slowly such a change should move."""

    score: float
    level: RiskLevel
    factors: tuple[FactorScore, ...]

    @property
    def batch_share(self) -> float:
        """The largest share of the plan's assets that may change at once."""
        return _PACES[self.level][0]

    @property
    def wait(self) -> timedelta:
        """How long to watch, at least, before going on."""
        return timedelta(minutes=_PACES[self.level][1])

    def batch_size(self, assets: int) -> int:
        """How many of so many assets may change at once; at least one."""
        return max(1, int(assets * self.batch_share))


def assess_change(facts: ChangeFacts, rule: RiskRule | None = None) -> ChangeRisk:
    """Score a change.

    Raises:
        Rejected: no weight is above zero, one is below, or the zone does not exist.
    """
    rule = rule or RiskRule()
    place = zone(rule.timezone)
    weights = {factor: rule.weights.get(factor, WEIGHTS[factor]) for factor in Factor}
    total = sum(weights.values())
    if not total > 0 or min(weights.values()) < 0:
        raise Rejected("Risk weights must not be negative, and one must be above zero.")
    found = {
        Factor.ENVIRONMENT: _environment(facts),
        Factor.SCOPE: _scope(facts),
        Factor.HISTORY: _history(facts.history),
        Factor.CHANGE_SIZE: _size(facts),
        Factor.TIMING: _timing(facts, rule, place),
        Factor.DEPENDENCIES: _dependencies(facts),
        Factor.DRIFT: _drift(facts.drift_days),
        Factor.ROLLBACK: _rollback(facts.rollback_available),
    }
    factors = tuple(
        FactorScore(factor=f, weight=weights[f] / total, score=score, why=why, known=known)
        for f, (score, why, known) in found.items()
    )
    score = round(min(100.0, sum(item.weight * item.score for item in factors)), 2)
    return ChangeRisk(score=score, level=level_of(score), factors=factors)


def level_of(score: float) -> RiskLevel:
    """The band a score lies in: low < 25, medium < 50, high < 75, critical."""
    return next((level for below, level in _LEVELS if score < below), RiskLevel.CRITICAL)


_Scored = tuple[float, str, bool]


def _environment(facts: ChangeFacts) -> _Scored:
    if facts.environment is None:
        return 80.0, "unknown environment, taken for production", False
    return _ENVIRONMENTS[facts.environment], facts.environment.value, True


def _scope(facts: ChangeFacts) -> _Scored:
    affected, fleet, critical = facts.affected, facts.fleet, facts.critical
    if affected is None or fleet is None or fleet <= 0:
        return WORST, "nobody knows how much of the fleet it is", False
    share = affected / fleet
    base = next(score for least, score in _SHARES if share >= least)
    # Zero affected assets have no critical share; a critical count nobody knows is all of them.
    part = (
        0.0 if affected <= 0 else min(1.0, (affected if critical is None else critical) / affected)
    )
    shown = "an unknown number" if critical is None else str(critical)
    why = f"{affected} of {fleet} active assets, {shown} of them critical"
    return min(WORST, base + 30 * part), why, critical is not None


def _history(history: ChangeHistory | None) -> _Scored:
    if history is None:
        return WORST, "no history is known, which is not a good history", False
    score = min(1.0, max(0.0, history.failure_rate)) * 100
    if history.days_since_failure is not None:
        score += (
            30 if history.days_since_failure < 7 else 15 if history.days_since_failure < 30 else 0
        )
    if history.success_streak > 10:
        score -= 20
    why = f"{history.failure_rate:.0%} failed before, {history.success_streak} successes in a row"
    return min(WORST, max(0.0, score)), why, True


def _size(facts: ChangeFacts) -> _Scored:
    tested = facts.tested_in_staging is True
    base = 80.0 if facts.size is None else _SIZES[facts.size]
    what = "a step of unknown size" if facts.size is None else f"a {facts.size} step"
    why = f"{what}, {'tested' if tested else 'not shown to be tested'} in staging"
    return base - (15 if tested else 0), why, facts.size is not None


def _timing(facts: ChangeFacts, rule: RiskRule, place: ZoneInfo) -> _Scored:
    if facts.window is None:
        return 80.0, "no window is stated, so it may run at the busiest hour", False
    opens: datetime = facts.window.opens_at.astimezone(place)
    shown = f"{Weekday(opens.weekday()).name.title()} {opens:%H:%M} {rule.timezone}"
    if any(peak.touches(facts.window, timezone=rule.timezone) for peak in rule.peaks):
        return 80.0, f"{shown}, reaches into busy hours", True
    if facts.maintenance:
        return 10.0, f"{shown}, a maintenance window", True
    if Weekday(opens.weekday()) in _QUIET_DAYS:
        return 60.0, f"{shown}, when few people are there to help", True
    return 30.0, f"{shown}, outside busy hours", True


def _dependencies(facts: ChangeFacts) -> _Scored:
    if facts.dependents is None:
        return WORST, "nobody knows what depends on it", False
    external = facts.external_dependents is not False
    score = min(WORST, min(WORST, 15.0 * facts.dependents) + (25 if external else 0))
    said = {None: "perhaps outside ones too", True: "outside ones too", False: "none outside"}
    why = f"{facts.dependents} dependents, {said[facts.external_dependents]}"
    return score, why, facts.external_dependents is not None


def _drift(days: float | None) -> _Scored:
    if days is None:
        return 40.0, "nobody knows for how long it has drifted", False
    _, score, band = next((band for band in _DRIFT_BANDS if days > band[0]), _LITTLE_DRIFT)
    return score, f"drifted for {band}; the longer, the more leaving it would cost", True


def _rollback(available: bool | None) -> _Scored:
    if available:
        return 10.0, "the old image can be put back", True
    return 70.0, "no way back is known", available is not None
