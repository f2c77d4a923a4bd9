"""Validation: an estate that breaks no rule may still hold what its owner did not mean."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

from qlrf_pipelines.domain.estate import Estate, Exemption, Tenant
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.patching import PatchPolicy
from qlrf_pipelines.ports.clock import Clock
from qlrf_pipelines.ports.estate import EstateStore


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """A valid estate in numbers, and what in it deserves a second look."""

    tenants: int
    connectors: int
    images: int
    versions: int
    exemptions: int
    expired: int
    patches: int
    sites: int
    recovery_plans: int
    warnings: tuple[str, ...]


def validate(store: EstateStore, clock: Clock) -> Validation:
    """Load every contract and count what it holds.

    Raises:
        Rejected: a contract breaks its rules; all that do are named.
    """
    estate, now = store.load(), clock.now()
    return Validation(
        tenants=len(estate.tenants),
        connectors=sum(len(tenant.connectors) for tenant in estate.tenants),
        images=len(estate.images),
        versions=sum(len(image.versions) for image in estate.images),
        exemptions=len(estate.exemptions),
        expired=sum(item.expires_at <= now for item in estate.exemptions),
        patches=len(estate.patches),
        sites=len(estate.sites),
        recovery_plans=len(estate.recovery),
        warnings=tuple(find_warnings(estate, now)),
    )


def find_warnings(estate: Estate, now: datetime) -> Iterator[str]:
    """What is allowed and probably not meant, one sentence each."""
    for tenant in estate.tenants:
        yield from _of_tenant(estate, tenant)
    for image in estate.images:
        for release in image.versions:
            if release.promoted_at is not None and release.promoted_at > now:
                yield (
                    f"Image {image.family} {release.version} was promoted in the future"
                    f" ({iso(release.promoted_at, digits=False)}); check promotedAt."
                )
    for exemption in estate.exemptions:
        yield from _of_exemption(estate, exemption, now)
    for policy in estate.patches:
        yield from _of_policy(estate, policy)


def _of_tenant(estate: Estate, tenant: Tenant) -> Iterator[str]:
    if not tenant.connectors:
        yield f"Tenant {tenant.name} has no connector, so nothing is listed; add spec.connectors."
    if not estate.images_of(tenant.name):
        yield (
            f"Tenant {tenant.name} may use no golden image, so every asset is unmanaged;"
            " add a GoldenImage."
        )


def _of_exemption(estate: Estate, exemption: Exemption, now: datetime) -> Iterator[str]:
    name = f"Exemption {exemption.name} of tenant {exemption.tenant}"
    if exemption.expires_at <= now:
        yield (
            f"{name} expired at {iso(exemption.expires_at, digits=False)} and is not applied;"
            " renew or remove it."
        )
    known = {image.family for image in estate.images_of(exemption.tenant)}
    for family in sorted(set(exemption.selector.families) - known):
        yield f"{name} selects the family {family}, which no golden image is; check its name."


def _of_policy(estate: Estate, policy: PatchPolicy) -> Iterator[str]:
    """Families a policy names that none of the tenants that may use it has."""
    known = {
        image.family
        for image in estate.images
        if policy.tenant in (None, image.tenant or policy.tenant)
    }
    named = {*policy.selector.families, *filter(None, (policy.source.family,))}
    for family in sorted(named - known):
        yield (
            f"Patch policy {policy.name} names the family {family}, which no golden image is;"
            " check its name."
        )
