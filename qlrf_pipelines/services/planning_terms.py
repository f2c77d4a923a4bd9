"""The terms of a plan: when, how fast, judged by what, taken back by what, agreed by whom."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from qlrf_pipelines.domain.approval import DAY
from qlrf_pipelines.domain.autonomy import AutonomyRule, Mode, Permission
from qlrf_pipelines.domain.change_risk import ChangeFacts, ChangeRisk, PastChanges
from qlrf_pipelines.domain.evidence import digest
from qlrf_pipelines.domain.operations import RESTORE_SNAPSHOT, ROLLBACK
from qlrf_pipelines.domain.patching import (
    BATCHED,
    CanaryStep,
    PatchPolicy,
    Rollback,
    StrategyType,
    Trigger,
    windows_for,
)
from qlrf_pipelines.domain.plans import Action, Operation, Pace, Stage
from qlrf_pipelines.domain.schedules import Span, next_span
from qlrf_pipelines.domain.vocabulary import (
    AssetState,
    DriftVerdict,
    Environment,
    Platform,
    RiskLevel,
)
from qlrf_pipelines.services.planning_facts import Candidate, Knowledge
from qlrf_pipelines.services.planning_targets import change_size

ROLES = ("engineer", "admin")
_CANARY = 0.1
_LONGEST_SUMMARY = 1000
_OPPOSITE = {"less-than": "greater-than", "greater-than": "less-than"}
# Where an executor takes snapshots before it patches.
_SNAPSHOTS = (Platform.AWS,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Which people must agree, and why."""

    required: bool
    quorum: int
    roles: tuple[str, ...]
    why: tuple[str, ...]


def with_mode(rule: AutonomyRule, mode: Mode) -> AutonomyRule:
    """The rule with another mode."""
    return replace(rule, mode=mode)


def window(
    policy: PatchPolicy | None,
    environment: Environment,
    *,
    stated: Span | None,
    now: datetime,
    timezone: str,
) -> tuple[Span | None, str]:
    """When the plan may run: as stated, else the policy's next window; None is at any time."""
    if stated is not None or policy is None:
        return stated, timezone
    strategy = policy.strategy
    windows = windows_for(strategy, environment)
    if not windows:
        return None, timezone
    return next_span(windows, now, timezone=strategy.timezone), strategy.timezone


def risk_facts(
    knowledge: Knowledge,
    actions: Sequence[Action],
    assets: Sequence[Candidate],
    *,
    environment: Environment,
    window: Span | None,
    policy: PatchPolicy | None,
    stated: bool,
    past: PastChanges | None,
) -> ChangeFacts:
    """What is known of a change; without `past` there is no history, which is no good history."""
    dependents = [asset.dependents for asset in assets]
    external = [asset.external for asset in assets]
    days = [asset.days_behind for asset in assets]
    images = {(str(a.family), str(a.to_version)) for a in actions if a.to_version}
    return ChangeFacts(
        environment=environment,
        affected=len(actions),
        fleet=knowledge.fleet.get(environment),
        critical=sum(asset.critical for asset in assets),
        history=None if past is None else past.history,
        size=change_size(actions),
        tested_in_staging=bool(images) and images <= knowledge.staged,
        window=window,
        maintenance=window is not None and not stated,
        dependents=None if None in dependents else sum(n or 0 for n in dependents),
        external_dependents=None if None in external else any(external),
        drift_days=None if None in days else min(d or 0 for d in days),
        rollback_available=_rollback_available(policy, actions, assets),
    )


def _rollback_available(
    policy: PatchPolicy | None, actions: Sequence[Action], assets: Sequence[Candidate]
) -> bool | None:
    """True only if every asset can be put back: its old image is known, or it is snapshot first.

    A machine whose snapshots could not be put back is rejected before anything is done to it.
    """
    rollback = Rollback() if policy is None else policy.rollback
    patched = [a for a in actions if a.parameters.get(ROLLBACK) == RESTORE_SNAPSHOT]
    if actions and len(patched) == len(actions):
        running = all(asset.state == AssetState.RUNNING for asset in assets)
        return True if running and all(a.platform in _SNAPSHOTS for a in actions) else None
    images = all(asset.image_ref for asset in assets)
    replaced = all(action.operation is not Operation.PATCH_IN_PLACE for action in actions)
    return True if images and replaced and rollback.strategy == "revert-image" else None


def pace(
    policy: PatchPolicy | None, risk: ChangeRisk, permission: Permission, *, total: int
) -> Pace:
    """How the change moves: the policy's strategy, never faster than its risk allows."""
    strategy = None if policy is None else policy.strategy
    kind = StrategyType.CANARY if strategy is None else strategy.type
    canary = permission.canary or kind is StrategyType.CANARY
    steps = _steps(policy, risk)
    first, rest = steps[0].share, steps[1:]
    if canary and kind is not StrategyType.CANARY:
        first, rest = min(_CANARY, first), steps
    if permission.mode is Mode.CANARY_ONLY:
        first, rest = min(first, permission.canary_assets / total), rest or steps
    steps = (replace(steps[0], share=first), *rest)
    share = risk.batch_share
    if strategy is not None and kind in BATCHED:
        share = min(share, strategy.max_unavailable_percent / 100)
    return Pace(
        steps=steps,
        batch_share=share,
        phase_share=1.0,
        canary=canary,
        preview=strategy.preview if strategy and kind is StrategyType.BLUE_GREEN else None,
    )


