"""What a refresh came to, read back from the lake: a row per tenant, and what was not seen."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

import duckdb

from qlrf_pipelines.domain import datasets
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.ports.world import World

_VIEWS = (
    datasets.INVENTORY,
    datasets.DRIFT_DAILY,
    datasets.CONTROL_RESULTS,
    datasets.RISK,
    datasets.INVENTORY_CHANGES,
    datasets.SCOPES,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TenantRow:
    """One tenant after a refresh; None where nothing is known."""

    tenant: str
    assets: int
    active: int | None
    coverage: float | None
    managed: float | None
    status: str
    compliance: float | None
    mean_risk: float | None
    max_risk: float | None
    changes: int
    gaps: int
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap:
    """A scope whose last attempt does not prove what is there."""

    tenant: str
    scope: str
    status: str
    reason: str
    last_complete_at: datetime | None


# `status` of a tenant without any figure of the day is no_data: absence is not health.
_ROWS = """
SELECT
    t.tenant,
    coalesce(i.assets, 0) AS assets,
    d.total AS active,
    d.coverage,
    d.managed,
    coalesce(d.status, 'no_data') AS status,
    c.compliance,
    r.mean_risk,
    r.max_risk,
    coalesce(h.changes, 0) AS changes
FROM (SELECT unnest($tenants::varchar[]) AS tenant) AS t
LEFT JOIN (
    SELECT tenant, count(*)::bigint AS assets FROM inventory
    WHERE tombstoned_at IS NULL GROUP BY tenant
) AS i USING (tenant)
LEFT JOIN (
    SELECT tenant, max_by(total, as_of) AS total, max_by(coverage, as_of) AS coverage,
        max_by(managed, as_of) AS managed, max_by(status, as_of) AS status
    FROM (
        FROM drift_daily WHERE scope_type = 'tenant'
        QUALIFY row_number() OVER (PARTITION BY tenant ORDER BY as_of DESC) = 1
    ) GROUP BY tenant
) AS d USING (tenant)
LEFT JOIN (
    SELECT tenant, count(*) FILTER (verdict = 'pass')
        / nullif(count(*) FILTER (verdict IN ('pass', 'fail', 'never_proven')), 0) AS compliance
    FROM control_results GROUP BY tenant
) AS c USING (tenant)
LEFT JOIN (
    SELECT tenant, avg(risk_score) AS mean_risk, max(risk_score) AS max_risk
    FROM risk GROUP BY tenant
) AS r USING (tenant)
LEFT JOIN (
    SELECT tenant, count(*)::bigint AS changes FROM inventory_changes
    WHERE changed_at >= $since GROUP BY tenant
) AS h USING (tenant)
ORDER BY t.tenant
"""
# A tenant with connectors and no scope at all was not looked at: that is a gap too.
_GAPS = """
SELECT tenant, scope_id AS scope, status, coalesce(error, status) AS reason, last_complete_at
FROM scopes WHERE status <> 'complete'
UNION ALL
SELECT c.tenant, '-', 'incomplete', 'nothing was ever listed', NULL
FROM (SELECT unnest($connected::varchar[]) AS tenant) AS c ANTI JOIN scopes USING (tenant)
ORDER BY tenant, scope
"""


def read(
    world: World, tenants: Sequence[TenantId], *, since: datetime, seconds: Mapping[str, float]
) -> tuple[tuple[TenantRow, ...], tuple[Gap, ...]]:
    """A row for every tenant, and every open scope; `since` bounds the changes that count."""
    with world.engine.session() as session:
        for dataset in _VIEWS:
            world.lake.view(session.connection, dataset, tenants=tenants)
        rows = _dicts(session.connection.execute(_ROWS, {"tenants": list(tenants), "since": since}))
        connected = [tenant.name for tenant in world.estate.load().tenants if tenant.connectors]
        asked = [name for name in connected if name in frozenset(tenants)]
        gaps = tuple(
            Gap(**row) for row in _dicts(session.connection.execute(_GAPS, {"connected": asked}))
        )
    counts: dict[str, int] = {}
    for gap in gaps:
        counts[gap.tenant] = counts.get(gap.tenant, 0) + 1
    return (
        tuple(
            TenantRow(
                **row,
                gaps=counts.get(row["tenant"], 0),
                seconds=round(seconds.get(row["tenant"], 0.0), 2),
            )
            for row in rows
        ),
        gaps,
    )


def as_rows(rows: Sequence[TenantRow]) -> list[dict[str, Any]]:
    """Rows as dictionaries, in the order the columns are shown."""
    return [asdict(row) for row in rows]


def _dicts(answer: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    names = [column[0] for column in answer.description or ()]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]
