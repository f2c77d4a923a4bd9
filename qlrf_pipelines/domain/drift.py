"""Drift: how far one asset is from the image it should run.

This is the rule itself, for one asset at a time. `services/drift_sql.py` says the same for a
whole fleet; a property test proves that both agree.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from qlrf_pipelines.domain.container_images import Claim, Claims, declared_in, parse_reference
from qlrf_pipelines.domain.estate import DriftRule, Exemption, GoldenImage, ImageVersion
from qlrf_pipelines.domain.versions import version_key
from qlrf_pipelines.domain.vocabulary import (
    ACTIVE_STATES,
    COVERED_VERDICTS,
    AssetState,
    DriftVerdict,
    Environment,
    Health,
    ImageStatus,
    Platform,
    Resolution,
)

FIXED_SCORES: Mapping[DriftVerdict, float] = {
    DriftVerdict.CURRENT: 0,
    DriftVerdict.EXEMPT: 0,
    DriftVerdict.BEHIND_IN_GRACE: 10,
    DriftVerdict.AHEAD: 40,
    DriftVerdict.RETIRED: 85,
    DriftVerdict.UNMANAGED: 90,
    DriftVerdict.STALE: 95,
    DriftVerdict.UNKNOWN: 100,
}
BEHIND_BASE, BEHIND_PER_VERSION, BEHIND_PER_DAY, BEHIND_MOST = 20.0, 10.0, 0.5, 80.0

# What a person can accept. Nobody can accept what nobody saw: an exemption that turned `stale` or
# `unknown` into `exempt` would make an asset look better for losing its data.
EXEMPTABLE = (
    DriftVerdict.BEHIND_IN_GRACE,
    DriftVerdict.AHEAD,
    DriftVerdict.BEHIND,
    DriftVerdict.RETIRED,
    DriftVerdict.UNMANAGED,
)

HEALTHY_FROM, WARNING_FROM = 0.90, 0.70

# One sentence per cause. Places are filled in the order of `_words`; the SQL uses the same table.
REASONS: Mapping[str, str] = {
    "no_state": "What it is doing could not be read.",
    "no_image": "Its image reference could not be read.",
    "no_place": "Its platform or its region is not known.",
    "unreadable": "No contract lists its image {0} and the tags of that image could not be read.",
    "unmanaged": "Its image {0} belongs to no family of the estate.",
    "no_semver": "Version {2} of {1} is not a semantic version.",
    "retired": "{1} {2} is retired.",
    "no_environment": "Its environment is not known.",
    "none_approved": "No production version of {1} is approved for {3}.",
    "current": "{1} {2} is the version approved for {3}.",
    "ahead": "{1} {2} is above {4}, the version approved for {3}.",
    "behind_in_grace": "{1} {2} is behind {4}, which is still in its days of grace in {3}.",
    "behind": "{1} {2} is behind {4}, the version approved for {3}.",
    "stale": "No complete listing has shown it within the hours its tenant allows.",
}
EXEMPT_SUFFIX = " Exempt by "


@dataclass(frozen=True, slots=True, kw_only=True)
class Observed:
    """What the inventory knows of one live asset; None is unknown."""

    asset_id: str
    asset_key: str
    platform: Platform | None
    account: str | None
    region: str | None
    environment: Environment | None
    image_ref: str | None
    image_family: str | None
    image_version: str | None
    image_readable: bool | None
    state: AssetState | None
    last_seen: datetime | None
    tags: Mapping[str, str] | None = None

    @property
    def place(self) -> str | None:
        """Where contracts declare the images of assets that are there."""
        return declared_in(self.platform, self.account, self.region)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resolved:
    """The golden image an asset's image reference leads back to."""

    how: Resolution = Resolution.NONE
    family: str | None = None
    version: str | None = None
    key: str | None = None
    status: ImageStatus | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Drift:
    """One asset's drift, with everything that explains it."""

    active: bool
    family: str | None
    version: str | None
    resolution: Resolution
    verdict: DriftVerdict
    judged: DriftVerdict
    exemption: str | None
    score: float
    versions_behind: int | None
    days_behind: int | None
    approved_version: str | None
    reason: str
    drifted_since: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Comparison:
    cause: str
    versions_behind: int | None = None
    days_behind: int | None = None
    approved: str | None = None


