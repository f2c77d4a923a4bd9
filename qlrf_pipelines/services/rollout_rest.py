"""The rest of a plan whose canary went by itself: it goes on once people approve, or comes back.

What a bounded rollout may not begin is kept in its row, and the database holds it to that. The
bound is lifted here and nowhere else: people's approval stands, what it relied upon still holds,
the policies have been asked about the whole plan, and one run has claimed the rest.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from qlrf_pipelines.domain.approval import (
    Approved,
    ChangesRequested,
    Conditions,
    DecisionKind,
    Expired,
    Extent,
    Pending,
    Rejected,
    Revoked,
    Standing,
)
from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.rollout import (
    FORWARD,
    OUT,
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
from qlrf_pipelines.domain.rollout_plan import read_plan
from qlrf_pipelines.domain.rollout_rules import tally
from qlrf_pipelines.domain.task_facts import conditions_facts
from qlrf_pipelines.domain.task_steps import REST, standing_of_people
from qlrf_pipelines.domain.tasks import ENDED, RUNNING, Claim, Record
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.claims import Granted, claim, limits
from qlrf_pipelines.services.plan_gates import Result
from qlrf_pipelines.services.recheck import Changed, Rechecked, Shrunk, recheck
from qlrf_pipelines.services.remediation import last_word, note
from qlrf_pipelines.services.rollout_history import hands_of
from qlrf_pipelines.services.rollout_task import follow, how_to_approve

_LOOKS = 20
_SAID: Mapping[type[Standing], str] = {
    Rejected: "rejected",
    Revoked: "revoked the approval of",
    ChangesRequested: "wants changes instead of",
}


def asks(world: World, rollout: Rollout) -> str:
    """What is asked of whom, in words that name the command to say it with."""
    record = world.tasks.get(rollout.tenant, rollout.id)
    came = standing_of_people(record, now=world.clock.now())
    if isinstance(came, Approved):
        return f"the rest is approved by {', '.join(came.by)}"
    if not isinstance(came, Pending):
        return _no(came)
    return (
        f"the rest needs approval, {came.have} of {came.need} until "
        f"{iso(came.until, digits=False)}: {how_to_approve(rollout)}"
    )


def is_asked(world: World, rollout: Rollout, *, done_at: datetime) -> bool:
    """Whether people have yet to decide about the rest of a canary that is `done_at` a moment.

    Whoever approves then has seen it, so nobody has to promote what somebody approves; whoever
    approved after that moment had seen it as well.
    """
    if rollout.bound is None or rollout.phase < rollout.bound:
        return False
    record = world.tasks.get(rollout.tenant, rollout.id)
    if isinstance(standing_of_people(record, now=world.clock.now()), Pending):
        return True
    said = [one.at for one in record.decisions if one.kind is DecisionKind.APPROVE]
    return max(said, default=rollout.started_at) >= done_at


def may_go_on(record: Record, now: datetime) -> bool:
    """Whether people approved the rest, and it may begin at this moment, or was claimed."""
    if rest_claim(record) is not None:
        return record.task.state in RUNNING
    came = standing_of_people(record, now=now)
    if not record.rest_is_asked or not isinstance(came, Approved):
        return False
    opens = came.conditions.not_before
    return opens is None or opens <= now


def rest_claim(record: Record) -> Claim | None:
    """The claim under which the rest of the newest digest is carried out."""
    mine = (record.task.digest, REST)
    return next((one for one in record.claims if (one.digest, one.stage) == mine), None)


def heed(world: World, rollout: Rollout) -> Rollout:
    """Take a canary back for whose rest people said no, or nobody said yes in time.

    Where its plan takes nothing back by itself, or nobody knows what became of an asset, it is held
    for a human instead, and the rest stays out of reach all the same.
    """
    for _ in range(_LOOKS):
        if rollout.bound is None or rollout.state not in OUT:
            return rollout
        record = world.tasks.get(rollout.tenant, rollout.id)
        why = refusal(record, now=world.clock.now())
        if not why:
            return rollout
        event, reason = _way_back(world, rollout, record, why)
        if event is RolloutEvent.HELD and rollout.state not in (
            *FORWARD,
            RolloutState.AWAITING_APPROVAL,
        ):
            return rollout
        after = _turned(world, rollout, event, reason)
        if after.seq != rollout.seq and after.state is advance(rollout, event):
            follow(world, after)
            return after
        rollout = after
    return rollout


def heed_word(world: World, tenant: TenantId, task: str) -> Rollout | None:
    """What a word about a task does to its rollout at once; None if there is no rollout."""
    try:
        found = world.rollouts.get(tenant, task)
    except NotFound:
        return None
    return heed(world, found)


def refusal(record: Record, *, now: datetime) -> str:
    """Why the rest of a task will not be approved any more; '' while it may be, or was."""
    if record.task.state in ENDED:
        return f"its task was closed as {record.task.state}"
    if not record.rest_is_asked:
        return ""
    return _no(standing_of_people(record, now=now))


def _no(came: Standing) -> str:
    if isinstance(came, Pending | Approved):
        return ""
    if isinstance(came, Expired):
        return f"nobody let the rest go in time, which was until {iso(came.at, digits=False)}"
    return f"{came.by} {_SAID[type(came)]} the rest: {came.reason}"


def _way_back(world: World, rollout: Rollout, record: Record, why: str) -> tuple[RolloutEvent, str]:
    rows = world.rollouts.rows(rollout.tenant, rollout.id)
    unknown = [row.asset for row in rows if row.state is AssetState.UNKNOWN]
    if unknown:
        lost = f"nobody knows what became of {', '.join(unknown[:3])}: look at it, then roll back"
        return RolloutEvent.HELD, f"{why}; {lost}"
    if not read_plan(record.document.content).auto_rollback:
        manual = "its policy takes nothing back by itself: roll it back, or cancel to leave it"
        return RolloutEvent.HELD, f"{why}; {manual}"
    return RolloutEvent.DENIED, why


def _turned(world: World, seen: Rollout, event: RolloutEvent, reason: str) -> Rollout:
    """One step, unless somebody was faster: then as it is now."""
    rows = world.rollouts.rows(seen.tenant, seen.id)

    def step(found: Rollout) -> Change | None:
        if found.seq != seen.seq:
            return None
        now = max(world.clock.now(), found.changed_at)
        after = turned(found, event, reason, now)
        facts = {"reason": reason, "phase": found.phase, "assets": tally(rows)}
        return Change(rollout=after, entries=(entry(after, event.value, now, **facts),))

    return world.rollouts.amend(seen.tenant, seen.id, step)


def release(world: World, rollout: Rollout, *, holder: str) -> Rollout:
    """Let the rest go on if people approved it and all it relies upon holds; else as it stands.

    To be called by whoever drives the rollout.

    Raises:
        Unavailable: what the approval relied upon cannot be asked about now; it is asked later.
    """
    while True:
        record = world.tasks.get(rollout.tenant, rollout.id)
        if not may_go_on(record, world.clock.now()):
            return rollout
        came, wrong = _looked_at(world, rollout, record)
        if wrong:
            said = f"the rest must not go on as approved: {wrong}; resume to look again, roll back"
            return _turned(world, rollout, RolloutEvent.HELD, f"{said}, or cancel to leave it")
        if rest_claim(record) is None:
            took = claim(
                world,
                rollout.tenant,
                rollout.id,
                digest=rollout.digest,
                holder=holder,
                stage=REST,
                seen=record.task.seq,
            )
            if not isinstance(took, Granted) and took.moved:
                continue
            record = took.record
        mine = rest_claim(record)
        if mine is None:
            return rollout
        gone = came.gone if isinstance(came, Shrunk) else {}
        return _released(world, rollout, record, limits(record, mine), gone)


def _looked_at(world: World, rollout: Rollout, record: Record) -> tuple[Rechecked, str]:
    """What the approval of the rest relied upon, as it is now; and what is wrong with it."""
    rows = world.rollouts.rows(rollout.tenant, rollout.id)
    ahead = [row.asset for row in rows if 0 <= row.phase <= rollout.phase]
    came = recheck(world, record.document, hands=hands_of(world), changed=ahead)
    if isinstance(came, Changed):
        note(world, record, came, of=REST)
        return came, "; ".join(came.reasons)
    gate = last_word(world, record, extent=Extent.WHOLE)
    note(world, record, came, gate, of=REST)
    denied = gate is not None and gate.result is Result.DENIED
    return came, "; ".join(gate.reasons) if gate is not None and denied else ""


def _released(
    world: World,
    seen: Rollout,
    record: Record,
    conditions: Conditions,
    gone: Mapping[str, str],
) -> Rollout:
    by = _approvers(record)
    rows = _skipped(world.rollouts.rows(seen.tenant, seen.id), gone)

    def step(found: Rollout) -> Change | None:
        if found.state is not RolloutState.AWAITING_APPROVAL:
            return None
        now = max(world.clock.now(), found.changed_at)
        said = f"the rest was approved by {', '.join(by)}"
        released = replace(
            turned(found, RolloutEvent.RELEASED, said, now),
            watch_since=None,
            phase=found.phase + 1,
            bound=None,
            max_batch=conditions.max_batch,
            not_before=conditions.not_before,
            not_after=conditions.not_after,
        )
        facts = {
            "approved_by": by,
            "phase": found.phase,
            "skipped": dict(gone),
            "conditions": conditions_facts(conditions),
        }
        event = entry(released, RolloutEvent.RELEASED.value, now, **facts)
        return Change(rollout=released, rows=rows, entries=(event,))

    return world.rollouts.amend(seen.tenant, seen.id, step)


def _approvers(record: Record) -> list[str]:
    mine = rest_claim(record)
    if mine is None:
        return []
    held = replace(record, task=replace(record.task, changed_at=mine.claimed_at))
    came = standing_of_people(held, now=mine.claimed_at)
    return list(came.by) if isinstance(came, Approved) else []


def _skipped(rows: Sequence[AssetRow], gone: Mapping[str, str]) -> tuple[AssetRow, ...]:
    return tuple(
        replace(row, state=advance_asset(row, AssetEvent.GONE), detail=gone[row.asset])
        for row in rows
        if row.asset in gone and row.state is AssetState.WAITING
    )
