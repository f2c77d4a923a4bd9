"""Closing a task by hand: for executions nobody hears the end of, and for no others."""

from qlrf_pipelines.domain.drills import Phase
from qlrf_pipelines.domain.errors import NotFound, Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.roles import Permission, Role, may
from qlrf_pipelines.domain.rollout import ENDED
from qlrf_pipelines.domain.tasks import Task, TaskState
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.claims import finish

_DRILL = "drill:"


def close(
    world: World,
    tenant: TenantId,
    task: str,
    *,
    outcome: TaskState,
    by: str,
    role: Role,
    reason: str,
) -> Task:
    """Say how an execution ended whose run died without a word.

    A rollout and a drill say that themselves, whatever died: their task is not closed over them.

    Raises:
        Refused: a rollout or a drill carries it out or ended otherwise, it is not executing, or
            this person may not.
    """
    if not may(role, Permission.EXECUTE_ROLLOUT):
        raise Refused(f"{by} is {role}; closing takes an engineer or more (--role).")
    found = world.tasks.get(tenant, task).task
    _not_over_a_rollout(world, found, outcome)
    _not_over_a_drill(world, found)
    return finish(world, tenant, task, outcome=outcome, by=by, detail=reason)


def _not_over_a_rollout(world: World, task: Task, outcome: TaskState) -> None:
    try:
        rollout = world.rollouts.get(task.tenant, task.id)
    except NotFound:
        return
    if rollout.state not in ENDED or rollout.state.value != outcome.value:
        raise Refused(
            f"Task {task.id} ends as its rollout does, which is {rollout.state}: "
            f"see `qlrf rollouts show {task.id} --tenant {task.tenant}`, and steer that."
        )


def _not_over_a_drill(world: World, task: Task) -> None:
    if not task.key.startswith(_DRILL):
        return
    own = task.key.removeprefix(_DRILL)
    try:
        drill = world.drills.get(task.tenant, own).drill
    except NotFound:
        return
    if drill.phase is not Phase.CLOSED:
        raise Refused(
            f"Task {task.id} ends as its drill does, which is in {drill.phase}: "
            f"see `qlrf drills show {own} --tenant {task.tenant}`, and steer that."
        )
