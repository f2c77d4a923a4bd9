"""From an approval to its execution: claimed once, checked at the last moment, ended in words.

Also what the clock does by itself: expire, remind, open windows.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from qlrf_pipelines.domain import task_clock, task_steps
from qlrf_pipelines.domain.approval import Approved, Conditions, Extent, Standing
from qlrf_pipelines.domain.errors import Refused, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.tasks import Amendment, Claim, Record, Task, TaskEvent, TaskState
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import EXECUTE


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """This run, and no other one, may carry out this stage of this digest, less `left_out`."""

    record: Record
    claim: Claim
    conditions: Conditions
    left_out: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Withheld:
    """Nothing may run now: what the task stands at, or which run has it already.

    `moved` is whether it took a step after it was looked at, so that it must be looked at again.
    """

    record: Record
    standing: Standing
    taken_by: str = ""
    moved: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """What the clock did in one sweep, as task ids per tenant; `left` says that more is due.

    `too_late` are those whose canary is out and whose rest nobody approved in time.
    """

    expired: tuple[tuple[TenantId, str], ...] = ()
    reminded: tuple[tuple[TenantId, str], ...] = ()
    opened: tuple[tuple[TenantId, str], ...] = ()
    too_late: tuple[tuple[TenantId, str], ...] = ()
    left: bool = False


def claim(
    world: World,
    tenant: TenantId,
    task: str,
    *,
    digest: str,
    holder: str,
    stage: str = EXECUTE,
    seen: int | None = None,
) -> Granted | Withheld:
    """Take the right to carry out one stage of a digest; given once, to one run.

    The same holder asking again is given the same claim: a step that is tried again within its
    run does not lock itself out. With `seen`, the number of the step after which the task was
    looked at, nothing is given if it took another one since. Withheld means that nothing may run:
    look at the task's digest and state for why.
    """
    found: list[Claim | Standing | None] = []

    def step(record: Record) -> Amendment | None:
        now = task_steps.moment(record, world.clock.now())
        if seen is not None and record.task.seq != seen:
            found[:] = [None]
            return None
        mine = Claim(digest=digest, stage=stage, holder=holder, claimed_at=now)
        came = task_steps.claimed(record, mine)
        found[:] = [came.claims[0] if isinstance(came, Amendment) else came]
        return came if isinstance(came, Amendment) else None

    record = world.tasks.amend(tenant, task, step)
    came = found[0]
    if came is None:
        standing = task_steps.standing_of(record, now=world.clock.now())
        return Withheld(record=record, standing=standing, moved=True)
    if isinstance(came, Claim):
        if came.holder == holder and record.task.state is TaskState.EXECUTING:
            return Granted(record=record, claim=came, conditions=limits(record, came))
        standing = task_steps.standing_of(record, now=came.claimed_at)
        return Withheld(record=record, standing=standing, taken_by=came.holder)
    return Withheld(record=record, standing=came)


def limits(record: Record, claimed: Claim) -> Conditions:
    """The limits its approval sets on what was claimed, as they stood when it was.

    Raises:
        Refused: it was not approved then.
    """
    if claimed.extent is Extent.CANARY:
        return record.task.requirement.limits
    mine = [one for one in record.claims if one.digest == claimed.digest]
    first = min(one.claimed_at for one in mine if one.extent is Extent.WHOLE)
    held = replace(record, task=replace(record.task, changed_at=first))
    came = task_steps.standing_of(held, now=first)
    if not isinstance(came, Approved):
        raise Refused(f"Task {record.task.id} was claimed, and is not approved: it may not run.")
    return came.conditions


def require_claim(
    world: World,
    tenant: TenantId,
    task: str,
    *,
    digest: str,
    holder: str,
    stage: str = EXECUTE,
    canary: bool = False,
) -> Record:
    """Make sure, at the last moment, that this run is the one that may carry this out.

    `canary` is said by whoever knows where a canary ends: nobody else gets one without its rest.

    Raises:
        Refused: another run holds the claim, or nobody does, or the task is not executing, or only
            its canary may go.
    """
    record = world.tasks.get(tenant, task)
    mine = {(one.digest, one.stage): one for one in record.claims}.get((digest, stage))
    held = None if mine is None else mine.holder
    if mine is not None and mine.extent is Extent.CANARY and not canary:
        raise Refused(
            f"Only the canary of task {task} may go by itself, and this would carry out all of it: "
            "nothing was done."
        )
    if held != holder or record.task.digest != digest:
        raise Refused(
            f"Stage {stage} of task {task} at digest {digest[:12]} belongs to "
            f"{f'run {held}' if held else 'no run'}, not to {holder}: nothing was done."
        )
    if record.task.state is not TaskState.EXECUTING:
        raise Refused(f"Task {task} is {record.task.state}, so nothing of it runs.")
    return record


_OUTCOMES: Mapping[TaskState, TaskEvent] = {
    TaskState.COMPLETED: TaskEvent.COMPLETED,
    TaskState.ROLLED_BACK: TaskEvent.ROLLED_BACK,
    TaskState.FAILED: TaskEvent.FAILED,
    TaskState.CANCELLED: TaskEvent.STOPPED,
    TaskState.PAUSED: TaskEvent.PAUSED,
    TaskState.EXECUTING: TaskEvent.RESUMED,
}


def finish(
    world: World, tenant: TenantId, task: str, *, outcome: TaskState, by: str, detail: str = ""
) -> Task:
    """Say how an execution ended, or that it pauses or goes on; `by` is the run or the person.

    Raises:
        Refused: the task is not executing.
        Rejected: that is no outcome of an execution.
    """
    if outcome not in _OUTCOMES:
        raise Rejected(f"An execution does not end {outcome}.")

    def step(record: Record) -> Amendment | None:
        if record.task.state is outcome:
            return None
        now = task_steps.moment(record, world.clock.now())
        return task_steps.finished(record, _OUTCOMES[outcome], now=now, by=by, detail=detail)

    return world.tasks.amend(tenant, task, step).task


def sweep(world: World, tenants: Iterable[TenantId], *, limit: int = 500) -> Sweep:
    """Do what the clock asks for: expire, remind, open windows; at most `limit` tasks."""
    done: dict[str, list[tuple[TenantId, str]]] = {}
    count = 0
    for tenant in tenants:
        for task in world.tasks.due(tenant, now=world.clock.now(), limit=limit - count):
            count += 1
            for what in _look(world, tenant, task.id):
                done.setdefault(what, []).append((tenant, task.id))
        if count >= limit:
            break
    return Sweep(
        expired=tuple(done.get("approval_expired", ())),
        reminded=tuple(done.get("approval_reminded", ())),
        opened=tuple(done.get("approval_window_opened", ())),
        too_late=tuple(done.get("approval_rest_expired", ())),
        left=count >= limit,
    )


def _look(world: World, tenant: TenantId, task: str) -> list[str]:
    kinds: list[str] = []

    def step(record: Record) -> Amendment | None:
        now = task_steps.moment(record, world.clock.now())
        taken = task_clock.on_time(record, now=now)
        kinds[:] = [] if taken is None else [one.kind for one in taken.entries]
        return taken

    world.tasks.amend(tenant, task, step)
    return kinds
