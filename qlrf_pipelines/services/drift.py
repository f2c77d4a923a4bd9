"""Drift of a batch of tenants: from inventory and golden images to verdicts and daily scores."""

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import duckdb
import pyarrow as pa

from qlrf_pipelines.domain.datasets import (
    DRIFT,
    DRIFT_DAILY,
    GOLDEN_IMAGES,
    INVENTORY,
    TAGS,
    TEXTS,
    TIME,
)
from qlrf_pipelines.domain.estate import Estate, Exemption, Tenant, TenantId
from qlrf_pipelines.domain.reports import Fact, StepReport
from qlrf_pipelines.domain.versions import version_key
from qlrf_pipelines.domain.vocabulary import DriftVerdict, Environment
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import drift_sql
from qlrf_pipelines.services.batches import MOST_ROWS, by_assets
from qlrf_pipelines.services.drift_containers import recognised

ROWS_PER_BATCH = 65_536
_MICROSECOND = timedelta(microseconds=1)
_RULES = pa.schema(
    [("tenant", pa.string()), ("as_of", TIME), ("day", pa.date32()), ("stale_before", TIME)]
)
_GRACES = pa.schema(
    [("tenant", pa.string()), ("environment", pa.string()), ("grace_us", pa.int64())]
)
_TAG_KEYS = pa.schema([("version", pa.string()), ("version_key", pa.string())])
_EXEMPTIONS = pa.schema(
    [
        ("tenant", pa.string()),
        ("name", pa.string()),
        ("expires_at", TIME),
        ("verdicts", TEXTS),
        ("families", TEXTS),
        ("environments", TEXTS),
        ("assets", TEXTS),
        ("tags", TAGS),
    ]
)


@dataclass(slots=True)
class _Tallies:
    facts: dict[TenantId, dict[str, Fact]] = field(default_factory=dict)
    preview: dict[TenantId, list[Mapping[str, Fact]]] = field(default_factory=dict)
    version: int | None = None


def score_drift(
    world: World, tenants: Sequence[Tenant], *, most_rows: int = MOST_ROWS
) -> StepReport:
    """Judge every live asset of these tenants and keep the day's coverage per scope.

    Tenants are taken in batches of about `most_rows` assets, each written in one commit.

    Raises:
        Rejected: the estate breaks its contracts.
        Unavailable: the lake, or the disk computations spill to, is full or down.
    """
    began = time.perf_counter()
    now, estate, tallies = world.clock.now(), world.estate.load(), _Tallies()
    for batch in by_assets(world, tenants, most=most_rows):
        _score_batch(world, batch, estate=estate, now=now, tallies=tallies)
        world.engine.reclaim()
    return StepReport(
        dataset=DRIFT.name,
        version=tallies.version,
        seconds=time.perf_counter() - began,
        facts=tallies.facts,
        preview=tallies.preview,
    )


def _score_batch(
    world: World, tenants: Sequence[Tenant], *, estate: Estate, now: datetime, tallies: _Tallies
) -> None:
    names = [tenant.name for tenant in tenants]
    declared = [item for name in names for item in estate.exemptions_of(name)]
    live = [item for item in declared if item.expires_at > now]
    with world.engine.session() as session:
        connection = session.connection
        world.lake.view(connection, INVENTORY, tenants=names)
        world.lake.view(connection, GOLDEN_IMAGES, tenants=names)
        world.lake.view(connection, DRIFT, tenants=names, name="previous")
        prepare(connection, tenants, exemptions=live, now=now)
        rows = connection.sql(drift_sql.rows(exemptions=bool(live)))
        tallies.version = world.lake.replace(
            DRIFT, rows.to_arrow_reader(ROWS_PER_BATCH), tenants=names
        )
        daily = connection.sql("SELECT * FROM daily")
        world.lake.replace(
            DRIFT_DAILY, daily.to_arrow_reader(ROWS_PER_BATCH), tenants=names, day=_day(now)
        )
        _describe(connection, tallies, declared=declared, now=now)


