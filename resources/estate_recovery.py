"""Valid sites, pairs and recovery plans as the domain's values."""

from collections.abc import Iterable, Mapping
from typing import Any

from qlrf_pipelines.domain.recovery import Member
from qlrf_pipelines.domain.recovery_plans import (
    CanaryWrites,
    DrillApproval,
    DrillType,
    DrPair,
    ManualStep,
    ProbePace,
    ProbeRule,
    ProbeType,
    RecoveryPlan,
    Site,
)
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.schedules import duration
from qlrf_pipelines.domain.vocabulary import Environment, Platform


def build_site(value: Mapping[str, Any]) -> Site:
    """One site."""
    metadata, spec = value["metadata"], value["spec"]
    return Site(
        tenant=metadata["tenant"],
        name=metadata["name"],
        platform=Platform(spec["platform"]),
        region=spec["region"],
        description=spec.get("description", ""),
    )


def build_pair(value: Mapping[str, Any]) -> DrPair:
    """One pair of sites."""
    metadata, spec = value["metadata"], value["spec"]
    targets = spec.get("targets", {})
    return DrPair(
        tenant=metadata["tenant"],
        name=metadata["name"],
        primary=spec["primarySite"],
        recovery=spec["recoverySite"],
        rto_seconds=_seconds(targets, "rto"),
        rpo_seconds=_seconds(targets, "rpo"),
    )


def build_plan(value: Mapping[str, Any], pairs: Iterable[DrPair]) -> RecoveryPlan:
    """One recovery plan; the targets it does not set itself are its pair's."""
    metadata, spec = value["metadata"], value["spec"]
    mine = (metadata["tenant"], spec["primarySite"], spec["recoverySite"])
    pair = next(pair for pair in pairs if (pair.tenant, pair.primary, pair.recovery) == mine)
    targets = spec.get("targets", {})
    rto, rpo = _seconds(targets, "rto"), _seconds(targets, "rpo")
    approval = spec.get("approval", {})
    return RecoveryPlan(
        tenant=metadata["tenant"],
        name=metadata["name"],
        application=spec["application"],
        tier=int(spec["tier"]),
        environment=Environment(spec.get("environment", Environment.PRODUCTION)),
        pair=pair.name,
        primary=pair.primary,
        recovery=pair.recovery,
        groups=tuple(tuple(map(_member, group["members"])) for group in spec["groups"]),
        probes=tuple(map(_probe, spec["probes"])),
        type=DrillType(spec.get("type", DrillType.TEST_FAILOVER)),
        pace=_pace(spec.get("pace", {})),
        canary=_canary(spec.get("canary", {})),
        rto_seconds=pair.rto_seconds if rto is None else rto,
        rpo_seconds=pair.rpo_seconds if rpo is None else rpo,
        fresh_days=_days(spec),
        approval=DrillApproval(
            quorum=int(approval.get("quorum", DrillApproval().quorum)),
            role=Role(approval.get("role", DrillApproval().role)),
        ),
        runbook=tuple(map(_step, spec.get("runbook", ()))),
        move_seconds=_seconds(spec, "moveTimeout") or 1800.0,
    )


def _seconds(value: Mapping[str, Any], name: str) -> float | None:
    return duration(value[name]).total_seconds() if name in value else None


def _days(spec: Mapping[str, Any]) -> int | None:
    seconds = _seconds(spec, "drillEvery")
    return None if seconds is None else max(1, round(seconds / 86400))


def _member(value: Mapping[str, Any]) -> Member:
    return Member(
        name=value["name"],
        adapter=value["adapter"],
        settings=dict(value.get("settings", {})),
        depends_on=tuple(value.get("dependsOn", ())),
    )


def _probe(value: Mapping[str, Any]) -> ProbeRule:
    return ProbeRule(
        name=value["name"],
        type=ProbeType(value["type"]),
        target=value.get("target", ""),
        test_target=value.get("testTarget", ""),
        member=value.get("member", ""),
        statement=value.get("statement", ""),
        command=tuple(value.get("command", ())),
        expect=value.get("expect"),
        consecutive=int(value.get("consecutive", 3)),
    )


def _pace(value: Mapping[str, Any]) -> ProbePace:
    usual = ProbePace()
    return ProbePace(
        interval_seconds=float(value.get("intervalSeconds", usual.interval_seconds)),
        timeout_seconds=float(value.get("timeoutSeconds", usual.timeout_seconds)),
        within_seconds=_seconds(value, "within") or usual.within_seconds,
    )


def _canary(value: Mapping[str, Any]) -> CanaryWrites:
    usual = CanaryWrites()
    before = _seconds(value, "before")
    return CanaryWrites(
        members=tuple(value.get("members", ())),
        interval_seconds=1 / float(value.get("perSecond", 1 / usual.interval_seconds)),
        before_seconds=usual.before_seconds if before is None else before,
        workload=int(value.get("workloadWrites", usual.workload)),
    )


def _step(value: Mapping[str, Any]) -> ManualStep:
    return ManualStep(
        name=value["name"],
        phase=value["phase"],
        text=value["text"],
        role=Role(value.get("role", Role.OPERATOR)),
    )
