"""Whether patch policies are kept: every promise of each on every live asset it may be about."""

from collections.abc import Sequence

import dagster as dg

from assets_defs.checks import as_dicts
from assets_defs.failures import RETRY, told_to_dagster
from assets_defs.observation import Rows, warning
from assets_defs.partitions import tenants_of_run
from assets_defs.steps import describe, tenant_asset, tenants_of
from qlrf_pipelines.domain.datasets import PATCH_SLA
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.patch_sla import SlaStatus
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.patch_sla import judge_patch_sla


@tenant_asset(group="patches", deps=("inventory", "drift"), code_version="1")
def patch_sla(context: dg.AssetExecutionContext, world: dg.ResourceParam[World]) -> None:
    """Since when each asset lacks what its policies promised, when it is due, how that stands."""
    with told_to_dagster():
        report = judge_patch_sla(world, tenants_of(context, world))
    describe(context, report)


@dg.asset_check(asset="patch_sla", retry_policy=RETRY)
def patched_in_time(
    context: dg.AssetCheckExecutionContext, world: dg.ResourceParam[World]
) -> dg.AssetCheckResult:
    """No active asset is past the date by which a policy promised it patched."""
    with told_to_dagster():
        tenants = tenants_of_run(context.run.tags, context.instance)
        rows = broken_promises(world, tenants, SlaStatus.BREACHED)
    return warning(rows, good="Every promise whose state is known is kept.", noun="promises")


@dg.asset_check(asset="patch_sla", retry_policy=RETRY)
def patch_state_known(
    context: dg.AssetCheckExecutionContext, world: dg.ResourceParam[World]
) -> dg.AssetCheckResult:
    """It is known of every active asset whether it lacks what a policy promised."""
    with told_to_dagster():
        tenants = tenants_of_run(context.run.tags, context.instance)
        rows = broken_promises(world, tenants, SlaStatus.UNKNOWN)
    return warning(rows, good="It is known how every promise stands.", noun="promises")


def broken_promises(world: World, tenants: Sequence[TenantId], status: SlaStatus) -> Rows:
    """The promises of these tenants that stand so on any active asset, on how many, since when."""
    if not tenants:
        return []
    with world.engine.session() as session:
        world.lake.view(session.connection, PATCH_SLA, tenants=tenants)
        answer = session.connection.execute(
            "SELECT tenant, policy, severity, count(*) AS assets, min(due_at) AS first_due, "
            "min_by(asset_key, (due_at, asset_key)) AS example, "
            "min_by(reason, (due_at, asset_key)) AS reason FROM patch_sla "
            "WHERE active AND status = $status GROUP BY tenant, policy, severity "
            "ORDER BY first_due, tenant, policy, severity",
            {"status": status.value},
        )
        return as_dicts(answer)


PATCH_CHECKS = [patched_in_time, patch_state_known]
