"""Patch SLA: since when an asset lacks what its policies promised, and when it is due.

This is the rule itself, for one asset at a time. `services/patch_sla_sql.py` says the same for a
whole fleet; a property test proves that both agree. What nobody can tell is unknown, never met,
and its clock runs: losing sight of an asset neither meets a promise nor puts it off.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from qlrf_pipelines.domain.patching import PatchPolicy, PatchSelector, SourceType
from qlrf_pipelines.domain.vocabulary import (
    COVERED_VERDICTS,
    AssetState,
    DriftVerdict,
    Environment,
    Platform,
    Severity,
)


class SlaStatus(StrEnum):
    """How a promise stands on one asset, best to worst."""

    MET = "met"
    DUE = "due"
    BREACHING = "breaching"
    BREACHED = "breached"
    UNKNOWN = "unknown"


KEPT = (SlaStatus.MET, SlaStatus.DUE, SlaStatus.BREACHING)


class Measure(StrEnum):
    """What tells whether patches of a severity are in; the inventory counts no finer."""

    CRITICAL_PATCHES = "critical_patches"
    SECURITY_PATCHES = "security_patches"
    PATCHES = "patches"
    DRIFT = "drift"


# Less than this share of the time left is breaching: one over it, as whole numbers stay exact.
BREACHING_PART = 4
# As long as the control patch_scan_recent accepts; a scan is not made at every refresh.
SCAN_LASTS = timedelta(days=7)
LACKING_VERDICTS = (DriftVerdict.BEHIND, DriftVerdict.RETIRED)

# One sentence per cause; {0} is the number of patches or the drift verdict.
REASONS: Mapping[str, str] = {
    "no_state": "What it is doing could not be read.",
    "unseen": "No complete listing has shown it within the hours its tenant allows.",
    "covered": "Its image is {0}.",
    "behind": "Its image is {0}.",
    "unjudged": "Its image is {0}, so nobody knows what it lacks.",
    "uncounted": "No patch manager says what it lacks.",
    "unscanned": "When its patches were scanned is not known.",
    "scan_old": "Its patches were last scanned too long ago.",
    "lacking": "{0} missing or failed.",
    "complete": "None is missing.",
}
MET_CAUSES, LACKING_CAUSES = ("covered", "complete"), ("behind", "lacking")


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """One severity of one policy: what measures it, and how long it may be missing."""

    severity: Severity
    measure: Measure
    within: timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class PatchFacts:
    """What inventory and drift know of one live asset; None is unknown."""

    key: str
    id: str | None
    platform: Platform | None
    region: str | None
    environment: Environment | None
    family: str | None
    tags: Mapping[str, str] | None
    state: AssetState | None
    last_seen: datetime | None
    scanned_at: datetime | None
    critical: int | None
    security: int | None
    missing: int | None
    failed: int | None
    verdict: DriftVerdict | None
    drifted_since: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How one promise stands on one asset; `since` and `due_at` are None only while it is met."""

    status: SlaStatus
    missing: int | None
    since: datetime | None
    due_at: datetime | None
    reason: str


def promises_of(policy: PatchPolicy) -> tuple[Promise, ...]:
    """What a policy promises.

    A golden image brings patches of every severity at once and nobody tells which, so such a
    policy promises once: within the least time that any of its severities has.
    """
    within = policy.sla.patch_within
    severities = sorted(set(policy.source.severity), key=list(Severity).index)
    if policy.source.type is SourceType.GOLDEN_IMAGE:
        strictest = min(severities, key=lambda severity: within[severity])
        return (Promise(severity=strictest, measure=Measure.DRIFT, within=within[strictest]),)
    return tuple(
        Promise(
            severity=severity,
            measure=measure_of(severity, policy.source.classifications),
            within=within[severity],
        )
        for severity in severities
    )


