"""How much the platform may do by itself: five modes, and guardrails before all of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from qlrf_pipelines.domain.change_risk import ChangeRisk
from qlrf_pipelines.domain.schedules import Span, WeeklyWindow, zone
from qlrf_pipelines.domain.vocabulary import Environment, Platform, RiskLevel

_CANARY_ABOVE = 40


class Mode(StrEnum):
    """Who carries a change out, and who must agree first.

    plan_only    the platform only plans; people carry it out
    approve_all  nothing happens without approval
    canary_only  a canary may go first by itself, the rest needs approval
    risk_based   a change up to the risk threshold may go by itself
    full_auto    a change may go by itself unless its risk is critical
    """

    PLAN_ONLY = "plan_only"
    APPROVE_ALL = "approve_all"
    CANARY_ONLY = "canary_only"
    RISK_BASED = "risk_based"
    FULL_AUTO = "full_auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class AutonomyRule:
    """What a tenant allows in an environment."""

    mode: Mode = Mode.APPROVE_ALL
    risk_threshold: float = 30
    canary_percent: int = 10
    require_two_approvers: bool = False
    always_approve: tuple[str, ...] = ("terminate", "dr_drill", "dr_failover", "dr_failback")
    max_assets: int = 100
    max_critical_assets: int = 5
    cooldown_minutes: float = 5
    platforms: tuple[Platform, ...] = (
        Platform.AWS,
        Platform.AZURE,
        Platform.GCP,
        Platform.VSPHERE,
        Platform.KUBERNETES,
    )
    blocked_windows: tuple[WeeklyWindow, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class AutonomyRules:
    """A tenant's rules: one for every environment, some with their own."""

    default: AutonomyRule = field(default_factory=AutonomyRule)
    environments: Mapping[Environment, AutonomyRule] = field(default_factory=dict)

    def of(self, environment: Environment) -> AutonomyRule:
        """The rule of an environment."""
        return self.environments.get(environment, self.default)


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is to be done, as the guardrails see it; None is unknown and never passes one."""

    operations: tuple[str, ...]
    environment: Environment | None
    platforms: tuple[Platform, ...]
    assets: int | None
    critical: int | None
    minutes_since_change: float | None
    window: Span | None
    timezone: str
    risk: ChangeRisk | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Permission:
    """What the platform may do by itself, and why not more.

    `executes` False means that the platform carries nothing out, whatever is approved.
    """

    mode: Mode
    executes: bool
    automatic: bool
    approval: bool
    canary: bool
    canary_assets: int
    reason: str
    blocked: tuple[str, ...] = ()


def decide(rule: AutonomyRule, proposal: Proposal) -> Permission:
    """What a rule allows of a proposal.

    Raises:
        Rejected: the time zone does not exist.
    """
    blocked = _guardrails(rule, proposal)
    canary = max(1, (proposal.assets or 0) * rule.canary_percent // 100)
    automatic, reason = _by_mode(rule, proposal)
    wants_canary = _wants_canary(rule, proposal, automatic=automatic)
    free = automatic and not blocked
    return Permission(
        mode=rule.mode,
        executes=rule.mode is not Mode.PLAN_ONLY,
        automatic=free,
        approval=not free or rule.mode is Mode.CANARY_ONLY,
        canary=wants_canary,
        canary_assets=canary,
        reason="a guardrail asks for approval" if automatic and blocked else reason,
        blocked=blocked,
    )


def _wants_canary(rule: AutonomyRule, proposal: Proposal, *, automatic: bool) -> bool:
    if proposal.environment in (None, Environment.PRODUCTION) or proposal.risk is None:
        return True
    if rule.mode is Mode.CANARY_ONLY or (rule.mode is Mode.RISK_BASED and not automatic):
        return True
    return proposal.risk.score > _CANARY_ABOVE


def _by_mode(rule: AutonomyRule, proposal: Proposal) -> tuple[bool, str]:
    """Whether something may go by itself, and why."""
    risk = proposal.risk
    if rule.mode is Mode.PLAN_ONLY:
        return False, "mode plan_only: the platform plans, people carry it out"
    if rule.mode is Mode.APPROVE_ALL:
        return False, "mode approve_all: every change needs approval"
    if risk is None:
        return False, "the risk is unknown"
    if risk.level is RiskLevel.CRITICAL:
        return False, "the risk is critical"
    if rule.mode is Mode.CANARY_ONLY:
        return True, "mode canary_only: the canary may go by itself, the rest needs approval"
    if rule.mode is Mode.RISK_BASED and risk.score > rule.risk_threshold:
        return False, f"risk {risk.score:g} is above the threshold of {rule.risk_threshold:g}"
    if rule.mode is Mode.RISK_BASED:
        return True, f"risk {risk.score:g} is within the threshold of {rule.risk_threshold:g}"
    return True, "mode full_auto"


def _guardrails(rule: AutonomyRule, proposal: Proposal) -> tuple[str, ...]:
    place = zone(proposal.timezone).key
    found = [
        f"{name} always needs approval"
        for name in sorted(set(proposal.operations) & set(rule.always_approve))
    ]
    found += _too_many(proposal.assets, rule.max_assets, "assets")
    found += _too_many(proposal.critical, rule.max_critical_assets, "critical assets")
    strangers = sorted(set(proposal.platforms) - set(rule.platforms))
    found += [f"platform {name} is not allowed" for name in strangers]
    if not proposal.platforms:
        found.append("the platform is unknown")
    found += _cooldown(rule, proposal.minutes_since_change)
    found += _blocked(rule, proposal.window, place)
    return tuple(found)


def _too_many(count: int | None, limit: int, what: str) -> list[str]:
    if count is None:
        return [f"the number of {what} is unknown"]
    return [f"{count} {what} are more than {limit}"] if count > limit else []


def _cooldown(rule: AutonomyRule, minutes: float | None) -> list[str]:
    """Never changed before is `inf` minutes; unknown is not never."""
    if rule.cooldown_minutes <= 0:
        return []
    if minutes is None:
        return ["when something last changed is unknown"]
    if minutes < rule.cooldown_minutes:
        return [f"the cooldown of {rule.cooldown_minutes:g} minutes has not passed"]
    return []


def _blocked(rule: AutonomyRule, window: Span | None, place: str) -> list[str]:
    if not rule.blocked_windows:
        return []
    if window is None:
        return ["no window is stated, so it may run in a blocked one"]
    hit = any(item.touches(window, timezone=place) for item in rule.blocked_windows)
    return ["it would run in a blocked window"] if hit else []
