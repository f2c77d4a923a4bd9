"""How risky that is: one score per live asset, every factor of it a column."""

import dagster as dg

from assets_defs.failures import told_to_dagster
from assets_defs.steps import describe, tenant_asset, tenants_of
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.risk import score_risk


@tenant_asset(group="risk", deps=("inventory", "drift", "compliance"), code_version="1")
def risk(context: dg.AssetExecutionContext, world: dg.ResourceParam[World]) -> None:
    """The risk of every live asset, and the factors it is made of."""
    with told_to_dagster():
        report = score_risk(world, tenants_of(context, world))
    describe(context, report)