def measure_of(severity: Severity, classifications: Collection[str]) -> Measure:
    """What tells that patches of a severity are missing: the narrowest that leaves none out."""
    if severity is Severity.CRITICAL:
        return Measure.CRITICAL_PATCHES
    if severity is Severity.HIGH and set(classifications) <= {"security"}:
        return Measure.SECURITY_PATCHES
    return Measure.PATCHES


def concerns(policy: PatchPolicy, asset: PatchFacts) -> bool:
    """Whether a policy is, or may be, about an asset: what is not known takes nothing out."""
    selector, source, tags = policy.selector, policy.source, asset.tags
    if {asset.key, asset.id} & set(selector.exclude_assets):
        return False
    if any((tags or {}).get(key) == value for key, value in selector.exclude_tags.items()):
        return False
    golden = source.type is SourceType.GOLDEN_IMAGE and source.family is not None
    return (
        _may_be(asset.platform, selector.platforms)
        and _may_be(asset.environment, selector.environments)
        and _may_be(asset.region, selector.regions)
        and _may_be(asset.family, selector.families)
        and _may_be(asset.family, (source.family,) if golden else ())
        and (tags is None or _has(tags, selector))
    )


def _may_be(value: object, allowed: Collection[object]) -> bool:
    return not allowed or value is None or value in allowed


def _has(tags: Mapping[str, str], selector: PatchSelector) -> bool:
    return all(tags.get(key) == value for key, value in selector.tags.items())


def judge(
    asset: PatchFacts,
    promise: Promise,
    *,
    stale_after_hours: float,
    now: datetime,
    since: datetime | None = None,
) -> Standing:
    """How a promise stands now; `since` is what the same measure said the time before."""
    missing = None if promise.measure is Measure.DRIFT else _missing(asset, promise.measure)
    cause = _cause(asset, promise.measure, missing, hours=stale_after_hours, now=now)
    told = missing if promise.measure is not Measure.DRIFT else asset.verdict or "not judged"
    reason = REASONS[cause].format(told)
    if cause in MET_CAUSES:
        return Standing(
            status=SlaStatus.MET, missing=missing, since=None, due_at=None, reason=reason
        )
    begun = asset.drifted_since if promise.measure is Measure.DRIFT else None
    known = [moment for moment in (since, begun) if moment is not None]
    first = min(known, default=now)
    due_at = first + promise.within
    lacking = cause in LACKING_CAUSES
    return Standing(
        status=status_at(due_at, promise.within, now=now) if lacking else SlaStatus.UNKNOWN,
        missing=missing if lacking else None,
        since=first,
        due_at=due_at,
        reason=reason,
    )


def status_at(due_at: datetime, within: timedelta, *, now: datetime) -> SlaStatus:
    """How what is missing stands at a moment."""
    if now >= due_at:
        return SlaStatus.BREACHED
    if BREACHING_PART * (due_at - now) < within:
        return SlaStatus.BREACHING
    return SlaStatus.DUE


def _missing(asset: PatchFacts, measure: Measure) -> int | None:
    """How many patches are missing; one unknown count of several is no proof of none."""
    counts = {
        Measure.CRITICAL_PATCHES: (asset.critical,),
        Measure.SECURITY_PATCHES: (asset.security,),
    }.get(measure, (asset.missing, asset.failed))
    most = max((count for count in counts if count is not None), default=0)
    return most if most > 0 or None not in counts else None


def _cause(
    asset: PatchFacts, measure: Measure, missing: int | None, *, hours: float, now: datetime
) -> str:
    if asset.state is None:
        return "no_state"
    if asset.last_seen is None or asset.last_seen < now - timedelta(hours=hours):
        return "unseen"
    if measure is Measure.DRIFT:
        covered = "covered" if asset.verdict in COVERED_VERDICTS else "unjudged"
        return "behind" if asset.verdict in LACKING_VERDICTS else covered
    if missing is None:
        return "uncounted"
    if asset.scanned_at is None or asset.scanned_at > now:
        return "unscanned"
    if asset.scanned_at < now - SCAN_LASTS:
        return "scan_old"
    return "lacking" if missing else "complete"
