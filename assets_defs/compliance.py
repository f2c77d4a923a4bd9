"""What controls find: one verdict per control and live asset, with evidence in the ledger."""

import dagster as dg

from assets_defs.failures import told_to_dagster
from assets_defs.steps import describe, tenant_asset, tenants_of
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.compliance import assess_compliance


@tenant_asset(group="compliance", deps=("inventory", "drift"), code_version="1")
def compliance(context: dg.AssetExecutionContext, world: dg.ResourceParam[World]) -> None:
    """Pass, fail, not applicable, manual or never proven, per control and live asset."""
    with told_to_dagster():
        report = assess_compliance(world, tenants_of(context, world))
    describe(context, report)
