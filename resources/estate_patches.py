"""Valid patch policies and rules for changes as the domain's values."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from qlrf_pipelines.domain.autonomy import AutonomyRule, AutonomyRules, Mode
from qlrf_pipelines.domain.change_risk import WEIGHTS, Factor, RiskRule
from qlrf_pipelines.domain.estate import ChangeRules
from qlrf_pipelines.domain.patching import (
    Analysis,
    ApprovalRule,
    CanaryStep,
    Check,
    HealthCheck,
    Hook,
    Metric,
    Notification,
    PatchPolicy,
    PatchSchedule,
    PatchSelector,
    PatchSla,
    PatchSource,
    PolicyWindow,
    Rollback,
    SourceType,
    Strategy,
    StrategyType,
    Trigger,
    Unit,
    in_unit,
)
from qlrf_pipelines.domain.schedules import (
    WeeklyWindow,
    between,
    clock_time,
    duration,
    weekday,
)
from qlrf_pipelines.domain.vocabulary import Environment, Platform, Severity

_HOOKS = ("preRollout", "prePatch", "postPatch", "postRollout", "onFailure")


def build_policy(value: Mapping[str, Any]) -> PatchPolicy:
    """One patch policy."""
    metadata, spec = value["metadata"], value["spec"]
    return PatchPolicy(
        name=metadata["name"],
        tenant=metadata.get("tenant"),
        description=spec.get("description", ""),
        selector=_selector(spec["selector"]),
        source=_source(spec["source"]),
        strategy=_strategy(spec["strategy"]),
        analysis=_analysis(spec.get("analysis", {})),
        hooks=_hooks(spec.get("hooks", {})),
        health_check=_health_check(spec.get("healthCheck", {})),
        rollback=_rollback(spec.get("rollback", {})),
        approval=_approval(spec.get("approval", {})),
        notifications=tuple(_notification(item) for item in spec.get("notifications", ())),
        schedule=_schedule(spec.get("schedule", {})),
        sla=_sla(spec.get("compliance", {})),
    )


def build_changes(value: Mapping[str, Any]) -> ChangeRules:
    """A tenant's rules for changes."""
    timezone = value.get("timezone", "UTC")
    weights = value.get("riskWeights", {})
    named = {_camel(factor.value): factor for factor in Factor}
    risk = RiskRule(
        weights={**WEIGHTS, **{named[name]: float(w) for name, w in weights.items()}},
        timezone=timezone,
        peaks=_windows(value["peakHours"]) if "peakHours" in value else RiskRule().peaks,
    )
    autonomy = value.get("autonomy", {})
    shared = {name: part for name, part in autonomy.items() if name != "environments"}
    own = autonomy.get("environments", {})
    rules = AutonomyRules(
        default=_autonomy(shared),
        environments={Environment(name): _autonomy({**shared, **r}) for name, r in own.items()},
    )
    return ChangeRules(timezone=timezone, risk=risk, autonomy=rules)


def _autonomy(value: Mapping[str, Any]) -> AutonomyRule:
    usual = AutonomyRule()
    platforms = value.get("platforms")
    return AutonomyRule(
        mode=Mode(value.get("mode", usual.mode)),
        risk_threshold=float(value.get("riskThreshold", usual.risk_threshold)),
        canary_percent=int(value.get("canaryPercent", usual.canary_percent)),
        require_two_approvers=value.get("requireTwoApprovers", usual.require_two_approvers),
        always_approve=tuple(value.get("alwaysApprove", usual.always_approve)),
        max_assets=int(value.get("maxAssets", usual.max_assets)),
        max_critical_assets=int(value.get("maxCriticalAssets", usual.max_critical_assets)),
        cooldown_minutes=float(value.get("cooldownMinutes", usual.cooldown_minutes)),
        platforms=usual.platforms if platforms is None else tuple(map(Platform, platforms)),
        blocked_windows=_windows(value.get("blockedWindows", ())),
    )


def _windows(values: Sequence[Mapping[str, Any]]) -> tuple[WeeklyWindow, ...]:
    return tuple(
        between(
            tuple(weekday(day) for day in value.get("days", ())),
            clock_time(value["start"]),
            clock_time(value["end"]),
        )
        for value in values
    )


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _selector(value: Mapping[str, Any]) -> PatchSelector:
    return PatchSelector(
        platforms=tuple(Platform(item) for item in value.get("platforms", ())),
        environments=_environments(value.get("environments", ())),
        regions=tuple(value.get("regions", ())),
        families=tuple(value.get("imageFamilies", ())),
        tags=dict(value.get("tags", {})),
        exclude_tags=dict(value.get("excludeTags", {})),
        exclude_assets=tuple(value.get("excludeAssets", ())),
    )


def _environments(names: Sequence[str]) -> tuple[Environment, ...]:
    return tuple(Environment(name) for name in names)


def _severities(names: Sequence[str]) -> tuple[Severity, ...]:
    return tuple(Severity(name) for name in names)


def _source(value: Mapping[str, Any]) -> PatchSource:
    usual = PatchSource(type=SourceType(value["type"]))
    image = value.get("goldenImage", {})
    return PatchSource(
        type=usual.type,
        family=image.get("family"),
        version=image.get("version"),
        min_version=image.get("minVersion"),
        repository=value.get("repository"),
        severity=_severities(value.get("severity", usual.severity)),
        classifications=tuple(value.get("classifications", usual.classifications)),
    )


