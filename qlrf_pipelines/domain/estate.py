"""The estate: what tenants declared in contracts under version control."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from qlrf_pipelines.domain.autonomy import AutonomyRules
from qlrf_pipelines.domain.canary import Provider
from qlrf_pipelines.domain.change_risk import RiskRule
from qlrf_pipelines.domain.channels import Place
from qlrf_pipelines.domain.patching import Notification, PatchPolicy
from qlrf_pipelines.domain.recovery_plans import DrPair, RecoveryPlan, Site
from qlrf_pipelines.domain.tenancy import TenantId as TenantId
from qlrf_pipelines.domain.vocabulary import DriftVerdict, Environment, ImageStatus, Platform


@dataclass(frozen=True, slots=True, kw_only=True)
class Connector:
    """One way into one cloud for one tenant.

    `regions` empty means all regions the account has enabled, or all namespaces of the cluster.
    `credentials` are references (`env:NAME`, `file:/path`), never secrets; empty means the SDK's
    own chain. `cluster` and `ca_file` are for kubernetes: the account, and whom to believe.
    """

    tenant: TenantId
    name: str
    platform: Platform
    regions: tuple[str, ...] = ()
    endpoint_url: str | None = None
    credentials: Mapping[str, str] = field(default_factory=dict)
    assume_roles: tuple[str, ...] = ()
    cluster: str | None = None
    ca_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvironmentRule:
    """How a tag value becomes an environment; the first match wins, case folded."""

    tag: str = "Environment"
    values: Mapping[str, Environment] = field(default_factory=dict)
    default: Environment = Environment.DEVELOPMENT


@dataclass(frozen=True, slots=True, kw_only=True)
class DriftRule:
    """Days of grace after a promotion, per environment, and hours until an observation is stale."""

    grace_days: Mapping[Environment, float] = field(default_factory=dict)
    default_grace_days: float = 14
    stale_after_hours: float = 24


@dataclass(frozen=True, slots=True, kw_only=True)
class SafetyRule:
    """The mass-vanish brake trips when both the share and the number of lost assets are reached."""

    vanish_share: float = 0.3
    vanish_min: int = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRules:
    """How changes are planned: the zone people live in, what is risky, what needs approval."""

    timezone: str = "UTC"
    risk: RiskRule = field(default_factory=RiskRule)
    autonomy: AutonomyRules = field(default_factory=AutonomyRules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Tenant:
    """One customer: its connectors, metrics and places of messages, and the rules it set itself.

    `subscriptions` is who hears of its approvals and drills, by those places.
    """

    name: TenantId
    display_name: str
    connectors: tuple[Connector, ...] = ()
    environments: EnvironmentRule = field(default_factory=EnvironmentRule)
    drift: DriftRule = field(default_factory=DriftRule)
    safety: SafetyRule = field(default_factory=SafetyRule)
    changes: ChangeRules = field(default_factory=ChangeRules)
    metrics: tuple[Provider, ...] = ()
    notifications: tuple[Place, ...] = ()
    subscriptions: tuple[Notification, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Coordinate:
    """Where one image version can be found: a platform, a region and the id it has there."""

    platform: Platform
    region: str
    image_ref: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageVersion:
    """One release of a golden image. `environments` lists where it is the approved one."""

    version: str
    status: ImageStatus
    promoted_at: datetime | None
    environments: tuple[Environment, ...]
    coordinates: tuple[Coordinate, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class GoldenImage:
    """A family of images; `tenant` None means it is shared by all tenants.

    `windows` is what a Windows baseline declares beside its versions, as its contract has it.
    """

    family: str
    tenant: TenantId | None
    os_name: str
    os_version: str
    arch: str
    cis_level: int | None
    versions: tuple[ImageVersion, ...]
    windows: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """Which assets an exemption is about: every given part must match; `assets` are ids or keys."""

    tags: Mapping[str, str] = field(default_factory=dict)
    families: tuple[str, ...] = ()
    environments: tuple[Environment, ...] = ()
    assets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Exemption:
    """A drift verdict somebody accepted, for a reason, until a date."""

    name: str
    tenant: TenantId
    selector: Selector
    verdicts: tuple[DriftVerdict, ...]
    reason: str
    approver: str
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Estate:
    """Every contract of every tenant, validated together."""

    tenants: tuple[Tenant, ...] = ()
    images: tuple[GoldenImage, ...] = ()
    exemptions: tuple[Exemption, ...] = ()
    patches: tuple[PatchPolicy, ...] = ()
    sites: tuple[Site, ...] = ()
    pairs: tuple[DrPair, ...] = ()
    recovery: tuple[RecoveryPlan, ...] = ()

    def images_of(self, tenant: TenantId) -> tuple[GoldenImage, ...]:
        """The golden images a tenant may use: its own, and the shared ones it did not override."""
        own = tuple(image for image in self.images if image.tenant == tenant)
        overridden = {image.family for image in own}
        shared = (i for i in self.images if i.tenant is None and i.family not in overridden)
        return own + tuple(shared)

    def exemptions_of(self, tenant: TenantId) -> tuple[Exemption, ...]:
        """The exemptions a tenant declared, live and expired."""
        return tuple(item for item in self.exemptions if item.tenant == tenant)

    def patches_of(self, tenant: TenantId) -> tuple[PatchPolicy, ...]:
        """The patch policies a tenant may use: its own, and the shared ones it did not override."""
        own = tuple(policy for policy in self.patches if policy.tenant == tenant)
        overridden = {policy.name for policy in own}
        shared = (p for p in self.patches if p.tenant is None and p.name not in overridden)
        return own + tuple(shared)

    def sites_of(self, tenant: TenantId) -> tuple[Site, ...]:
        """The sites of a tenant."""
        return tuple(site for site in self.sites if site.tenant == tenant)

    def pairs_of(self, tenant: TenantId) -> tuple[DrPair, ...]:
        """The pairs of sites of a tenant."""
        return tuple(pair for pair in self.pairs if pair.tenant == tenant)

    def recovery_of(self, tenant: TenantId) -> tuple[RecoveryPlan, ...]:
        """The recovery plans of a tenant."""
        return tuple(plan for plan in self.recovery if plan.tenant == tenant)
