"""The composition root: the only place where assets, jobs, sensors and a world meet."""

import os
import warnings
from pathlib import Path

import dagster as dg

from assets_defs import (
    compliance,
    drift,
    golden_images,
    inventory,
    patch_sla,
    resilience,
    risk,
)
from assets_defs.checks import quality_checks
from assets_defs.contracts import CONTRACTS
from assets_defs.limits import Limits
from assets_defs.marts import marts_assets
from assets_defs.observation import OBSERVATION_CHECKS
from assets_defs.patch_sla import PATCH_CHECKS
from assets_defs.recovery_checks import RECOVERY_CHECKS
from qlrf_pipelines import wiring
from qlrf_pipelines.jobs.approved_change import approved_change
from qlrf_pipelines.jobs.dr_drill import dr_drill, dr_return
from qlrf_pipelines.jobs.progress import LogProgress
from qlrf_pipelines.jobs.refresh import refresh
from qlrf_pipelines.jobs.remediation import remediation
from qlrf_pipelines.jobs.rollout import rollout
from qlrf_pipelines.jobs.upkeep import lake_upkeep
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.settings import Settings
from sensors.approvals import decision_sensor, expiry_sweep
from sensors.drills import drill_alarms, drill_reconcile
from sensors.lost_runs import lost_runs
from sensors.notifications import notifications
from sensors.remediation import remediation_sensor
from sensors.rollouts import rollout_reconcile
from sensors.schedules import refresh_schedule, upkeep_schedule
from sensors.tenants import tenant_sync

# Dagster copies sensors with an empty list of owners, and warns of its own doing.
warnings.filterwarnings("ignore", message="Parameter `owners`", category=dg.BetaWarning)
# Jobs with a gate: what the decision sensor may start once people have approved.
GATED_JOBS = (approved_change, remediation, dr_drill)


def build(world: World, manifest: Path, *, settings: Settings | None = None) -> dg.Definitions:
    """The platform over any world: the live one, or a fake one in tests."""
    chosen = settings or Settings.from_env({})
    return dg.Definitions(
        assets=[
            inventory.inventory,
            inventory.inventory_changes,
            golden_images.golden_images,
            drift.drift,
            compliance.compliance,
            risk.risk,
            patch_sla.patch_sla,
            resilience.drills,
            resilience.resilience,
            marts_assets(manifest),
            *CONTRACTS,
        ],
        asset_checks=[*quality_checks(), *OBSERVATION_CHECKS, *PATCH_CHECKS, *RECOVERY_CHECKS],
        jobs=[refresh, lake_upkeep, rollout, dr_return, *GATED_JOBS],
        schedules=[
            refresh_schedule(cron=chosen.refresh_cron, batch=chosen.refresh_batch),
            upkeep_schedule,
        ],
        sensors=[
            tenant_sync,
            decision_sensor(GATED_JOBS),
            lost_runs(GATED_JOBS),
            expiry_sweep,
            drill_reconcile,
            drill_alarms,
            remediation_sensor,
            rollout_reconcile,
            notifications,
        ],
        resources={
            "world": world,
            "limits": Limits(
                workers=chosen.workers,
                lock_wait_seconds=float(chosen.lock_wait_seconds),
                keep_hours=chosen.keep_hours,
            ),
        },
        # A process per step costs seconds per step and gains nothing: the work is set-based.
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """The live platform, as Dagster's own processes load it."""
    settings = Settings.from_env(dict(os.environ))  # noqa: TID251  handed over, once
    return build(
        wiring.live(settings, progress=LogProgress()),
        wiring.manifest(settings),
        settings=settings,
    )