def _strategy(value: Mapping[str, Any]) -> Strategy:
    usual = Strategy(type=StrategyType(value["type"]))
    steps = tuple(_step(item) for item in value.get("steps", ()))
    initial = _percent(value.get("initialPercent"), usual.initial_percent)
    return Strategy(
        type=usual.type,
        max_unavailable_percent=_percent(
            value.get("maxUnavailable"), usual.max_unavailable_percent
        ),
        max_surge_percent=_percent(value.get("maxSurge"), usual.max_surge_percent),
        pause_between_batches=_span(value, "pauseBetweenBatches", usual.pause_between_batches),
        initial_percent=steps[0].percent if steps else initial,
        steps=steps,
        auto_promote=value.get("autoPromote", usual.auto_promote),
        preview=_span(value, "previewDuration", usual.preview),
        timezone=value.get("timezone", usual.timezone),
        windows=tuple(_window(item) for item in value.get("windows", ())),
    )


def _step(value: Mapping[str, Any]) -> CanaryStep:
    return CanaryStep(
        percent=_percent(value["percent"], 0),
        pause=duration(value["pause"]),
        analysis=value.get("analysis", True),
    )


def _window(value: Mapping[str, Any]) -> PolicyWindow:
    window = WeeklyWindow(
        days=(weekday(value["dayOfWeek"]),),
        start=clock_time(value["start"]),
        lasts=duration(value["duration"]),
    )
    return PolicyWindow(window=window, environments=_environments(value.get("environments", ())))


def _percent(text: str | None, usual: int) -> int:
    return usual if text is None else int(text.removesuffix("%"))


def _span(value: Mapping[str, Any], name: str, usual: timedelta) -> timedelta:
    return duration(value[name]) if name in value else usual


def _analysis(value: Mapping[str, Any]) -> Analysis:
    metrics = tuple(_metric(item) for item in value.get("metrics", ()))
    return Analysis(metrics=metrics, lasts=_span(value, "duration", Analysis().lasts))


def _metric(value: Mapping[str, Any]) -> Metric:
    given = Unit(value["threshold"]["unit"])
    unit = Unit(value.get("queryUnit", given))
    threshold = in_unit(float(value["threshold"]["value"]), given, wanted=unit)
    assert threshold is not None  # noqa: S101  the rules refused the estate otherwise
    return Metric(
        name=value["name"],
        type=value["type"],
        query=value["query"],
        comparison=value.get("comparison", "less-than"),
        threshold=threshold,
        unit=unit,
        provider=value.get("provider", "prometheus"),
    )


def _hooks(value: Mapping[str, Any]) -> tuple[Hook, ...]:
    return tuple(
        Hook(
            when=when,
            type=item["type"],
            target=item["target"],
            timeout=_span(item, "timeout", timedelta(minutes=5)),
            fail_policy=item.get("failPolicy", "abort"),
        )
        for when in _HOOKS
        for item in value.get(when, ())
    )


def _health_check(value: Mapping[str, Any]) -> HealthCheck:
    usual = HealthCheck()
    return HealthCheck(
        initial_delay=_span(value, "initialDelay", usual.initial_delay),
        interval=_span(value, "interval", usual.interval),
        timeout=_span(value, "timeout", usual.timeout),
        successes=int(value.get("successThreshold", usual.successes)),
        failures=int(value.get("failureThreshold", usual.failures)),
        checks=tuple(
            Check(type=item["type"], target=item.get("target", ""))
            for item in value.get("checks", ())
        ),
    )


def _rollback(value: Mapping[str, Any]) -> Rollback:
    usual = Rollback()
    return Rollback(
        automatic=value.get("automatic", usual.automatic),
        failure_percent=_percent(value.get("failureThreshold"), usual.failure_percent),
        strategy=value.get("strategy", usual.strategy),
        retain_failed_assets=value.get("retainFailedAssets", usual.retain_failed_assets),
    )


def _approval(value: Mapping[str, Any]) -> ApprovalRule:
    usual = ApprovalRule()
    return ApprovalRule(
        required=value.get("required", usual.required),
        min_approvers=int(value.get("minApprovers", usual.min_approvers)),
        roles=tuple(value.get("allowedApprovers", usual.roles)),
        auto_approve_for=_environments(value.get("autoApproveFor", usual.auto_approve_for)),
        timeout=_span(value, "timeout", usual.timeout),
    )


def _notification(value: Mapping[str, Any]) -> Notification:
    return Notification(
        channel=value["channel"],
        target=value["target"],
        events=tuple(value["events"]),
        progress_every=_span(value, "progressEvery", timedelta(minutes=15)),
    )


def _schedule(value: Mapping[str, Any]) -> PatchSchedule:
    usual = PatchSchedule()
    return PatchSchedule(
        type=Trigger(value.get("type", usual.type)),
        cron=value.get("cron"),
        timezone=value.get("timezone", usual.timezone),
        drift_age=_span(value, "driftAge", usual.drift_age),
        severities=_severities(value.get("severity", usual.severities)),
    )


def _sla(value: Mapping[str, Any]) -> PatchSla:
    usual = PatchSla()
    within = {Severity(name): duration(text) for name, text in value.get("patchWithin", {}).items()}
    return PatchSla(
        patch_within={**usual.patch_within, **within},
        require_evidence=value.get("requireEvidence", usual.require_evidence),
    )
