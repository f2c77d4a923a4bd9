"""The job that drives a rollout on: the next attempt after a wait, a resume or a dead process.

It also begins what was claimed by a run that died before it began; see services/rollout_takeup.py.
"""

import dagster as dg

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.rollout import Rollout, RolloutState
from qlrf_pipelines.jobs.approval import TASK_TAG, TENANT_TAG
from qlrf_pipelines.jobs.failures import told_to_dagster
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.rollout_drive import HOLD_SECONDS, PARALLEL, drive
from qlrf_pipelines.services.rollout_takeup import take_up

ROLLOUT = "rollout"
ATTEMPT_TAG = "qlrf/attempt"


class Driving(dg.Config):
    """How a rollout is driven: how long one run waits, and how many assets change at once."""

    hold_seconds: float = HOLD_SECONDS
    parallel: int = PARALLEL
    tenant: str = ""
    rollout: str = ""


@dg.op(description="Drives a rollout as far as it goes without a human.")
def drive_rollout(
    context: dg.OpExecutionContext, config: Driving, world: dg.ResourceParam[World]
) -> None:
    """Drive the rollout this run was started for; tags name it, or the launchpad's configuration.

    It is not retried here: the next attempt is the reconcile sensor's to ask for.
    """
    tags = context.run.tags
    tenant = TenantId(config.tenant or tags.get(TENANT_TAG, ""))
    named = config.rollout or tags.get(TASK_TAG, "")
    with told_to_dagster():
        if take_up(world, tenant, named, holder=context.run_id) is None:
            ended = world.tasks.get(tenant, named).task
            context.log.warning(f"Task {named} of tenant {tenant} is {ended.state}: not begun.")
            return
        found = drive(
            world,
            tenant,
            named,
            holder=context.run_id,
            hold_seconds=config.hold_seconds,
            parallel=config.parallel,
        )
    context.log.info(explain(found))


@dg.job(name=ROLLOUT, description="Goes on with a rollout that was begun.")
def rollout() -> None:
    """One step: the rows say what there is to do."""
    drive_rollout()


def explain(found: Rollout) -> str:
    """How a rollout stands, and what a human can do about it."""
    named = f"Rollout {found.id} of tenant {found.tenant} is {found.state}: {found.reason}."
    if found.wake_at is not None:
        return f"{named} It goes on at {found.wake_at:%Y-%m-%d %H:%M:%S} UTC, by itself."
    if found.state is RolloutState.AWAITING_APPROVAL:
        return f"{named} Decide: qlrf tasks show {found.id} --tenant {found.tenant}"
    if found.state in ("paused", "held", "stuck"):
        return f"{named} Decide: qlrf rollouts show {found.id} --tenant {found.tenant}"
    return named
