"""Rollouts' use cases: begin one, look at it, say something to it; rollout_drive drives it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from qlrf_pipelines.domain.approval import Conditions, Extent
from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.operations import target_of
from qlrf_pipelines.domain.roles import Permission, Role, may
from qlrf_pipelines.domain.rollout import (
    ENDED,
    IN_FLIGHT,
    AssetEvent,
    AssetRow,
    AssetState,
    Change,
    Rollout,
    RolloutEvent,
    RolloutState,
    advance,
    advance_asset,
    entry,
    turned,
)
from qlrf_pipelines.domain.rollout_plan import RolloutPlan, read_plan
from qlrf_pipelines.domain.rollout_rules import begins_again_at, tally, tried_again
from qlrf_pipelines.domain.tasks import Record, TaskState
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvers import approvers, claimed_extent
from qlrf_pipelines.services.claims import finish, require_claim
from qlrf_pipelines.services.rollout_task import (
    LOCK_SECONDS,
    follow,
    how_to_approve,
    lock_name,
)

_LOOKS = 20
Taken = tuple[Rollout, tuple[AssetRow, ...]]


def begin(
    world: World, record: Record, conditions: Conditions, *, skipped: Mapping[str, str]
) -> Rollout:
    """Open the rollout of a task that a run has claimed; the same again finds the same.

    `skipped` are assets of the plan that are gone, and why: they are not changed, and it is said.

    Raises:
        Refused: no run has claimed the digest, another rollout holds one of its assets, or nobody
            here can change its platforms.
        Rejected: the document is no plan.
    """
    task = record.task
    plan = read_plan(record.document.content)
    platforms = {target_of(asset).platform for asset in plan.assets}
    if missing := sorted(platforms - set(world.executors)):
        raise Refused(
            f"Plan {plan.id}: there is no executor for {', '.join(missing)} here; carry it out "
            "yourself (mode plan_only), or plan the other platforms alone."
        )
    now = world.clock.now()
    rows = tuple(_skipped(row, skipped) for row in plan.rows)
    extent = claimed_extent(record)
    rollout = Rollout(
        tenant=task.tenant,
        id=task.id,
        digest=task.digest,
        environment=plan.environment,
        state=RolloutState.RUNNING,
        total=len(plan.assets),
        started_at=now,
        changed_at=now,
        bound=plan.canary_phase if extent is Extent.CANARY else None,
        max_batch=conditions.max_batch,
        not_before=conditions.not_before,
        not_after=conditions.not_after,
    )
    facts = {
        "plan": plan.id,
        "assets": len(plan.assets),
        "skipped": dict(skipped),
        "approved_by": approvers(record, extent),
        **({"extent": extent.value} if extent is Extent.CANARY else {}),
        "document": dict(record.document.content),
    }
    return world.rollouts.open(
        task.tenant,
        Change(
            rollout=rollout,
            rows=rows,
            locks=tuple(a for a in plan.assets if a not in skipped),
            entries=(entry(rollout, "begun", now, **facts),),
        ),
    )


def begin_claimed(
    world: World,
    tenant: TenantId,
    task: str,
    *,
    digest: str,
    holder: str,
    conditions: Conditions,
    skipped: Mapping[str, str],
) -> Rollout:
    """Open the rollout of what this very run has claimed.

    If another rollout holds one of its assets, nothing is changed and the task ends as failed.

    Raises:
        Refused: the claim is not this run's, or an asset is being changed by another rollout.
        Rejected: the document is no plan.
    """
    with world.locks.hold([lock_name(tenant, task)], wait_seconds=LOCK_SECONDS):
        record = require_claim(world, tenant, task, digest=digest, holder=holder, canary=True)
        return begin_or_fail(world, record, conditions, skipped=skipped, by=holder)


def begin_or_fail(
    world: World,
    record: Record,
    conditions: Conditions,
    *,
    skipped: Mapping[str, str],
    by: str,
) -> Rollout:
    """Open a rollout; if that is refused, the task ends as failed, and nothing was changed.

    Raises:
        Refused, Rejected: as begin.
    """
    try:
        return begin(world, record, conditions, skipped=skipped)
    except (Refused, Rejected) as error:
        task, why = record.task, f"nothing was changed: {error}"
        finish(world, task.tenant, task.id, outcome=TaskState.FAILED, by=by, detail=why)
        raise


def _skipped(row: AssetRow, skipped: Mapping[str, str]) -> AssetRow:
    if row.asset not in skipped:
        return row
    return replace(row, state=AssetState.SKIPPED, detail=skipped[row.asset])


def pause(
    world: World, tenant: TenantId, rollout: str, *, by: str, role: Role, reason: str = ""
) -> Rollout:
    """Begin nothing more until somebody resumes; what is in the air is followed to its end.

    Raises:
        Refused: it is not on its way forward, or this person may not.
    """
    return _say(world, tenant, rollout, RolloutEvent.PAUSED, by=by, role=role, reason=reason)


def resume(
    world: World, tenant: TenantId, rollout: str, *, by: str, role: Role, reason: str = ""
) -> Rollout:
    """Go on where it stopped.

    Raises:
        Refused: it neither pauses nor is held, or this person may not.
    """
    return _say(world, tenant, rollout, RolloutEvent.RESUMED, by=by, role=role, reason=reason)


def promote(
    world: World, tenant: TenantId, rollout: str, *, by: str, role: Role, reason: str = ""
) -> Rollout:
    """Let the phase pass that is watched or held, whatever its watch says.

    Raises:
        Refused: nothing waits to pass, an asset is unknown, this person may not, or it waits for
            people to approve the rest of its plan, which is another thing.
    """

    def let(found: Rollout, rows: Sequence[AssetRow]) -> Taken:
        unknown = [row.asset for row in rows if row.state is AssetState.UNKNOWN]
        if unknown:
            raise Refused(
                f"Nobody knows what became of {', '.join(unknown[:3])}: look at it, then retry it "
                "or roll back; it cannot be promoted past."
            )
        return replace(found, passed=found.phase), ()

    event = RolloutEvent.PROMOTED
    return _say(world, tenant, rollout, event, by=by, role=role, reason=reason, change=let)


def retry(
    world: World, tenant: TenantId, rollout: str, *, by: str, role: Role, reason: str = ""
) -> Rollout:
    """Try again what failed, and ask again for what is unknown; on the way back, likewise.

    What failed is done anew, under a new token, and what comes after it is watched from the start.
    What is unknown is only asked for again, under its old one: it is never done twice.

    Raises:
        Refused: it is not held, nothing failed, or this person may not.
    """
    plan = read_plan(world.tasks.get(tenant, rollout).document.content)

    def again(found: Rollout, rows: Sequence[AssetRow]) -> Taken:
        now = world.clock.now()
        tried = (_again(plan, found, row, now) for row in rows)
        changed = tuple(row for row in tried if row is not None)
        if not changed:
            raise Refused(f"Rollout {found.id} has nothing that failed; nothing to try again.")
        if found.state is RolloutState.STUCK:
            return found, changed
        phase, passed = begins_again_at(plan, found, changed)
        # What is changed again is watched again.
        return replace(found, phase=phase, passed=passed, watch_since=None), changed

    event = RolloutEvent.RETRIED
    return _say(world, tenant, rollout, event, by=by, role=role, reason=reason, change=again)


def _again(plan: RolloutPlan, rollout: Rollout, row: AssetRow, now: datetime) -> AssetRow | None:
    if rollout.state is RolloutState.STUCK:
        if row.state is not AssetState.NOT_RESTORED:
            return None
        return replace(
            row,
            state=advance_asset(row, AssetEvent.UNDO_BEGUN),
            step=0,
            tries=row.tries + 1,
            begun=False,
            checkpoint={},
        )
    if row.state is AssetState.FAILED:
        return tried_again(plan, row)
    if row.state is AssetState.UNKNOWN:
        # It is given as long as at first: whoever was away for long did not use its time.
        asked = advance_asset(row, AssetEvent.ASKED_AGAIN)
        return replace(row, state=asked, begun=True, begun_at=now)
    return None


def rollback(
    world: World, tenant: TenantId, rollout: str, *, by: str, role: Role, reason: str = ""
) -> Rollout:
    """Bring back every asset that was changed, the last one first.

    Raises:
        Refused: it is over, or is on its way back, or this person may not.
    """
    event = RolloutEvent.ROLLBACK_ASKED
    return _say(world, tenant, rollout, event, by=by, role=role, reason=reason)


def cancel(
    world: World, tenant: TenantId, rollout: str, *, by: str, role: Role, reason: str = ""
) -> Rollout:
    """End it where it is: what is changed stays changed. A stuck way back is given up as failed.

    Raises:
        Refused: it is over, or is on its way back, or this person may not.
    """
    stuck = world.rollouts.get(tenant, rollout).state is RolloutState.STUCK
    event = RolloutEvent.GAVE_UP if stuck else RolloutEvent.CANCELLED
    return _say(world, tenant, rollout, event, by=by, role=role, reason=reason)


def _say(
    world: World,
    tenant: TenantId,
    rollout: str,
    event: RolloutEvent,
    *,
    by: str,
    role: Role,
    reason: str,
    change: Callable[[Rollout, Sequence[AssetRow]], Taken] | None = None,
) -> Rollout:
    if not by.strip():
        raise Rejected("Somebody must say so; give a name with --as.")
    if not may(role, Permission.EXECUTE_ROLLOUT):
        raise Refused(f"{by} is {role}: rollouts are steered by engineers and admins.")
    for _ in range(_LOOKS):
        seen = world.rollouts.get(tenant, rollout)
        _for_people(seen, event)
        rows = world.rollouts.rows(tenant, rollout)
        words = _Words(event=event, by=by, role=role, reason=reason, change=change, rows=rows)
        after = world.rollouts.amend(tenant, rollout, partial(words.step, world, seen))
        if words.taken:
            follow(world, after)
            return _given_back(world, after) if after.state in ENDED else after
    raise Refused(f"Rollout {rollout} took a step whenever it was looked at; say it again.")


def _for_people(rollout: Rollout, event: RolloutEvent) -> None:
    """What waits for the approval of its plan goes on by that, and by nothing else."""
    passes = event in (RolloutEvent.PROMOTED, RolloutEvent.RESUMED)
    if passes and rollout.state is RolloutState.AWAITING_APPROVAL:
        raise Refused(
            f"Rollout {rollout.id}: its canary went by itself, and the rest of its plan goes on "
            f"once people have approved it: {how_to_approve(rollout)}"
        )


@dataclass(slots=True, kw_only=True)
class _Words:
    """What somebody says to a rollout, and the rows it is about."""

    event: RolloutEvent
    by: str
    role: Role
    reason: str
    change: Callable[[Rollout, Sequence[AssetRow]], Taken] | None
    rows: Sequence[AssetRow]
    taken: bool = False

    def step(self, world: World, seen: Rollout, found: Rollout) -> Change | None:
        """The step to keep; None if rows it depends on may be others by now."""
        self.taken = False
        if self.change is not None and found.seq != seen.seq:
            return None
        now = max(world.clock.now(), found.changed_at)
        event, by, reason, change = self.event, self.by, self.reason, self.change
        said = f"{by}: {reason}" if reason else f"{event.value.replace('_', ' ')} by {by}"
        advance(found, event)  # refused before anything else is
        taken, changed = change(found, self.rows) if change is not None else (found, ())
        taken = turned(taken, event, said, now)
        facts = {
            "by": by,
            "role": self.role.value,
            "reason": reason,
            "phase": found.phase,
            "again": [row.asset for row in changed],
            "assets": tally(self.rows),
        }
        self.taken = True
        return Change(
            rollout=taken, rows=changed, entries=(entry(taken, event.value, now, **facts),)
        )


def _given_back(world: World, ended: Rollout) -> Rollout:
    """Give the locks of what is over back, unless something is still in the air.

    The rows are looked at after its end was kept: from then on nothing is begun any more.
    """
    rows = world.rollouts.rows(ended.tenant, ended.id)
    if any(row.state in IN_FLIGHT and row.begun for row in rows):
        return ended
    return world.rollouts.amend(
        ended.tenant, ended.id, lambda found: Change(rollout=found, free=True)
    )


def find_rollout(world: World, tenant: TenantId, named: str) -> Rollout:
    """A rollout by its id or the beginning of it.

    Raises:
        NotFound: none begins so, or several do.
    """
    found = world.rollouts.find(tenant, prefix=named) if named else ()
    if len(found) != 1:
        several = f" begins several: {', '.join(r.id for r in found)}" if found else " is none"
        raise NotFound(
            f"Tenant {tenant}: {named or 'an empty id'}{several} of its rollouts; "
            f"see `qlrf rollouts list --tenant {tenant}`."
        )
    return found[0]