def judge(
    asset: Observed,
    *,
    images: Sequence[GoldenImage],
    rule: DriftRule,
    exemptions: Iterable[Exemption],
    now: datetime,
    drifted_since: datetime | None = None,
) -> Drift:
    """Compare what one asset runs with what was promised for it.

    `images` and `exemptions` are those of the asset's tenant; `drifted_since` is what was found
    the time before.
    """
    resolved = resolve(asset, images)
    compared = _compare(asset, resolved, images=images, rule=rule, now=now)
    cause = _worst_cause(asset, compared.cause, rule=rule, now=now)
    judged = _verdict(cause)
    reason = REASONS[cause].format(*_words(asset, resolved, compared))
    drift = Drift(
        active=asset.state is None or asset.state in ACTIVE_STATES,
        family=resolved.family,
        version=resolved.version,
        resolution=resolved.how,
        verdict=judged,
        judged=judged,
        exemption=None,
        score=score(judged, compared.versions_behind, compared.days_behind),
        versions_behind=compared.versions_behind,
        days_behind=compared.days_behind,
        approved_version=compared.approved,
        reason=reason,
    )
    exempted = _exempted(drift, asset, exemptions=exemptions, now=now)
    if exempted.verdict in COVERED_VERDICTS:
        return exempted
    return replace(exempted, drifted_since=drifted_since or now)


def score(verdict: DriftVerdict, versions_behind: int | None, days_behind: int | None) -> float:
    """0 to 100, worse is higher; an unknown term of `behind` takes its maximum."""
    if verdict is not DriftVerdict.BEHIND:
        return float(FIXED_SCORES[verdict])
    if versions_behind is None or days_behind is None:
        return BEHIND_MOST
    late = BEHIND_BASE + BEHIND_PER_VERSION * versions_behind + BEHIND_PER_DAY * days_behind
    return min(BEHIND_MOST, late)


def status_of(coverage: float | None) -> Health:
    """How a scope with this coverage stands; without active assets there is nothing to say."""
    if coverage is None:
        return Health.NO_DATA
    if coverage >= HEALTHY_FROM:
        return Health.HEALTHY
    return Health.WARNING if coverage >= WARNING_FROM else Health.CRITICAL


def resolve(asset: Observed, images: Sequence[GoldenImage]) -> Resolved:
    """The family and version an asset runs: by coordinate, else by its image's own tags."""
    if asset.image_ref is None or asset.platform is None or _nowhere(asset):
        return Resolved()
    if asset.platform is Platform.KUBERNETES:
        return _by_reference(asset.image_ref, asset.place, images)
    listed = [
        (image.family, version_key(release.version) or "", release)
        for image in images
        for release in image.versions
        for place in release.coordinates
        if (place.platform, place.region, place.image_ref)
        == (asset.platform, asset.region, asset.image_ref)
    ]
    if listed:
        # One image can only be one release; should contracts disagree, the lowest counts.
        family, key, release = min(listed, key=lambda found: (found[0], found[1]))
        return Resolved(
            how=Resolution.COORDINATE,
            family=family,
            version=release.version,
            key=key or None,
            status=release.status,
        )
    return _by_tag(asset, images)


def _by_reference(text: str, cluster: str | None, images: Sequence[GoldenImage]) -> Resolved:
    """A container's image says itself what it is: see `domain/container_images.py`."""
    claims = Claims(
        Claim(
            family=image.family,
            version=release.version,
            reference=parse_reference(place.image_ref),
        )
        for image in images
        for release in image.versions
        for place in release.coordinates
        if (place.platform, place.region) == (Platform.KUBERNETES, cluster)
    )
    found = claims.recognise(text)
    if found is None:
        return Resolved()
    releases = (r for i in images if i.family == found.family for r in i.versions)
    release = next((r for r in releases if r.version == found.version), None)
    return Resolved(
        how=found.how,
        family=found.family,
        version=found.version,
        key=version_key(found.version),
        status=release.status if release else None,
    )


def _nowhere(asset: Observed) -> bool:
    return asset.region is None or asset.place is None


def _by_tag(asset: Observed, images: Sequence[GoldenImage]) -> Resolved:
    # A family without a version promises nothing: it is as good as unknown.
    image = next((i for i in images if i.family == asset.image_family and i.versions), None)
    if asset.image_readable is not True or image is None:
        return Resolved()
    version = asset.image_version
    release = next((r for r in image.versions if r.version == version), None)
    return Resolved(
        how=Resolution.TAG,
        family=image.family,
        version=version,
        key=version_key(version) if version is not None else None,
        status=release.status if release else None,
    )


