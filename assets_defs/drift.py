"""How far apart they are: every live asset judged against its golden image."""

import dagster as dg

from assets_defs.failures import told_to_dagster
from assets_defs.steps import describe, tenant_asset, tenants_of
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.drift import score_drift


@tenant_asset(group="drift", deps=("inventory", "golden_images"), code_version="1")
def drift(context: dg.AssetExecutionContext, world: dg.ResourceParam[World]) -> None:
    """A verdict and a score for every live asset, and the day's coverage per scope."""
    with told_to_dagster():
        report = score_drift(world, tenants_of(context, world))
    describe(context, report)