def _steps(policy: PatchPolicy | None, risk: ChangeRisk) -> tuple[Stage, ...]:
    """The shares reached, each watched no shorter than risk asks for and its analysis takes."""
    if policy is None:
        return (Stage(share=_CANARY, wait=risk.wait), Stage(share=1.0, wait=risk.wait))
    strategy = policy.strategy
    watch = max(risk.wait, policy.analysis.lasts) if policy.analysis.metrics else risk.wait
    if strategy.type in (StrategyType.IMMEDIATE, StrategyType.BLUE_GREEN):
        return (Stage(share=1.0, wait=watch),)
    if strategy.type is StrategyType.CANARY and strategy.steps:
        return tuple(_step(one, watch if one.analysis else risk.wait) for one in strategy.steps)
    if strategy.type is StrategyType.CANARY:
        initial = strategy.initial_percent / 100
        return (Stage(share=initial, wait=watch), Stage(share=1.0, wait=watch))
    percent = min(strategy.max_unavailable_percent, int(risk.batch_share * 100))
    reached = [*range(percent, 100, percent), 100]
    wait = max(strategy.pause_between_batches, watch)
    return tuple(Stage(share=share / 100, wait=wait) for share in reached)


def _step(step: CanaryStep, watch: timedelta) -> Stage:
    return Stage(share=step.percent / 100, wait=max(step.pause, watch), analysis=step.analysis)


def approvals(
    policy: PatchPolicy | None,
    environment: Environment,
    risk: ChangeRisk,
    permission: Permission,
    *,
    rule: AutonomyRule,
) -> Need:
    """The strictest of what autonomy, risk and policy ask for."""
    why = []
    if permission.approval:
        why.append(f"autonomy asks for it: {permission.reason}")
    asks = policy is not None and policy.approval.required
    if policy is not None and asks and environment not in policy.approval.auto_approve_for:
        why.append(f"policy {policy.name} asks for it in {environment}")
    if risk.level is RiskLevel.CRITICAL:
        why.append("the risk is critical: two people")
    if rule.require_two_approvers:
        why.append("the tenant asks for two people at any risk")
    required = bool(why)
    quorum = 1 if required else 0
    if policy is not None and required:
        quorum = max(quorum, policy.approval.min_approvers)
    if risk.level is RiskLevel.CRITICAL or rule.require_two_approvers:
        quorum = max(quorum, 2)
    roles = policy.approval.roles if policy is not None and policy.approval.roles else ROLES
    return Need(
        required=required,
        quorum=quorum,
        roles=roles,
        why=tuple(why) or ("nothing asks for it",),
    )


def approval_timeout(policy: PatchPolicy | None) -> timedelta:
    """After how long a request expires."""
    return DAY if policy is None else policy.approval.timeout


def cause(
    policy: PatchPolicy | None, verdicts: Sequence[DriftVerdict], actions: Sequence[Action]
) -> dict[str, Any]:
    """Why the plan is made; nothing in it depends on the day."""
    named = {"verdicts": [verdict.value for verdict in verdicts]} if verdicts else {}
    if policy is None:
        chosen = ", ".join(verdicts) or "behind, retired"
        return {
            "kind": "operator",
            "detail": f"an operator selected drifted assets ({chosen})",
            **named,
        }
    kinds = {Trigger.SCHEDULED: "schedule", Trigger.CVE_TRIGGERED: "cve"}
    kind = kinds.get(policy.schedule.type, "drift")
    detail = f"policy {policy.name} applies to {len(actions)} assets"
    return {"kind": kind, "detail": detail, **named}


def summary(actions: Sequence[Action], environment: Environment, policy: PatchPolicy | None) -> str:
    """What will happen, for the person who decides."""
    steps: Counter[str] = Counter()
    for action in actions:
        if action.to_version is None:
            steps["patched in place"] += 1
        else:
            old = action.from_version or "an unknown version"
            steps[f"{action.family} from {old} to {action.to_version}"] += 1
    parts = [f"{count} × {what}" for what, count in sorted(steps.items())]
    under = "" if policy is None else f" under policy {policy.name}"
    text = f"Change {len(actions)} {environment} assets{under}: {'; '.join(parts)}."
    return text if len(text) <= _LONGEST_SUMMARY else text[: _LONGEST_SUMMARY - 1] + "…"


def factors(risk: ChangeRisk) -> tuple[Mapping[str, Any], ...]:
    """The breakdown of a risk, as the plan keeps it."""
    return tuple(
        {
            "factor": item.factor.value,
            "weight": round(item.weight, 6),
            "score": item.score,
            "why": item.why,
            "known": item.known,
        }
        for item in risk.factors
    )


