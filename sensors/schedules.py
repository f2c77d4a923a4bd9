"""When the platform does things by itself."""

from collections.abc import Iterator, Sequence
from datetime import datetime

import dagster as dg

from assets_defs.partitions import TENANTS_NAME, TenantRange, contiguous_ranges
from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.ports.world import World

REFRESH = "refresh"
LAKE_UPKEEP = "lake_upkeep"


def batches(
    partitions: Sequence[str], declared: Sequence[str], *, at_most: int
) -> list[TenantRange]:
    """The tenants with a contract and a partition, as the ranges one run each will refresh."""
    return contiguous_ranges(partitions, frozenset(declared), at_most=at_most)


def refresh_schedule(*, cron: str, batch: int) -> dg.ScheduleDefinition:
    """Request one run per batch of tenants, every time the clock says so."""

    @dg.schedule(
        name="refresh_schedule",
        cron_schedule=cron,
        job_name=REFRESH,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Refreshes every tenant, {batch} to a run.",
    )
    def schedule(
        context: dg.ScheduleEvaluationContext, world: dg.ResourceParam[World]
    ) -> Iterator[dg.RunRequest | dg.SkipReason]:
        try:
            declared = [tenant.name for tenant in world.estate.load().tenants]
        except QlrfError as error:
            yield dg.SkipReason(f"The estate cannot be read, so nothing is refreshed: {error}")
            return
        partitions = context.instance.get_dynamic_partitions(TENANTS_NAME)
        found = batches(partitions, declared, at_most=batch)
        if not found:
            yield dg.SkipReason("No tenant has a contract and a partition yet.")
        for item in found:
            yield run_request(item, at=context.scheduled_execution_time)

    return schedule


def run_request(tenants: TenantRange, *, at: datetime) -> dg.RunRequest:
    """One run for one batch; its key makes a tick that is evaluated twice harmless."""
    return dg.RunRequest(run_key=f"refresh:{at.isoformat()}:{tenants.name}", tags=tenants.tags)


upkeep_schedule = dg.ScheduleDefinition(
    name="lake_upkeep_schedule",
    cron_schedule="23 3 * * *",
    job_name=LAKE_UPKEEP,
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Tidies the lake once a day.",
)
