"""A rollout and its task say the same: whoever was killed between the two is made up for here."""

from collections.abc import Mapping

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.rollout import Rollout, RolloutState
from qlrf_pipelines.domain.tasks import RUNNING, TaskState
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.claims import finish

# How long somebody who takes a rollout over waits for whoever has just let go of it.
LOCK_SECONDS = 5.0

_TASK: Mapping[RolloutState, TaskState] = {
    RolloutState.RUNNING: TaskState.EXECUTING,
    RolloutState.WATCHING: TaskState.EXECUTING,
    RolloutState.ROLLING_BACK: TaskState.EXECUTING,
    RolloutState.PAUSED: TaskState.PAUSED,
    RolloutState.HELD: TaskState.PAUSED,
    RolloutState.AWAITING_APPROVAL: TaskState.PAUSED,
    RolloutState.STUCK: TaskState.PAUSED,
    RolloutState.COMPLETED: TaskState.COMPLETED,
    RolloutState.ROLLED_BACK: TaskState.ROLLED_BACK,
    RolloutState.FAILED: TaskState.FAILED,
    RolloutState.CANCELLED: TaskState.CANCELLED,
}


def lock_name(tenant: TenantId, rollout: str) -> str:
    """The lock whoever begins or drives a rollout holds while it lives; gone with its process."""
    return f"rollout:{tenant}:{rollout}"


def how_to_approve(rollout: Rollout) -> str:
    """The command by which somebody approves the plan of a rollout."""
    return (
        f"qlrf tasks approve {rollout.id} --tenant {rollout.tenant} --digest {rollout.digest[:12]}"
    )


def follow(world: World, rollout: Rollout) -> None:
    """Bring the task of a rollout to the state that says the same; nothing if it is there."""
    task = world.tasks.task(rollout.tenant, rollout.id)
    wanted = _TASK[rollout.state]
    if task.state is wanted or task.state not in RUNNING:
        return
    if task.state is TaskState.PAUSED and rollout.state is RolloutState.COMPLETED:
        # A human let the last phase pass: it goes on for a moment, and is over.
        finish(world, rollout.tenant, rollout.id, outcome=TaskState.EXECUTING, by=rollout.holder)
    finish(
        world,
        rollout.tenant,
        rollout.id,
        outcome=wanted,
        by=rollout.holder or "rollout",
        detail=rollout.reason,
    )
