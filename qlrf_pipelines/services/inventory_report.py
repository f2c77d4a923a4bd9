"""What a refresh came to, per tenant."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import duckdb
import pyarrow as pa

from qlrf_pipelines.domain.datasets import INVENTORY, INVENTORY_CHANGES
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.reports import Fact, StepReport
from qlrf_pipelines.domain.vocabulary import ListingStatus
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.inventory_reconcile import Attempt

_SEQUENCE = pa.schema([("tenant", pa.string()), ("new_seq", pa.int64())])
_SHOWN = 5  # gaps and preview rows per tenant


def inventory_report(
    world: World,
    connection: duckdb.DuckDBPyConnection,
    attempt: Attempt,
    scopes: Sequence[Mapping[str, Any]],
    *,
    version: int,
    started: datetime,
) -> StepReport:
    """Counts from the rows just written (the view `written`) and from the certificates."""
    sequences = [
        {"tenant": tenant, "new_seq": number} for tenant, number in attempt.sequences.items()
    ]
    connection.register("rule", pa.Table.from_pylist(sequences, schema=_SEQUENCE))
    counts = _counts(connection)
    preview = _preview(connection, "written")
    facts: dict[TenantId, Mapping[str, Fact]] = {}
    for tenant in attempt.tenants:
        mine = [row for row in scopes if row["tenant"] == tenant.name]
        facts[tenant.name] = {**counts.get(tenant.name, _NONE), **_gaps(mine)}
    return StepReport(
        dataset=INVENTORY.name,
        version=version,
        seconds=(world.clock.now() - started).total_seconds(),
        facts=facts,
        preview={tenant.name: preview.get(tenant.name, []) for tenant in attempt.tenants},
    )


def change_report(
    world: World,
    connection: duckdb.DuckDBPyConnection,
    tenants: Sequence[TenantId],
    *,
    started: datetime,
) -> StepReport:
    """How long every tenant's history is, and what its newest refresh changed."""
    version = world.lake.version(INVENTORY_CHANGES)
    world.lake.view(connection, INVENTORY_CHANGES, tenants=tenants)
    connection.execute(
        "CREATE TEMP TABLE rule AS SELECT tenant, max(change_seq) AS new_seq "
        "FROM inventory_changes GROUP BY ALL"
    )
    found = connection.execute(
        "SELECT tenant, count(*), count(*) FILTER (change_seq = new_seq), max(changed_at) "
        "FROM inventory_changes JOIN rule USING (tenant) GROUP BY ALL"
    ).fetchall()
    facts: dict[TenantId, Mapping[str, Fact]] = {
        tenant: {"changes": 0, "newest": 0, "newest_at": None} for tenant in tenants
    }
    for tenant, changes, newest, newest_at in found:
        facts[TenantId(tenant)] = {
            "changes": changes,
            "newest": newest,
            "newest_at": newest_at.isoformat(),
        }
    preview = _preview(connection, "inventory_changes")
    return StepReport(
        dataset=INVENTORY_CHANGES.name,
        version=version,
        seconds=(world.clock.now() - started).total_seconds(),
        facts=facts,
        preview={tenant: preview.get(tenant, []) for tenant in tenants},
    )


_COUNTED = (
    "assets",
    "active",
    "discovered",
    "updated",
    "missed",
    "tombstoned",
    "returned",
    "fresh_share",
)
_NONE: Mapping[str, Fact] = dict.fromkeys(_COUNTED, 0) | {"fresh_share": None}


def _counts(connection: duckdb.DuckDBPyConnection) -> dict[TenantId, dict[str, Fact]]:
    changes = ", ".join(
        f"count(*) FILTER (change = '{change}' AND change_seq = new_seq) AS {change}"
        for change in _COUNTED[2:-1]
    )
    found = connection.execute(
        f"""
        SELECT tenant, count(*) FILTER (tombstoned_at IS NULL) AS assets,
            count(*) FILTER (tombstoned_at IS NULL AND state IN ('running', 'pending')) AS active,
            {changes},
            count(*) FILTER (tombstoned_at IS NULL AND fresh) / nullif(assets, 0) AS fresh_share
        FROM written JOIN rule USING (tenant) GROUP BY ALL
        """  # noqa: S608  our own names
    ).fetchall()
    return {TenantId(tenant): dict(zip(_COUNTED, row, strict=True)) for tenant, *row in found}


def _gaps(scopes: Sequence[Mapping[str, Any]]) -> dict[str, Fact]:
    failed = [row for row in scopes if row["status"] != ListingStatus.COMPLETE]
    shown = [f"{row['scope_id']} {row['status']}: {row['error']}" for row in failed[:_SHOWN]]
    if len(failed) > _SHOWN:
        shown.append(f"and {len(failed) - _SHOWN} more")
    return {
        "scopes": len(scopes),
        "scopes_complete": len(scopes) - len(failed),
        "scopes_failed": len(failed),
        "gaps": "; ".join(shown),
        "brake_held": sum(row["status"] == ListingStatus.HELD for row in scopes),
    }


def _preview(
    connection: duckdb.DuckDBPyConnection, source: str
) -> dict[TenantId, list[Mapping[str, Fact]]]:
    """A few rows per tenant: what the newest refresh changed first, then what stayed as it was."""
    found = connection.execute(
        f"""
        SELECT tenant, asset_key, name, change_seq = new_seq, change
        FROM {source} JOIN rule USING (tenant)
        QUALIFY row_number() OVER (
            PARTITION BY tenant ORDER BY change_seq = new_seq DESC, asset_key) <= {_SHOWN}
        ORDER BY tenant, change_seq = new_seq DESC, asset_key
        """  # noqa: S608  our own names
    ).fetchall()
    shown: dict[TenantId, list[Mapping[str, Fact]]] = {}
    for tenant, asset_key, name, new, change in found:
        shown.setdefault(TenantId(tenant), []).append(
            {"asset_key": asset_key, "name": name, "change": change if new else "as before"}
        )
    return shown
