"""What is known of the assets a plan may change: read from one snapshot of the lake, set-based."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import duckdb

from qlrf_pipelines.domain.container_images import declared_in
from qlrf_pipelines.domain.datasets import CONTROL_RESULTS, DRIFT, GOLDEN_IMAGES, INVENTORY
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.vocabulary import AssetState, Environment, Platform
from qlrf_pipelines.ports.world import World

_CANDIDATES = """
SELECT i.asset_key, i.asset_id, i.name, i.platform, i.account, i.region, i.environment, i.state,
       i.image_ref, i.fresh, i.tags, i.patches_missing, i.patches_critical_missing,
       i.patches_security_missing, i.patches_failed, d.family, d.version, d.drift_verdict,
       d.approved_version, d.days_behind, d.drifted_since, d.reason
FROM inventory i JOIN drift d ON d.asset_key = i.asset_key
WHERE i.tombstoned_at IS NULL AND d.active
  AND (len($environments) = 0
       OR list_contains($environments, coalesce(i.environment, 'production')))
  AND (len($platforms) = 0 OR list_contains($platforms, i.platform))
  AND (len($regions) = 0 OR list_contains($regions, i.region))
  AND (len($families) = 0 OR list_contains($families, d.family) OR d.family IS NULL)
  AND (len($assets) = 0 OR list_contains($assets, i.asset_id) OR list_contains($assets, i.asset_key)
       OR list_contains($assets, i.name))
ORDER BY i.asset_key
"""
_FLEET = """
SELECT coalesce(i.environment, 'production') AS environment, count(*)
FROM inventory i JOIN drift d ON d.asset_key = i.asset_key
WHERE i.tombstoned_at IS NULL AND d.active GROUP BY 1
"""
_STAGED = """
SELECT DISTINCT d.family, d.version FROM inventory i JOIN drift d ON d.asset_key = i.asset_key
WHERE i.tombstoned_at IS NULL AND i.state = 'running' AND i.environment = 'staging'
  AND d.active AND i.fresh AND d.version IS NOT NULL
"""
_GROUPS = """
SELECT i.account, i.region, i.tags['aws:autoscaling:groupName'] AS name, list(i.asset_key)
FROM inventory i JOIN drift d ON d.asset_key = i.asset_key
WHERE i.tombstoned_at IS NULL AND d.active AND i.platform = 'aws'
  AND i.tags['aws:autoscaling:groupName'] IS NOT NULL
GROUP BY ALL
"""
_JUDGED = """
SELECT DISTINCT r.asset_key, r.control_id FROM control_results r
WHERE list_contains($assets, r.asset_key)
"""
_WHEREABOUTS = """
SELECT asset_key, platform, environment, state, fresh, tombstoned_at IS NOT NULL AS tombstoned,
       tombstone_reason
FROM inventory WHERE list_contains($assets, asset_key)
"""
_CRITICAL = "qlrf:criticality"
_GROUP = "aws:autoscaling:groupName"
_DEPENDENTS = "qlrf:dependents"
_EXTERNAL = "qlrf:external-dependents"


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One active asset, as inventory and drift know it; None is unknown."""

    key: str
    id: str
    name: str
    platform: Platform
    account: str | None
    region: str | None
    environment: Environment
    state: str | None
    image_ref: str | None
    fresh: bool
    tags: Mapping[str, str]
    patches: Mapping[str, int | None]
    family: str | None
    version: str | None
    verdict: str
    approved_version: str | None
    days_behind: int | None
    drifted_since: datetime | None
    reason: str

    @property
    def critical(self) -> bool:
        """Whether it is critical; one that does not say so counts as critical."""
        said = self.tags.get(_CRITICAL, "").strip().casefold()
        return said not in ("low", "medium")

    @property
    def place(self) -> str | None:
        """Where contracts declare the images it may run."""
        return declared_in(self.platform, self.account, self.region)

    @property
    def group(self) -> str:
        """The Auto Scaling group that replaces it together with others; '' if there is none."""
        name = self.tags.get(_GROUP, "") if self.platform is Platform.AWS else ""
        return f"{self.account}:{self.region}:{name}" if name else ""

    @property
    def dependents(self) -> int | None:
        """How many things depend on it, if its tags say so."""
        said = self.tags.get(_DEPENDENTS, "").strip()
        return int(said) if said.isascii() and said.isdigit() and len(said) < 7 else None

    @property
    def external(self) -> bool | None:
        """Whether something outside depends on it, if its tags say so."""
        said = self.tags.get(_EXTERNAL, "").strip().casefold()
        return {"yes": True, "true": True, "no": False, "false": False}.get(said)


@dataclass(frozen=True, slots=True, kw_only=True)
class Whereabouts:
    """What the inventory says of an asset's being there at all; None is unknown."""

    key: str
    platform: str | None
    environment: str | None
    state: str | None
    fresh: bool
    tombstoned: bool
    tombstone_reason: str | None

    @property
    def gone(self) -> str:
        """Why it is proven to be gone; '' if it is not. What nobody saw is not gone."""
        if self.tombstoned:
            return f"gone from the inventory: {self.tombstone_reason or 'tombstoned'}"
        if self.fresh and self.state in _INACTIVE:
            return f"no longer active: {self.state}"
        return ""


