"""Upkeep of the lake: small files are merged, old snapshots forgotten."""

import dagster as dg

from assets_defs.limits import Limits
from qlrf_pipelines.jobs.failures import RETRY, told_to_dagster
from qlrf_pipelines.ports.world import World


@dg.op(retry_policy=RETRY)
def tidy_lake(world: dg.ResourceParam[World], limits: dg.ResourceParam[Limits]) -> None:
    """Compact, write checkpoints and drop files no snapshot of the window needs."""
    with told_to_dagster():
        world.lake.upkeep(keep_hours=limits.keep_hours)


@dg.job(description="Compact the lake and forget its old snapshots.")
def lake_upkeep() -> None:
    """One step."""
    tidy_lake()