def prepare(
    connection: duckdb.DuckDBPyConnection,
    tenants: Sequence[Tenant],
    *,
    exemptions: Sequence[Exemption],
    now: datetime,
) -> None:
    """Work out everything but the rows themselves: kinds, exempted assets, tally and days.

    The connection has the views inventory, golden_images and previous; `exemptions` are live.
    """
    connection.register("rules", _rules(tenants, now))
    connection.register("graces", _graces(tenants))
    for statement in (drift_sql.VERSIONS, drift_sql.APPROVED, drift_sql.PLACES, drift_sql.KINDS):
        connection.execute(statement)
    tagged = [version for (version,) in connection.sql(drift_sql.TAGGED_VERSIONS).fetchall()]
    keys = [{"version": text, "version_key": version_key(text)} for text in tagged]
    connection.register("tag_keys", pa.Table.from_pylist(keys, schema=_TAG_KEYS))
    connection.register("containers", recognised(connection))
    connection.execute(drift_sql.RESOLVED)
    connection.execute(drift_sql.JUDGED)
    tags = any(item.selector.tags for item in exemptions)
    ids = any(item.selector.assets for item in exemptions)
    connection.execute(drift_sql.standing(ids=ids, tags=tags))
    if exemptions:
        connection.register("exemptions", _exemptions(exemptions))
        connection.execute(drift_sql.exempted(ids=ids, tags=tags))
    connection.execute(drift_sql.tally(exemptions=bool(exemptions)))
    connection.execute(drift_sql.DAILY)


def _day(now: datetime) -> date:
    return now.astimezone(UTC).date()


def _rules(tenants: Sequence[Tenant], now: datetime) -> pa.Table:
    rows = [
        {
            "tenant": tenant.name,
            "as_of": now,
            "day": _day(now),
            "stale_before": now - timedelta(hours=tenant.drift.stale_after_hours),
        }
        for tenant in tenants
    ]
    return pa.Table.from_pylist(rows, schema=_RULES)


def _graces(tenants: Sequence[Tenant]) -> pa.Table:
    rows = []
    for tenant in tenants:
        for environment in Environment:
            days = tenant.drift.grace_days.get(environment, tenant.drift.default_grace_days)
            grace = timedelta(days=days) // _MICROSECOND
            rows.append({"tenant": tenant.name, "environment": environment, "grace_us": grace})
    return pa.Table.from_pylist(rows, schema=_GRACES)


def _exemptions(items: Sequence[Exemption]) -> pa.Table:
    rows = [
        {
            "tenant": item.tenant,
            "name": item.name,
            "expires_at": item.expires_at,
            "verdicts": list(item.verdicts),
            "families": list(item.selector.families),
            "environments": list(item.selector.environments),
            "assets": list(item.selector.assets),
            "tags": sorted(item.selector.tags.items()),
        }
        for item in items
    ]
    return pa.Table.from_pylist(rows, schema=_EXEMPTIONS)


def _describe(
    connection: duckdb.DuckDBPyConnection,
    tallies: _Tallies,
    *,
    declared: Sequence[Exemption],
    now: datetime,
) -> None:
    applied = dict(connection.sql(drift_sql.APPLIED).fetchall())
    expired = Counter(item.tenant for item in declared if item.expires_at <= now)
    for tenant, assets, active, coverage, managed, status, verdicts in connection.sql(
        drift_sql.FACTS
    ).fetchall():
        counts = {verdict.value: (verdicts or {}).get(verdict.value, 0) for verdict in DriftVerdict}
        tallies.facts[TenantId(tenant)] = {
            "assets": assets,
            "active": active,
            "coverage": coverage,
            "managed": managed,
            "status": status,
            **counts,
            "exemptions_applied": applied.get(tenant, 0),
            "exemptions_expired": expired[tenant],
        }
    columns = ("environment", "family", "verdict", "score", "alike")
    for tenant, example, *rest in connection.sql(drift_sql.WORST).fetchall():
        row = {"asset": example, **dict(zip(columns, rest, strict=True))}
        tallies.preview.setdefault(TenantId(tenant), []).append(row)
