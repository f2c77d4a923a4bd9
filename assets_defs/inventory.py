"""What runs: observations of every tenant's clouds, and what changed between them."""

import dagster as dg

from assets_defs.failures import told_to_dagster
from assets_defs.limits import Limits
from assets_defs.steps import describe, tenant_asset, tenants_of
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.inventory import flush_changes, refresh_inventory


@tenant_asset(group="inventory", kinds=frozenset({"aws", "deltalake"}), code_version="1")
def inventory(
    context: dg.AssetExecutionContext,
    world: dg.ResourceParam[World],
    limits: dg.ResourceParam[Limits],
) -> None:
    """Every asset a tenant's clouds listed, kept where a listing failed (one row per asset)."""
    with told_to_dagster():
        report = refresh_inventory(
            world,
            tenants_of(context, world),
            workers=limits.workers,
            lock_wait=limits.lock_wait_seconds,
        )
    describe(context, report)


@tenant_asset(group="inventory", deps=("inventory",), code_version="1")
def inventory_changes(
    context: dg.AssetExecutionContext,
    world: dg.ResourceParam[World],
    limits: dg.ResourceParam[Limits],
) -> None:
    """What appeared, changed, went missing or was declared gone (append-only history)."""
    with told_to_dagster():
        report = flush_changes(
            world, tenants_of(context, world), lock_wait=limits.lock_wait_seconds
        )
    describe(context, report)
