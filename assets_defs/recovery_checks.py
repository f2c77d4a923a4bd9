"""Checks on recovery: what nobody has proven lately, and what a drill left in the wrong place."""

from collections.abc import Sequence

import dagster as dg

from assets_defs.checks import as_dicts
from assets_defs.failures import RETRY, told_to_dagster
from assets_defs.observation import Rows, warning
from assets_defs.partitions import tenants_of_run
from qlrf_pipelines.domain.datasets import DRILLS, RESILIENCE
from qlrf_pipelines.domain.drills import Phase
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.resilience import Readiness
from qlrf_pipelines.ports.world import World


@dg.asset_check(asset="resilience", retry_policy=RETRY)
def recovery_proven(
    context: dg.AssetCheckExecutionContext, world: dg.ResourceParam[World]
) -> dg.AssetCheckResult:
    """Every planned application proved within its days that it recovers within its targets."""
    with told_to_dagster():
        rows = unproven(world, tenants_of_run(context.run.tags, context.instance))
    good = "Every planned application proved that it recovers."
    return warning(rows, good=good, noun="applications")


@dg.asset_check(asset="drills", retry_policy=RETRY)
def nothing_held(
    context: dg.AssetCheckExecutionContext, world: dg.ResourceParam[World]
) -> dg.AssetCheckResult:
    """No drill is held for a human, with something live where it should not be."""
    with told_to_dagster():
        rows = held(world, tenants_of_run(context.run.tags, context.instance))
    result = warning(rows, good="No drill is held.", noun="held drills")
    return result._replace(severity=dg.AssetCheckSeverity.ERROR)


def unproven(world: World, tenants: Sequence[TenantId]) -> Rows:
    """The applications of these tenants that are not ready, with the reason, worst first."""
    with world.engine.session() as session:
        world.lake.view(session.connection, RESILIENCE, tenants=tenants)
        answer = session.connection.execute(
            "SELECT tenant, scope_value AS application, readiness, reason, last_drill_id "
            "FROM resilience WHERE scope_type = 'application' AND readiness <> $ready "
            "ORDER BY tenant, application",
            {"ready": Readiness.READY.value},
        )
        return as_dicts(answer)


def held(world: World, tenants: Sequence[TenantId]) -> Rows:
    """The drills of these tenants that wait for a human to bring something back."""
    with world.engine.session() as session:
        world.lake.view(session.connection, DRILLS, tenants=tenants)
        answer = session.connection.execute(
            "SELECT tenant, drill_id, application, plan, requested_at FROM drills "
            "WHERE phase = $held ORDER BY tenant, drill_id",
            {"held": Phase.HELD.value},
        )
        return as_dicts(answer)


RECOVERY_CHECKS = [recovery_proven, nothing_held]