def _compare(
    asset: Observed,
    resolved: Resolved,
    *,
    images: Sequence[GoldenImage],
    rule: DriftRule,
    now: datetime,
) -> _Comparison:
    image = next((i for i in images if i.family == resolved.family), None)
    if image is None:
        return _Comparison(cause=_unresolved(asset))
    approved = _approved(image, asset.environment)
    if resolved.key is None:
        return _Comparison(cause="no_semver", approved=approved.version if approved else None)
    if approved is None:
        missing = "no_environment" if asset.environment is None else "none_approved"
        retired = resolved.status is ImageStatus.RETIRED
        return _Comparison(cause="retired" if retired else missing)
    return _measured(asset, resolved, image=image, approved=approved, rule=rule, now=now)


def _measured(
    asset: Observed,
    resolved: Resolved,
    *,
    image: GoldenImage,
    approved: ImageVersion,
    rule: DriftRule,
    now: datetime,
) -> _Comparison:
    mine, wanted = resolved.key or "", version_key(approved.version) or ""
    between = sum(1 for r in image.versions if mine < (version_key(r.version) or "") <= wanted)
    if mine >= wanted:
        days: int | None = 0
        cause = "current" if mine == wanted else "ahead"
    elif approved.promoted_at is None:
        days, cause = None, "behind"
    else:
        days = max(0, (now - approved.promoted_at).days)
        grace = timedelta(days=_grace(rule, asset.environment))
        cause = "behind_in_grace" if now < approved.promoted_at + grace else "behind"
    return _Comparison(
        cause="retired" if resolved.status is ImageStatus.RETIRED else cause,
        versions_behind=between,
        days_behind=days,
        approved=approved.version,
    )


def _unresolved(asset: Observed) -> str:
    if asset.image_ref is None:
        return "no_image"
    if asset.platform is None or _nowhere(asset):
        return "no_place"
    return "unmanaged" if asset.image_readable is True else "unreadable"


def _approved(image: GoldenImage, environment: Environment | None) -> ImageVersion | None:
    candidates = [
        (key, release.version, release)
        for release in image.versions
        if release.status is ImageStatus.PRODUCTION
        and environment in release.environments
        and (key := version_key(release.version)) is not None
    ]
    return max(candidates, key=lambda found: found[:2])[2] if candidates else None


def _grace(rule: DriftRule, environment: Environment | None) -> float:
    if environment is None:
        return 0
    return rule.grace_days.get(environment, rule.default_grace_days)


def _worst_cause(asset: Observed, cause: str, *, rule: DriftRule, now: datetime) -> str:
    """Unknown before stale before the comparison: of two doubts the worse one counts."""
    if asset.state is None:
        return "no_state"
    old = timedelta(hours=rule.stale_after_hours)
    stale = asset.last_seen is None or asset.last_seen < now - old
    if stale and _verdict(cause) is not DriftVerdict.UNKNOWN:
        return "stale"
    return cause


def _verdict(cause: str) -> DriftVerdict:
    known = {verdict.value: verdict for verdict in DriftVerdict}
    return known.get(cause, DriftVerdict.UNKNOWN)


def _words(asset: Observed, resolved: Resolved, compared: _Comparison) -> tuple[str, ...]:
    values = (
        asset.image_ref,
        resolved.family,
        resolved.version,
        asset.environment,
        compared.approved,
    )
    return tuple("(none)" if value is None else str(value) for value in values)


def _exempted(
    drift: Drift, asset: Observed, *, exemptions: Iterable[Exemption], now: datetime
) -> Drift:
    live = [
        item
        for item in exemptions
        if item.expires_at > now
        and drift.judged in item.verdicts
        and drift.judged in EXEMPTABLE
        and _selects(item, drift=drift, asset=asset)
    ]
    if not live:
        return drift
    longest = max(live, key=lambda item: (item.expires_at, item.name))
    return replace(
        drift,
        verdict=DriftVerdict.EXEMPT,
        score=score(DriftVerdict.EXEMPT, None, None),
        exemption=longest.name,
        reason=f"{drift.reason}{EXEMPT_SUFFIX}{longest.name}.",
    )


def _selects(item: Exemption, *, drift: Drift, asset: Observed) -> bool:
    wanted, tags = item.selector, asset.tags or {}
    return (
        (not wanted.families or drift.family in wanted.families)
        and (not wanted.environments or asset.environment in wanted.environments)
        and (not wanted.assets or bool({asset.asset_id, asset.asset_key} & set(wanted.assets)))
        and all(tags.get(key) == value for key, value in wanted.tags.items())
    )
