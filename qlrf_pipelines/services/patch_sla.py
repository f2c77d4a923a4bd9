"""Patch SLA of a batch of tenants: every promise of every policy on every asset it is about."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import duckdb
import pyarrow as pa

from qlrf_pipelines.domain.datasets import DRIFT, INVENTORY, PATCH_SLA, TAGS, TEXTS, TIME
from qlrf_pipelines.domain.estate import Estate, Tenant, TenantId
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.patch_sla import SlaStatus, promises_of
from qlrf_pipelines.domain.patching import PatchPolicy, SourceType
from qlrf_pipelines.domain.reports import Fact, StepReport
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import patch_sla_sql
from qlrf_pipelines.services.batches import MOST_ROWS, by_assets

ROWS_PER_BATCH = 65_536
_MICROSECOND = timedelta(microseconds=1)
_RULES = pa.schema(
    [("tenant", pa.string()), ("as_of", TIME), ("stale_before", TIME), ("policies", pa.int64())]
)
_POLICIES = pa.schema(
    [
        ("tenant", pa.string()),
        ("policy", pa.string()),
        ("platforms", TEXTS),
        ("environments", TEXTS),
        ("regions", TEXTS),
        ("families", TEXTS),
        ("source_family", pa.string()),
        ("tags", TAGS),
        ("exclude_tags", TAGS),
        ("exclude_assets", TEXTS),
    ]
)
_PROMISES = pa.schema(
    [
        ("tenant", pa.string()),
        ("policy", pa.string()),
        ("severity", pa.string()),
        ("measured_by", pa.string()),
        ("within_us", pa.int64()),
    ]
)


@dataclass(slots=True)
class _Tallies:
    facts: dict[TenantId, Mapping[str, Fact]] = field(default_factory=dict)
    preview: dict[TenantId, list[Mapping[str, Fact]]] = field(default_factory=dict)
    version: int | None = None


def judge_patch_sla(
    world: World, tenants: Sequence[Tenant], *, most_rows: int = MOST_ROWS
) -> StepReport:
    """Judge every promise of these tenants' patch policies on every live asset it may be about.

    Tenants are taken in batches of about `most_rows` promises, each written in one commit.

    Raises:
        Rejected: the estate breaks its contracts; what was there before stays.
        Unavailable: the lake, or the disk computations spill to, is full or down.
    """
    began = time.perf_counter()
    now, estate, tallies = world.clock.now(), world.estate.load(), _Tallies()
    each = max((_promised(estate, tenant) for tenant in tenants), default=1)
    for batch in by_assets(world, tenants, most=max(1, most_rows // max(1, each))):
        _judge_batch(world, batch, estate=estate, now=now, tallies=tallies)
        world.engine.reclaim()
    return StepReport(
        dataset=PATCH_SLA.name,
        version=tallies.version,
        seconds=time.perf_counter() - began,
        facts=tallies.facts,
        preview=tallies.preview,
    )


def _promised(estate: Estate, tenant: Tenant) -> int:
    """How many rows an asset can have at most."""
    return sum(len(promises_of(policy)) for policy in estate.patches_of(tenant.name))


def _judge_batch(
    world: World, tenants: Sequence[Tenant], *, estate: Estate, now: datetime, tallies: _Tallies
) -> None:
    names = [tenant.name for tenant in tenants]
    policies = [(name, policy) for name in names for policy in estate.patches_of(name)]
    with world.engine.session() as session:
        connection = session.connection
        world.lake.view(connection, INVENTORY, tenants=names)
        world.lake.view(connection, DRIFT, tenants=names)
        world.lake.view(connection, PATCH_SLA, tenants=names, name="previous")
        connection.register("rules", _rules(tenants, estate, now))
        connection.register("policies", _policies(policies))
        connection.register("promises", _promises(policies))
        connection.execute(patch_sla_sql.BEFORE)
        tags = any(p.selector.tags or p.selector.exclude_tags for _, p in policies)
        rows = connection.sql(patch_sla_sql.rows(tags=tags))
        tallies.version = world.lake.replace(
            PATCH_SLA, rows.to_arrow_reader(ROWS_PER_BATCH), tenants=names
        )
        world.lake.view(connection, PATCH_SLA, tenants=names, version=tallies.version)
        _describe(connection, tallies)


def _rules(tenants: Sequence[Tenant], estate: Estate, now: datetime) -> pa.Table:
    rows = [
        {
            "tenant": tenant.name,
            "as_of": now,
            "stale_before": now - timedelta(hours=tenant.drift.stale_after_hours),
            "policies": len(estate.patches_of(tenant.name)),
        }
        for tenant in tenants
    ]
    return pa.Table.from_pylist(rows, schema=_RULES)


def _policies(policies: Sequence[tuple[TenantId, PatchPolicy]]) -> pa.Table:
    rows = [
        {
            "tenant": tenant,
            "policy": policy.name,
            "platforms": list(policy.selector.platforms),
            "environments": list(policy.selector.environments),
            "regions": list(policy.selector.regions),
            "families": list(policy.selector.families),
            "source_family": policy.source.family
            if policy.source.type is SourceType.GOLDEN_IMAGE
            else None,
            "tags": sorted(policy.selector.tags.items()),
            "exclude_tags": sorted(policy.selector.exclude_tags.items()),
            "exclude_assets": list(policy.selector.exclude_assets),
        }
        for tenant, policy in policies
    ]
    return pa.Table.from_pylist(rows, schema=_POLICIES)


def _promises(policies: Sequence[tuple[TenantId, PatchPolicy]]) -> pa.Table:
    rows = [
        {
            "tenant": tenant,
            "policy": policy.name,
            "severity": promise.severity,
            "measured_by": promise.measure,
            "within_us": promise.within // _MICROSECOND,
        }
        for tenant, policy in policies
        for promise in promises_of(policy)
    ]
    return pa.Table.from_pylist(rows, schema=_PROMISES)


def _describe(connection: duckdb.DuckDBPyConnection, tallies: _Tallies) -> None:
    columns = ("policies", "assets", "promises", *(status.value for status in SlaStatus))
    for tenant, *counts, due_at in connection.sql(patch_sla_sql.FACTS).fetchall():
        told = dict(zip(columns, counts, strict=True))
        soonest = None if due_at is None else iso(due_at, digits=False)
        tallies.facts[TenantId(tenant)] = {**told, "soonest": soonest}
    for tenant, row in connection.sql(patch_sla_sql.SOONEST).fetchall():
        told = {**row, "due_at": iso(row["due_at"], digits=False)}
        tallies.preview.setdefault(TenantId(tenant), []).append(told)
