"""The refresh: every asset and every check, for the tenants of one run."""

import dagster as dg

from assets_defs.partitions import TENANTS

REFRESH = "refresh"

refresh = dg.define_asset_job(
    REFRESH,
    selection=dg.AssetSelection.all(),
    partitions_def=TENANTS,
    description="Discover, score, check and publish the tenants of one run.",
    tags={"qlrf/kind": "refresh"},
    # Dagster's console repeats every event of every partition; the run's own log has them all.
    config={"loggers": {"console": {"config": {"log_level": "WARNING"}}}},
)
