"""How a task came to stand where it does, beyond what people decided."""

from qlrf_pipelines.domain.approval import Standing
from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.domain.task_steps import standing_of
from qlrf_pipelines.domain.tasks import OPEN, RUNNING, Record, TaskState
from qlrf_pipelines.ports.world import World

# What people decided says itself why; of these only a rollout or the evidence does.
_TOLD = (*RUNNING, TaskState.COMPLETED, TaskState.ROLLED_BACK, TaskState.FAILED)
_STEP = "approval_"


def stood(world: World, record: Record) -> Standing:
    """What a task's decisions come to now; of one that has begun or ended, what they came to then.

    The time an approval may wait for its use is over for every task one day; that says nothing of
    one that was used in time.
    """
    now = world.clock.now()
    if record.claims:
        now = min(now, record.claims[-1].claimed_at)
    elif record.task.state not in OPEN:
        now = min(now, record.task.changed_at)
    return standing_of(record, now=now)


def outcome_of(world: World, record: Record) -> str:
    """How its rollout stands, or what was said when it ended without one; empty if nothing was."""
    task = record.task
    if task.state is TaskState.CANCELLED or task.state in _TOLD:
        try:
            rollout = world.rollouts.get(task.tenant, task.id)
        except NotFound:
            return "" if task.state in RUNNING else _last_word(world, record)
        why = f": {rollout.reason}" if rollout.reason else ""
        return f"its rollout is {rollout.state}{why}"
    return ""


def _last_word(world: World, record: Record) -> str:
    """What its last step says in the evidence, which is gone through: few end without a rollout."""
    said = ""
    for entry in world.ledger.entries(record.task.tenant):
        if entry.subject == record.task.id and entry.kind.startswith(_STEP):
            said = str(entry.content.get("detail") or entry.content.get("reason") or "")
    return said