_INACTIVE = (AssetState.STOPPED.value, AssetState.TERMINATED.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A version of a golden image and where it can be found."""

    family: str
    version: str
    status: str
    environments: tuple[str, ...]
    places: Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Knowledge:
    """One snapshot of a tenant, as far as a plan needs it.

    `groups` are all live members of each Auto Scaling group, whatever was selected.
    """

    candidates: tuple[Candidate, ...]
    releases: Mapping[tuple[str, str], Release]
    fleet: Mapping[Environment, int]
    staged: frozenset[tuple[str, str]]
    versions: Mapping[str, int | None]
    groups: Mapping[str, frozenset[str]] = field(default_factory=dict)


def look(world: World, tenant: TenantId, narrow: Mapping[str, Sequence[str]]) -> Knowledge:
    """Read the assets of a tenant that a selection matches, and what surrounds them."""
    datasets = (INVENTORY, DRIFT, GOLDEN_IMAGES)
    versions = {dataset.name: world.lake.version(dataset) for dataset in datasets}
    with world.engine.session() as session:
        connection = session.connection
        for dataset in datasets:
            world.lake.view(connection, dataset, tenants=[tenant], version=versions[dataset.name])
        given = {name: list(map(str, narrow.get(name, ()))) for name in _NARROWED}
        rows = connection.sql(_CANDIDATES, params=given).to_arrow_table().to_pylist()
        return Knowledge(
            candidates=tuple(_candidate(row) for row in rows),
            releases=_releases(connection),
            fleet={Environment(e): n for e, n in connection.execute(_FLEET).fetchall()},
            staged=frozenset((f, v) for f, v in connection.execute(_STAGED).fetchall()),
            versions=versions,
            groups={
                f"{account}:{region}:{name}": frozenset(members)
                for account, region, name, members in connection.execute(_GROUPS).fetchall()
            },
        )


def whereabouts(
    world: World, tenant: TenantId, assets: Sequence[str], *, version: int | None
) -> Mapping[str, Whereabouts]:
    """Where these assets are, in one version of the inventory; unknown keys are left out."""
    with world.engine.session() as session:
        world.lake.view(session.connection, INVENTORY, tenants=[tenant], version=version)
        found = session.connection.sql(_WHEREABOUTS, params={"assets": list(assets)})
        return {
            row["asset_key"]: Whereabouts(
                key=row["asset_key"],
                platform=row["platform"],
                environment=row["environment"],
                state=row["state"],
                fresh=bool(row["fresh"]),
                tombstoned=row["tombstoned"],
                tombstone_reason=row["tombstone_reason"],
            )
            for row in found.to_arrow_table().to_pylist()
        }


_NARROWED = ("environments", "platforms", "regions", "families", "assets")


def frameworks(
    world: World, tenant: TenantId, assets: Sequence[str]
) -> tuple[bool, tuple[str, ...]]:
    """Whether these assets are in the scope of an audit, and of which frameworks.

    Assets that were never judged are in scope: nobody knows that they are not.
    """
    with world.engine.session() as session:
        world.lake.view(session.connection, CONTROL_RESULTS, tenants=[tenant])
        found = session.connection.execute(_JUDGED, {"assets": list(assets)}).fetchall()
    controls = {control for _, control in found}
    if not controls:
        return True, ()
    serving = (c.frameworks for c in world.controls.load() if c.id in controls)
    named = tuple(sorted({framework for names in serving for framework in names}))
    judged = {asset for asset, _ in found}
    return bool(named) or not judged.issuperset(assets), named


def _candidate(row: Mapping[str, Any]) -> Candidate:
    patches = {n: row[n] for n in row if n.startswith("patches_")}
    return Candidate(
        key=row["asset_key"],
        id=row["asset_id"],
        name=row["name"] or row["asset_id"],
        platform=Platform(row["platform"]),
        account=row["account"],
        region=row["region"],
        environment=Environment(row["environment"] or Environment.PRODUCTION),
        state=row["state"],
        image_ref=row["image_ref"],
        fresh=bool(row["fresh"]),
        tags=dict(row["tags"] or ()),
        patches=patches,
        family=row["family"],
        version=row["version"],
        verdict=row["drift_verdict"],
        approved_version=row["approved_version"],
        days_behind=row["days_behind"],
        drifted_since=row["drifted_since"],
        reason=row["reason"] or row["drift_verdict"],
    )


def _releases(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], Release]:
    rows = connection.sql("SELECT * FROM golden_images").to_arrow_table().to_pylist()
    return {
        (row["family"], row["version"]): Release(
            family=row["family"],
            version=row["version"],
            status=row["status"],
            environments=tuple(row["environments"] or ()),
            places={
                (place["platform"], place["region"]): place["image_ref"]
                for place in row["coordinates"] or ()
            },
        )
        for row in rows
    }