def health_checks(policy: PatchPolicy | None) -> tuple[Mapping[str, Any], ...]:
    """What must hold afterwards: what the cloud says, the policy's checks and its metrics."""
    found: list[Mapping[str, Any]] = [{"type": "cloud-status"}]
    if policy is None:
        return tuple(found)
    health = policy.health_check
    patience = {
        "initial_delay_seconds": int(health.initial_delay.total_seconds()),
        "interval_seconds": max(1, int(health.interval.total_seconds())),
        "timeout_seconds": max(1, int(health.timeout.total_seconds())),
        "successes": health.successes,
        "failures": health.failures,
    }
    for check in health.checks:
        target = {"target": check.target} if check.target else {}
        found.append({"type": check.type, **target, **patience})
    found += [
        {
            "type": "metric",
            "target": metric.query,
            "comparison": metric.comparison,
            "threshold": metric.threshold,
            "provider": metric.provider,
        }
        for metric in policy.analysis.metrics
    ]
    return tuple(found)


def rollback_triggers(policy: PatchPolicy | None) -> tuple[Mapping[str, Any], ...]:
    """What takes a phase back: too many failures, or a metric on the wrong side."""
    percent = Rollback().failure_percent if policy is None else policy.rollback.failure_percent
    found: list[Mapping[str, Any]] = [
        {
            "metric": "failure_share",
            "comparison": "greater-than",
            "threshold": percent / 100,
        }
    ]
    for metric in () if policy is None else policy.analysis.metrics:
        if metric.comparison in _OPPOSITE:
            found.append(
                {
                    "metric": metric.name,
                    "comparison": _OPPOSITE[metric.comparison],
                    "threshold": metric.threshold,
                    "query": metric.query,
                    "provider": metric.provider,
                }
            )
    return tuple(found)


def strategy(policy: PatchPolicy | None) -> dict[str, str]:
    """The strategy and the terms of its policy, as text, for people and for the record."""
    if policy is None:
        return {"type": StrategyType.CANARY.value, "initial_percent": "10"}
    plan, back = policy.strategy, policy.rollback
    found = {"type": plan.type.value, "source": policy.source.type.value}
    if plan.type in BATCHED:
        found |= {
            "max_unavailable_percent": str(plan.max_unavailable_percent),
            "max_surge_percent": str(plan.max_surge_percent),
            "pause_seconds": str(int(plan.pause_between_batches.total_seconds())),
        }
    if plan.type is StrategyType.CANARY:
        found["initial_percent"] = str(plan.initial_percent)
        found["steps"] = ", ".join(f"{s.percent}%" for s in plan.steps) or "100%"
        found["analysis_seconds"] = str(int(policy.analysis.lasts.total_seconds()))
    if plan.type is StrategyType.BLUE_GREEN:
        found["preview_seconds"] = str(int(plan.preview.total_seconds()))
    if plan.type in (StrategyType.CANARY, StrategyType.BLUE_GREEN):
        found["auto_promote"] = "yes" if plan.auto_promote else "no"
    return found | {
        "rollback": back.strategy,
        "rollback_automatic": "yes" if back.automatic else "no",
        "retain_failed_assets": "yes" if back.retain_failed_assets else "no",
    }


def hooks(policy: PatchPolicy | None) -> tuple[Mapping[str, Any], ...]:
    """The policy's hooks, as the plan keeps them."""
    return tuple(
        {
            "when": hook.when,
            "type": hook.type,
            "target": hook.target,
            "timeout_seconds": int(hook.timeout.total_seconds()),
            "fail_policy": hook.fail_policy,
        }
        for hook in (() if policy is None else policy.hooks)
    )


def notifications(policy: PatchPolicy | None) -> tuple[Mapping[str, Any], ...]:
    """Who hears of the rollout, as the plan keeps them."""
    return tuple(
        {
            "channel": one.channel,
            "target": one.target,
            "events": list(one.events),
            "progress_every_seconds": max(1, int(one.progress_every.total_seconds())),
        }
        for one in (() if policy is None else policy.notifications)
    )


def inventory_facts(asset: Candidate) -> dict[str, Any]:
    """What an approval relies on of one asset: nothing that a mere refresh changes."""
    return {
        "asset": asset.key,
        "platform": asset.platform.value,
        "environment": asset.environment.value,
        "region": asset.region,
        "state": asset.state,
        "image_ref": asset.image_ref,
        "family": asset.family,
        "version": asset.version,
        "verdict": asset.verdict,
        "approved_version": asset.approved_version,
        "tags": dict(sorted(asset.tags.items())),
    }


def action_facts(asset: Candidate, action: Action) -> str:
    """The digest of what one action relies on.

    Patches in place rely on patches being missing, too; how many is another number every week.
    """
    facts = inventory_facts(asset)
    if action.operation is Operation.PATCH_IN_PLACE:
        facts["patches"] = {name: _some(count) for name, count in sorted(asset.patches.items())}
    return digest(facts)


def _some(count: int | None) -> str:
    return "unknown" if count is None else "some" if count else "none"
