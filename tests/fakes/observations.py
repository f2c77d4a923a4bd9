"""Rows of the lake with everything a test does not care about filled in."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from qlrf_pipelines.domain.datasets import DRIFT, INVENTORY, SCOPES, Dataset
from qlrf_pipelines.domain.estate import Connector, Tenant, TenantId
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.lake import Lake

NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)


def a_tenant(name: str) -> Tenant:
    """A tenant with one AWS connector."""
    who = TenantId(name)
    connector = Connector(tenant=who, name="aws-main", platform=Platform.AWS)
    return Tenant(name=who, display_name=name, connectors=(connector,))


def an_asset(tenant: str, asset_id: str, **facts: Any) -> dict[str, Any]:
    """A live, freshly seen machine nothing else is known of."""
    return {
        "tenant": tenant,
        "platform": "aws",
        "asset_key": f"aws:111122223333:us-east-1:{asset_id}",
        "asset_id": asset_id,
        "kind": "instance",
        "last_seen": NOON,
        "fresh": True,
        "tags": [("Name", asset_id)],
    } | facts


def a_scope(tenant: str, region: str = "us-east-1", **parts: Any) -> dict[str, Any]:
    """A complete listing of instances, just made."""
    return {
        "tenant": tenant,
        "connector": "aws-main",
        "region": region,
        "kind": "instance",
        "scope_id": f"aws-main/111122223333/{region}/instance",
        "refresh_id": "r-7",
        "started_at": NOON,
        "finished_at": NOON,
        "status": "complete",
        "pages": 1,
        "end_marker": True,
        "listed": 0,
        "last_complete_at": NOON,
    } | parts


def keep(lake: Lake, dataset: Dataset, rows: Iterable[Mapping[str, Any]], *tenants: str) -> int:
    """Replace the tenants' rows of a dataset; missing columns are null."""
    full = [{name: row.get(name) for name in dataset.schema.names} for row in rows]
    table = pa.Table.from_pylist(full, schema=dataset.schema)
    return lake.replace(dataset, table.to_reader(), tenants=[TenantId(t) for t in tenants])


def observed(
    lake: Lake,
    tenant: str,
    assets: Sequence[Mapping[str, Any]],
    *,
    scopes: Sequence[Mapping[str, Any]] | None = None,
    drift: Sequence[Mapping[str, Any]] = (),
) -> None:
    """One tenant's inventory, drift and scopes, as a refresh leaves them."""
    keep(lake, INVENTORY, assets, tenant)
    keep(lake, DRIFT, drift, tenant)
    keep(lake, SCOPES, [a_scope(tenant)] if scopes is None else scopes, tenant)
