"""Whether what must survive a lost site was proven to: drills, and what they say of each scope."""

import dagster as dg

from assets_defs.failures import told_to_dagster
from assets_defs.steps import describe, tenant_asset, tenants_of
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.drill_export import export_drills
from qlrf_pipelines.services.resilience import refresh_resilience


@tenant_asset(group="resilience", kinds=frozenset({"postgres", "deltalake"}), code_version="1")
def drills(context: dg.AssetExecutionContext, world: dg.ResourceParam[World]) -> None:
    """Every drill with its phases and what it measured, from the control plane."""
    with told_to_dagster():
        report = export_drills(world, tenants_of(context, world))
    describe(context, report)


@tenant_asset(group="resilience", deps=("drills",), code_version="1")
def resilience(context: dg.AssetExecutionContext, world: dg.ResourceParam[World]) -> None:
    """How ready each site, pair, application and plan is; what was not proven is not ready."""
    with told_to_dagster():
        report = refresh_resilience(world, tenants_of(context, world))
    describe(context, report)
