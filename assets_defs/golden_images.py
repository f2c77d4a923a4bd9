"""What should run: the golden image versions each tenant's contracts name."""

import dagster as dg

from assets_defs.failures import told_to_dagster
from assets_defs.steps import describe, tenant_asset, tenants_of
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.images import refresh_golden_images


@tenant_asset(group="images", kinds=frozenset({"yaml", "deltalake"}), code_version="1")
def golden_images(context: dg.AssetExecutionContext, world: dg.ResourceParam[World]) -> None:
    """The versions a tenant may use, where they are approved and where they are found."""
    with told_to_dagster():
        report = refresh_golden_images(world, tenants_of(context, world))
    describe(context, report)
