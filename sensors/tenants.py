"""Keeps the partitions in step with the estate: new tenants are added, none is ever deleted."""

from collections.abc import Sequence

import dagster as dg

from assets_defs.partitions import TENANTS, TENANTS_NAME
from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.ports.world import World

# Dagster looks the keys up in one IN (...): large estates are added in parts.
CHUNK = 1000


def chunks(keys: Sequence[str], size: int = CHUNK) -> list[list[str]]:
    """The keys in order, in lists of at most `size`."""
    return [list(keys[i : i + size]) for i in range(0, len(keys), size)]


@dg.sensor(
    name="tenant_sync",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Adds a partition for every tenant of the estate.",
)
def tenant_sync(
    context: dg.SensorEvaluationContext, world: dg.ResourceParam[World]
) -> dg.SensorResult | dg.SkipReason:
    """Add missing partitions; say which partitions have no contract any more."""
    try:
        declared = [tenant.name for tenant in world.estate.load().tenants]
    except QlrfError as error:
        return dg.SkipReason(f"The estate cannot be read, so no tenant is added: {error}")
    present = frozenset(context.instance.get_dynamic_partitions(TENANTS_NAME))
    missing = [name for name in declared if name not in present]
    orphans = sorted(present.difference(declared))
    if orphans:
        context.log.warning(
            f"No contract names {', '.join(orphans[:20])} any more ({len(orphans)} in all); "
            "their partitions and data are kept until `qlrf tenants remove`."
        )
    if not missing:
        return dg.SkipReason(
            f"All {len(declared)} tenants have a partition"
            + (f"; {len(orphans)} partitions have no contract." if orphans else ".")
        )
    return dg.SensorResult(
        dynamic_partitions_requests=[TENANTS.build_add_request(part) for part in chunks(missing)]
    )
