"""Risk of a batch of tenants: drift, controls, exposure and vulnerabilities as one score."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import pyarrow as pa

from qlrf_pipelines.domain.compliance import Control
from qlrf_pipelines.domain.datasets import (
    CONTROL_RESULTS,
    DRIFT,
    INVENTORY,
    RISK,
    TEXTS,
    TIME,
    VULNERABILITIES,
)
from qlrf_pipelines.domain.estate import Tenant, TenantId
from qlrf_pipelines.domain.reports import Fact, StepReport
from qlrf_pipelines.domain.risk import SEVERITY_WEIGHTS, WEIGHTS
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import risk_sql
from qlrf_pipelines.services.batches import MOST_ROWS, by_assets

ROWS_PER_BATCH = 65_536
_RULES = pa.schema(
    [
        ("tenant", pa.string()),
        ("as_of", TIME),
        ("connected", pa.bool_()),
        ("controlled", pa.bool_()),
        ("weight", pa.int32()),
        ("not_assessed", TEXTS),
    ]
)
_CONTROLS = pa.schema([("control_id", pa.string()), ("weight", pa.int32())])
_FEED = ("critical_vulnerabilities", "open_vulnerabilities")


@dataclass(slots=True)
class _Tallies:
    facts: dict[TenantId, Mapping[str, Fact]] = field(default_factory=dict)
    preview: dict[TenantId, list[Mapping[str, Fact]]] = field(default_factory=dict)
    version: int | None = None


def score_risk(
    world: World, tenants: Sequence[Tenant], *, most_rows: int = MOST_ROWS
) -> StepReport:
    """Score every live asset of these tenants, keeping each factor beside the score.

    Tenants are taken in batches of about `most_rows` assets, each written in one commit.

    Raises:
        Rejected: a control is incomplete.
        Unavailable: the lake, or the disk computations spill to, is full or down.
    """
    began = time.perf_counter()
    now, tallies = world.clock.now(), _Tallies()
    controls = [control for control in world.controls.load() if control.sql is not None]
    for batch in by_assets(world, tenants, most=most_rows):
        _score_batch(world, [t.name for t in batch], controls=controls, now=now, tallies=tallies)
        world.engine.reclaim()
    return StepReport(
        dataset=RISK.name,
        version=tallies.version,
        seconds=time.perf_counter() - began,
        facts=tallies.facts,
        preview=tallies.preview,
    )


def _score_batch(
    world: World,
    names: Sequence[TenantId],
    *,
    controls: Sequence[Control],
    now: datetime,
    tallies: _Tallies,
) -> None:
    with world.engine.session() as session:
        connection = session.connection
        for dataset in (INVENTORY, DRIFT, CONTROL_RESULTS, VULNERABILITIES):
            world.lake.view(connection, dataset, tenants=names)
        missing = _prepare(connection, names, controls=controls, now=now)
        rows = connection.sql(risk_sql.ROWS)
        tallies.version = world.lake.replace(
            RISK, rows.to_arrow_reader(ROWS_PER_BATCH), tenants=names
        )
        world.lake.view(connection, RISK, tenants=names, version=tallies.version)
        _describe(connection, tallies, missing=missing)


def _prepare(
    connection: duckdb.DuckDBPyConnection,
    names: Sequence[TenantId],
    *,
    controls: Sequence[Control],
    now: datetime,
) -> Mapping[TenantId, Sequence[str]]:
    """Register what the SQL needs; returns the factors each tenant connected no source for."""
    connected = {tenant for (tenant,) in connection.sql(risk_sql.CONNECTED).fetchall()}
    missing = {
        name: [
            factor
            for factor in WEIGHTS
            if (factor in _FEED and name not in connected)
            or (factor == "noncompliance" and not controls)
        ]
        for name in names
    }
    rules = [
        {
            "tenant": name,
            "as_of": now,
            "connected": name in connected,
            "controlled": bool(controls),
            "weight": sum(w for factor, w in WEIGHTS.items() if factor not in missing[name]),
            "not_assessed": missing[name],
        }
        for name in names
    ]
    weights = [{"control_id": c.id, "weight": SEVERITY_WEIGHTS[c.severity]} for c in controls]
    connection.register("rules", pa.Table.from_pylist(rules, schema=_RULES))
    connection.register("controls", pa.Table.from_pylist(weights, schema=_CONTROLS))
    connection.execute(risk_sql.EXPECTED)
    return missing


def _describe(
    connection: duckdb.DuckDBPyConnection,
    tallies: _Tallies,
    *,
    missing: Mapping[TenantId, Sequence[str]],
) -> None:
    floors: list[dict[str, Fact]] = []
    for tenant, assets, mean, highest, low, medium, high, critical, floor in connection.sql(
        risk_sql.FACTS
    ).fetchall():
        tallies.facts[TenantId(tenant)] = {
            "assets": assets,
            "mean_risk": mean,
            "highest_risk": highest,
            "critical": critical,
            "high": high,
            "medium": medium,
            "low": low,
            "not_assessed": ", ".join(missing[tenant]) or None,
        }
        floors.append({"tenant": tenant, "score": floor})
    schema = pa.schema([("tenant", pa.string()), ("score", pa.float64())])
    connection.register("floors", pa.Table.from_pylist(floors, schema=schema))
    columns = ("asset", "level", "score", *WEIGHTS, "environment_factor")
    for tenant, *values in connection.sql(risk_sql.WORST).fetchall():
        row = dict(zip(columns, values, strict=True))
        tallies.preview.setdefault(TenantId(tenant), []).append(row)
