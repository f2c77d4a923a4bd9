"""Resilience of a batch of tenants: whether what must survive a lost site was proven to."""

import time
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from qlrf_pipelines.domain.drill_bounds import failure_upper, spread
from qlrf_pipelines.domain.drill_datasets import DRILLS, RESILIENCE
from qlrf_pipelines.domain.estate import Estate, Tenant, TenantId
from qlrf_pipelines.domain.reports import Fact, StepReport
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import resilience_sql

_PREVIEW = 5
_TENANTS = pa.schema([("tenant", pa.string())])
_SITES = pa.schema([("tenant", pa.string()), ("site", pa.string())])
_PAIRS = pa.schema(
    [
        ("tenant", pa.string()),
        ("pair", pa.string()),
        ("primary_site", pa.string()),
        ("recovery_site", pa.string()),
    ]
)
_PLANS = pa.schema(
    [
        ("tenant", pa.string()),
        ("application", pa.string()),
        ("plan", pa.string()),
        ("pair", pa.string()),
        ("primary_site", pa.string()),
        ("recovery_site", pa.string()),
        ("members", pa.int32()),
        ("rto_target", pa.float64()),
        ("rpo_target", pa.float64()),
        ("fresh_days", pa.int32()),
    ]
)
_SPREADS = pa.schema(
    [
        ("tenant", pa.string()),
        ("scope_type", pa.string()),
        ("scope_value", pa.string()),
        ("failure_upper", pa.float64()),
        *(
            (f"{name}_{part}", pa.int64() if part == "measured" else pa.float64())
            for name in ("rto", "rpo")
            for part in ("measured", "highest", "median_upper", "covered", "trend")
        ),
    ]
)


def refresh_resilience(world: World, tenants: Sequence[Tenant]) -> StepReport:
    """Judge every site, pair, application and plan of these tenants by the drills in the lake.

    Raises:
        Rejected: the estate breaks its contracts; what was there before stays.
        Unavailable: the lake is full or down.
    """
    began = time.perf_counter()
    names = [tenant.name for tenant in tenants]
    estate = world.estate.load()
    with world.engine.session() as session:
        connection = session.connection
        world.lake.view(connection, DRILLS, tenants=names)
        register(connection, estate, names)
        rows = judge(connection, now=world.clock.now())
        version = world.lake.replace(RESILIENCE, rows.to_reader(), tenants=names)
        connection.register(RESILIENCE.name, rows)
        facts, preview = _facts(connection), _preview(connection)
    return StepReport(
        dataset=RESILIENCE.name,
        version=version,
        seconds=time.perf_counter() - began,
        facts=facts,
        preview=preview,
    )


def register(
    connection: duckdb.DuckDBPyConnection, estate: Estate, names: Sequence[TenantId]
) -> None:
    """Put what the contracts declare beside the drills."""
    plans = [
        {
            "tenant": name,
            "application": plan.application,
            "plan": plan.name,
            "pair": plan.pair,
            "primary_site": plan.primary,
            "recovery_site": plan.recovery,
            "members": len(plan.members),
            "rto_target": plan.rto_seconds,
            "rpo_target": plan.rpo_seconds,
            "fresh_days": plan.fresh_days,
        }
        for name in names
        for plan in estate.recovery_of(name)
    ]
    pairs = [
        {
            "tenant": name,
            "pair": pair.name,
            "primary_site": pair.primary,
            "recovery_site": pair.recovery,
        }
        for name in names
        for pair in estate.pairs_of(name)
    ]
    sites = [
        {"tenant": name, "site": site.name} for name in names for site in estate.sites_of(name)
    ]
    tenants = [{"tenant": name} for name in names]
    for title, rows, schema in (
        ("tenants", tenants, _TENANTS),
        ("sites", sites, _SITES),
        ("pairs", pairs, _PAIRS),
        ("plans", plans, _PLANS),
    ):
        connection.register(title, pa.Table.from_pylist(rows, schema=schema))


def judge(connection: duckdb.DuckDBPyConnection, *, now: datetime) -> pa.Table:
    """The rows of the dataset resilience, from the tables the contracts and drills made."""
    connection.execute(resilience_sql.TOLD)
    connection.execute(resilience_sql.PLANS)
    connection.execute(resilience_sql.NEWEST)
    connection.execute(resilience_sql.STANDING, {"now": now})
    connection.execute(resilience_sql.PLACED)
    connection.execute(resilience_sql.SCORED, {"now": now})
    connection.register("spreads", _spreads(connection))
    columns = ", ".join(RESILIENCE.schema.names)
    found = connection.sql(resilience_sql.ROWS.format(columns=columns)).to_arrow_table()
    return found.cast(RESILIENCE.schema)


def _spreads(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """What several drills say together: few numbers per scope, exact methods."""
    series = {
        (tenant, kind, value): {"rto": rto, "rpo": rpo}
        for tenant, kind, value, rto, rpo in connection.sql(resilience_sql.SERIES).fetchall()
    }
    rows: list[dict[str, Any]] = []
    for tenant, kind, value, drills, failed in connection.sql(resilience_sql.COUNTS).fetchall():
        row = {
            "tenant": tenant,
            "scope_type": kind,
            "scope_value": value,
            "failure_upper": failure_upper(failed, drills),
        }
        for name, values in series.get((tenant, kind, value), {}).items():
            said = spread(values)
            row |= {
                f"{name}_measured": said.measured,
                f"{name}_highest": said.highest,
                f"{name}_median_upper": said.median_upper,
                f"{name}_covered": said.covered,
                f"{name}_trend": said.trend,
            }
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=_SPREADS)


def _facts(connection: duckdb.DuckDBPyConnection) -> dict[TenantId, Mapping[str, Fact]]:
    answer = connection.sql(resilience_sql.FACTS)
    columns = answer.columns[1:]
    return {
        TenantId(tenant): dict(zip(columns, values, strict=True))
        for tenant, *values in answer.fetchall()
    }


def _preview(connection: duckdb.DuckDBPyConnection) -> dict[TenantId, list[Mapping[str, Fact]]]:
    answer = connection.sql(resilience_sql.WORST)
    columns = answer.columns[1:]
    found: dict[TenantId, list[Mapping[str, Fact]]] = {}
    for tenant, *values in answer.fetchall():
        rows = found.setdefault(TenantId(tenant), [])
        if len(rows) < _PREVIEW:
            rows.append(dict(zip(columns, values, strict=True)))
    return found
