"""Patch policies: which machines change, from what source, in which steps, and what takes it back.

A policy is loaded and validated, stands on every plan made under it, and a rollout carries it out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum

from qlrf_pipelines.domain.schedules import WeeklyWindow
from qlrf_pipelines.domain.vocabulary import Environment, Platform, Severity


class StrategyType(StrEnum):
    """How a change moves over a fleet."""

    IMMEDIATE = "immediate"
    ROLLING = "rolling"
    CANARY = "canary"
    BLUE_GREEN = "blue-green"
    MAINTENANCE_WINDOW = "maintenance-window"


# The strategies that move in equal batches, and say how much of something may be away at a time.
BATCHED = (StrategyType.ROLLING, StrategyType.MAINTENANCE_WINDOW)


class SourceType(StrEnum):
    """Where the new state comes from."""

    OS_VENDOR = "os-vendor"
    GOLDEN_IMAGE = "golden-image"
    CUSTOM_REPOSITORY = "custom-repository"


class Unit(StrEnum):
    """What a number is a number of."""

    RATIO = "ratio"
    PERCENT = "percent"
    SECONDS = "seconds"
    MILLISECONDS = "milliseconds"
    COUNT = "count"


# unit -> what it measures, and how many of the base unit one of it is
UNITS: Mapping[Unit, tuple[str, float]] = {
    Unit.RATIO: ("share", 1.0),
    Unit.PERCENT: ("share", 0.01),
    Unit.SECONDS: ("time", 1.0),
    Unit.MILLISECONDS: ("time", 0.001),
    Unit.COUNT: ("count", 1.0),
}


class Trigger(StrEnum):
    """What starts a policy."""

    MANUAL = "manual"
    SCHEDULED = "scheduled"
    DRIFT_TRIGGERED = "drift-triggered"
    CVE_TRIGGERED = "cve-triggered"


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSelector:
    """Which assets: every given part must match, nothing excluded may."""

    platforms: tuple[Platform, ...] = ()
    environments: tuple[Environment, ...] = ()
    regions: tuple[str, ...] = ()
    families: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    exclude_tags: Mapping[str, str] = field(default_factory=dict)
    exclude_assets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSource:
    """What is installed: a golden image, the vendor's patches or a repository's."""

    type: SourceType
    family: str | None = None
    version: str | None = None
    min_version: str | None = None
    repository: str | None = None
    severity: tuple[Severity, ...] = (Severity.CRITICAL, Severity.HIGH)
    classifications: tuple[str, ...] = ("security",)


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryStep:
    """Up to which share of the plan, and how long to watch it."""

    percent: int
    pause: timedelta
    analysis: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyWindow:
    """A maintenance window and the environments it is for; none given means all."""

    window: WeeklyWindow
    environments: tuple[Environment, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Strategy:
    """How the change moves; parameters another type would need keep their defaults."""

    type: StrategyType
    max_unavailable_percent: int = 25
    max_surge_percent: int = 0
    pause_between_batches: timedelta = timedelta(minutes=5)
    initial_percent: int = 10
    steps: tuple[CanaryStep, ...] = ()
    auto_promote: bool = False
    preview: timedelta = timedelta(minutes=30)
    timezone: str = "UTC"
    windows: tuple[PolicyWindow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One measurement that must hold. `threshold` is in `unit`, the unit the query answers in."""

    name: str
    type: str
    query: str
    comparison: str
    threshold: float
    unit: Unit
    provider: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Analysis:
    """What is measured while a canary is watched."""

    metrics: tuple[Metric, ...] = ()
    lasts: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """Something to do before or after."""

    when: str
    type: str
    target: str
    timeout: timedelta = timedelta(minutes=5)
    fail_policy: str = "abort"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One proof that an asset is healthy."""

    type: str
    target: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """What an asset must answer afterwards, and how patiently it is asked."""

    initial_delay: timedelta = timedelta(minutes=2)
    interval: timedelta = timedelta(seconds=30)
    timeout: timedelta = timedelta(seconds=10)
    successes: int = 3
    failures: int = 3
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollback:
    """What takes a phase back, and how."""

    automatic: bool = True
    failure_percent: int = 20
    strategy: str = "revert-image"
    retain_failed_assets: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRule:
    """Who must agree. What the platform itself asks for is never lessened by it."""

    required: bool = True
    min_approvers: int = 1
    roles: tuple[str, ...] = ()
    auto_approve_for: tuple[Environment, ...] = (Environment.DEVELOPMENT, Environment.STAGING)
    timeout: timedelta = timedelta(hours=24)


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """Who hears of which events."""

    channel: str
    target: str
    events: tuple[str, ...]
    progress_every: timedelta = timedelta(minutes=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSchedule:
    """When the policy starts by itself."""

    type: Trigger = Trigger.MANUAL
    cron: str | None = None
    timezone: str = "UTC"
    drift_age: timedelta = timedelta(days=14)
    severities: tuple[Severity, ...] = (Severity.CRITICAL, Severity.HIGH)


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchSla:
    """Until when patches of a severity must be in, and whether evidence is kept."""

    patch_within: Mapping[Severity, timedelta] = field(
        default_factory=lambda: {
            Severity.CRITICAL: timedelta(days=7),
            Severity.HIGH: timedelta(days=14),
            Severity.MEDIUM: timedelta(days=30),
            Severity.LOW: timedelta(days=90),
        }
    )
    require_evidence: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchPolicy:
    """How machines are patched; `tenant` None means every tenant may use it."""

    name: str
    tenant: str | None
    description: str
    selector: PatchSelector
    source: PatchSource
    strategy: Strategy
    analysis: Analysis = field(default_factory=Analysis)
    hooks: tuple[Hook, ...] = ()
    health_check: HealthCheck = field(default_factory=HealthCheck)
    rollback: Rollback = field(default_factory=Rollback)
    approval: ApprovalRule = field(default_factory=ApprovalRule)
    notifications: tuple[Notification, ...] = ()
    schedule: PatchSchedule = field(default_factory=PatchSchedule)
    sla: PatchSla = field(default_factory=PatchSla)


def in_unit(value: float, unit: Unit, *, wanted: Unit) -> float | None:
    """A number in another unit: 200 milliseconds are 0.2 seconds; None if it cannot be one."""
    measures, factor = UNITS[unit]
    other, wanted_factor = UNITS[wanted]
    return value * factor / wanted_factor if measures == other else None


def windows_for(strategy: Strategy, environment: Environment) -> tuple[WeeklyWindow, ...]:
    """The maintenance windows of an environment."""
    return tuple(
        item.window
        for item in strategy.windows
        if not item.environments or environment in item.environments
    )
