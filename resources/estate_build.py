"""Valid contracts as the domain's values. Nothing is checked here: it was before."""

from collections.abc import Iterable
from typing import Any

from qlrf_pipelines.domain.estate import (
    Connector,
    Coordinate,
    DriftRule,
    EnvironmentRule,
    Estate,
    Exemption,
    GoldenImage,
    ImageVersion,
    SafetyRule,
    Selector,
    Tenant,
    TenantId,
)
from qlrf_pipelines.domain.patching import PatchPolicy
from qlrf_pipelines.domain.vocabulary import DriftVerdict, Environment, ImageStatus, Platform
from resources.canary import provider_of
from resources.estate_notifications import build_place, build_subscription
from resources.estate_patches import build_changes, build_policy
from resources.estate_recovery import build_pair, build_plan, build_site
from resources.estate_rules import moment

# Without a map, every environment goes by its own name: production must never pass for less.
_OWN_NAMES = {environment.value: environment for environment in Environment}


def build_estate(values: Iterable[dict[str, Any]]) -> Estate:
    """The estate these contracts declare, sorted by name."""
    values = list(values)
    tenants, images, exemptions = [], [], []
    patches: list[PatchPolicy] = []
    for value in values:
        if value["kind"] == "Tenant":
            tenants.append(_tenant(value))
        elif value["kind"] == "GoldenImage":
            images.append(_image(value))
        elif value["kind"] == "PatchPolicy":
            patches.append(build_policy(value))
        elif value["kind"] == "Exemption":
            exemptions.append(_exemption(value))
    sites = [build_site(value) for value in values if value["kind"] == "Site"]
    pairs = [build_pair(value) for value in values if value["kind"] == "DrPair"]
    plans = [build_plan(value, pairs) for value in values if value["kind"] == "RecoveryPlan"]
    return Estate(
        tenants=tuple(sorted(tenants, key=lambda t: t.name)),
        images=tuple(sorted(images, key=lambda i: (i.tenant or "", i.family))),
        exemptions=tuple(sorted(exemptions, key=lambda e: (e.tenant, e.name))),
        patches=tuple(sorted(patches, key=lambda p: (p.tenant or "", p.name))),
        sites=tuple(sorted(sites, key=lambda s: (s.tenant, s.name))),
        pairs=tuple(sorted(pairs, key=lambda p: (p.tenant, p.name))),
        recovery=tuple(sorted(plans, key=lambda p: (p.tenant, p.name))),
    )


def _tenant(value: dict[str, Any]) -> Tenant:
    name, spec = TenantId(value["metadata"]["name"]), value["spec"]
    return Tenant(
        name=name,
        display_name=spec.get("displayName", name),
        connectors=tuple(_connector(name, item) for item in spec.get("connectors", ())),
        environments=_environment_rule(spec.get("environments", {})),
        drift=_drift_rule(spec.get("drift", {})),
        safety=_safety_rule(spec.get("safety", {})),
        changes=build_changes(spec.get("changes", {})),
        metrics=tuple(provider_of(item) for item in spec.get("metrics", ())),
        notifications=tuple(build_place(item) for item in spec.get("notifications", ())),
        subscriptions=tuple(build_subscription(item) for item in spec.get("subscriptions", ())),
    )


def _connector(tenant: TenantId, value: dict[str, Any]) -> Connector:
    regions = value.get("regions", "all")
    return Connector(
        tenant=tenant,
        name=value["name"],
        platform=Platform(value["platform"]),
        regions=() if regions == "all" else tuple(regions),
        endpoint_url=value.get("endpointUrl"),
        credentials=dict(value.get("credentials", {})),
        assume_roles=tuple(value.get("assumeRoles", ())),
        cluster=value.get("cluster"),
        ca_file=value.get("caFile"),
    )


def _environment_rule(value: dict[str, Any]) -> EnvironmentRule:
    declared = value.get("map")
    folded = {k.lower(): Environment(v) for k, v in (declared or {}).items()}
    return EnvironmentRule(
        tag=value.get("tag", EnvironmentRule().tag),
        values=_OWN_NAMES if declared is None else folded,
        default=Environment(value.get("default", EnvironmentRule().default)),
    )


def _drift_rule(value: dict[str, Any]) -> DriftRule:
    usual = DriftRule()
    grace = dict(value.get("graceDays", {}))
    default = grace.pop("default", usual.default_grace_days)
    return DriftRule(
        grace_days={Environment(name): float(days) for name, days in grace.items()},
        default_grace_days=float(default),
        stale_after_hours=float(value.get("staleAfterHours", usual.stale_after_hours)),
    )


def _safety_rule(value: dict[str, Any]) -> SafetyRule:
    usual = SafetyRule()
    return SafetyRule(
        vanish_share=float(value.get("vanishShare", usual.vanish_share)),
        vanish_min=int(value.get("vanishMin", usual.vanish_min)),
    )


def _image(value: dict[str, Any]) -> GoldenImage:
    metadata, spec = value["metadata"], value["spec"]
    tenant = metadata.get("tenant")
    return GoldenImage(
        family=metadata["name"],
        tenant=None if tenant is None else TenantId(tenant),
        os_name=spec["os"]["name"],
        os_version=spec["os"]["version"],
        arch=spec["os"]["arch"],
        cis_level=None if spec.get("cisLevel") is None else int(spec["cisLevel"]),
        versions=tuple(_version(item) for item in spec["versions"]),
        windows=spec.get("windows"),
    )


def _version(value: dict[str, Any]) -> ImageVersion:
    places = value.get("coordinates", {})
    return ImageVersion(
        version=value["version"],
        status=ImageStatus(value["status"]),
        promoted_at=moment(value["promotedAt"]) if "promotedAt" in value else None,
        environments=_environments(value.get("environments", Environment)),
        coordinates=tuple(
            Coordinate(platform=Platform(platform), region=region, image_ref=ref)
            for platform, regions in places.items()
            for region, ref in regions.items()
        ),
    )


def _exemption(value: dict[str, Any]) -> Exemption:
    metadata, spec = value["metadata"], value["spec"]
    selector, expires_at = spec["selector"], moment(spec["expiresAt"])
    assert expires_at is not None  # noqa: S101  the rules refused the estate otherwise
    return Exemption(
        name=metadata["name"],
        tenant=TenantId(metadata["tenant"]),
        selector=Selector(
            tags=dict(selector.get("tags", {})),
            families=tuple(selector.get("families", ())),
            environments=_environments(selector.get("environments", ())),
            assets=tuple(selector.get("assets", ())),
        ),
        verdicts=tuple(DriftVerdict(item) for item in spec["verdicts"]),
        reason=spec["reason"],
        approver=spec["approver"],
        expires_at=expires_at,
    )


def _environments(names: Iterable[str]) -> tuple[Environment, ...]:
    return tuple(Environment(name) for name in names)
