"""Rollouts: an approved plan on its way, as two state tables and the rows that stand in them.

A rollout has one row, and one row for each asset it changes. A process that drives it may die at
any moment: the rows say what was begun, with which token, and what was there before.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import NewEntry, digest


class RolloutState(StrEnum):
    """Where a rollout stands; held and stuck wait for a human, forward and on the way back.

    awaiting_approval is where a canary that went by itself is done: nothing but people's approval
    of the rest leads on from there.
    """

    RUNNING = "running"
    WATCHING = "watching"
    PAUSED = "paused"
    HELD = "held"
    AWAITING_APPROVAL = "awaiting_approval"
    ROLLING_BACK = "rolling_back"
    STUCK = "stuck"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    CANCELLED = "cancelled"


class RolloutEvent(StrEnum):
    """What can happen to a rollout."""

    PHASE_DONE = "phase_done"
    WATCHED = "watched"
    FINISHED = "finished"
    PAUSED = "paused"
    RESUMED = "resumed"
    HELD = "held"
    PROMOTED = "promoted"
    RETRIED = "retried"
    ASKED = "asked"
    RELEASED = "released"
    DENIED = "denied"
    TRIPPED = "tripped"
    ROLLBACK_ASKED = "rollback_asked"
    RESTORED = "restored"
    RESTORE_FAILED = "restore_failed"
    CANCELLED = "cancelled"
    GAVE_UP = "gave_up"


class AssetState(StrEnum):
    """Where one asset of a rollout stands; unknown means that nobody can say, so it is held.

    `standing_by` has a new side beside the old one, without traffic; `to_switch` may be switched to
    it.
    """

    WAITING = "waiting"
    CHANGING = "changing"
    STANDING_BY = "standing_by"
    TO_SWITCH = "to_switch"
    DONE = "done"
    FAILED = "failed"
    UNKNOWN = "unknown"
    SKIPPED = "skipped"
    RESTORING = "restoring"
    RESTORED = "restored"
    NOT_RESTORED = "not_restored"


class AssetEvent(StrEnum):
    """What can happen to an asset of a rollout."""

    GONE = "gone"
    BEGUN = "begun"
    STOOD_BY = "stood_by"
    LET_THROUGH = "let_through"
    CHANGED = "changed"
    FAILED = "failed"
    LOST = "lost"
    RETRIED = "retried"
    SWITCH_RETRIED = "switch_retried"
    ASKED_AGAIN = "asked_again"
    UNDO_BEGUN = "undo_begun"
    UNDONE = "undone"
    NOT_UNDONE = "not_undone"


_S, _E = RolloutState, RolloutEvent
FORWARD = (_S.RUNNING, _S.WATCHING)
DRIVEN = (_S.RUNNING, _S.WATCHING, _S.ROLLING_BACK)
WAITS_FOR_HUMAN = (_S.PAUSED, _S.HELD, _S.AWAITING_APPROVAL, _S.STUCK)
# Nothing more is begun; what is in the air is followed to its end all the same.
STOPPED = (_S.PAUSED, _S.HELD, _S.STUCK)
# What is out and can still be taken back, or left where it is.
OUT = (*FORWARD, _S.PAUSED, _S.HELD, _S.AWAITING_APPROVAL)

NEXT: Mapping[tuple[RolloutState, RolloutEvent], RolloutState] = {
    (_S.RUNNING, _E.PHASE_DONE): _S.WATCHING,
    (_S.WATCHING, _E.WATCHED): _S.RUNNING,
    (_S.RUNNING, _E.WATCHED): _S.RUNNING,  # a human let the phase pass
    (_S.WATCHING, _E.PROMOTED): _S.RUNNING,
    (_S.WATCHING, _E.FINISHED): _S.COMPLETED,
    (_S.RUNNING, _E.FINISHED): _S.COMPLETED,
    **{(state, _E.PAUSED): _S.PAUSED for state in FORWARD},
    **{(state, _E.HELD): _S.HELD for state in (*FORWARD, _S.AWAITING_APPROVAL)},
    **{(state, _E.TRIPPED): _S.ROLLING_BACK for state in FORWARD},
    **{(state, _E.GAVE_UP): _S.FAILED for state in (*FORWARD, _S.HELD, _S.STUCK)},
    **{(state, _E.RESUMED): _S.RUNNING for state in (_S.PAUSED, _S.HELD)},
    (_S.HELD, _E.PROMOTED): _S.RUNNING,
    (_S.HELD, _E.RETRIED): _S.RUNNING,
    **{(state, _E.ASKED): _S.AWAITING_APPROVAL for state in FORWARD},
    (_S.AWAITING_APPROVAL, _E.RELEASED): _S.RUNNING,
    (_S.AWAITING_APPROVAL, _E.RETRIED): _S.RUNNING,
    **{(state, _E.DENIED): _S.ROLLING_BACK for state in OUT},
    **{(state, _E.ROLLBACK_ASKED): _S.ROLLING_BACK for state in OUT},
    **{(state, _E.CANCELLED): _S.CANCELLED for state in OUT},
    (_S.ROLLING_BACK, _E.RESTORED): _S.ROLLED_BACK,
    (_S.ROLLING_BACK, _E.RESTORE_FAILED): _S.STUCK,
    (_S.STUCK, _E.RETRIED): _S.ROLLING_BACK,
}
ENDED = frozenset(RolloutState) - {state for state, _ in NEXT}
# What takes a rollout back; why is kept until its end, whatever is said on the way.
_TAKES_BACK = (_E.TRIPPED, _E.ROLLBACK_ASKED, _E.DENIED)
_CANNOT = {
    _E.ROLLBACK_ASKED: "rolled back",
    _E.GAVE_UP: "given up",
    _E.WATCHED: "let pass",
    _E.PHASE_DONE: "watched",
}

_A, _B = AssetState, AssetEvent
ASSET_NEXT: Mapping[tuple[AssetState, AssetEvent], AssetState] = {
    (_A.WAITING, _B.GONE): _A.SKIPPED,
    (_A.WAITING, _B.BEGUN): _A.CHANGING,
    (_A.WAITING, _B.FAILED): _A.FAILED,
    (_A.CHANGING, _B.STOOD_BY): _A.STANDING_BY,
    (_A.STANDING_BY, _B.LET_THROUGH): _A.TO_SWITCH,
    (_A.TO_SWITCH, _B.BEGUN): _A.CHANGING,
    (_A.CHANGING, _B.CHANGED): _A.DONE,
    (_A.CHANGING, _B.FAILED): _A.FAILED,
    (_A.CHANGING, _B.LOST): _A.UNKNOWN,
    (_A.FAILED, _B.RETRIED): _A.WAITING,
    (_A.FAILED, _B.SWITCH_RETRIED): _A.TO_SWITCH,
    (_A.UNKNOWN, _B.ASKED_AGAIN): _A.CHANGING,
    **{
        (state, _B.UNDO_BEGUN): _A.RESTORING
        for state in (
            _A.WAITING,  # to be tried again, so it was touched before
            _A.CHANGING,
            _A.STANDING_BY,
            _A.TO_SWITCH,
            _A.DONE,
            _A.FAILED,
            _A.UNKNOWN,
            _A.NOT_RESTORED,
        )
    },
    (_A.RESTORING, _B.UNDONE): _A.RESTORED,
    (_A.RESTORING, _B.NOT_UNDONE): _A.NOT_RESTORED,
}
IN_FLIGHT = (_A.CHANGING, _A.RESTORING)
# What somebody has laid hands on, so that a rollback has to look at it.
TOUCHED = (
    _A.CHANGING,
    _A.STANDING_BY,
    _A.TO_SWITCH,
    _A.DONE,
    _A.FAILED,
    _A.UNKNOWN,
    _A.RESTORING,
    _A.NOT_RESTORED,
)
# What waits for its turn, whoever has laid hands on it before.
DUE = (_A.WAITING, _A.TO_SWITCH)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """A rollout's row.

    `id` is its task's. `phase` counts from 0. `attempt` is the number of the process that drives
    it, and what an earlier one still writes is refused. `watch_since` is when the phase's watch
    began; `wake_at` when a parked rollout has something to do again. `passed` is the highest phase
    a human has let pass. `taken_back` is why it is brought back, if it is. `bound` is the last
    phase that may be begun before people approve the rest, None if all of them may. `seq` grows
    with every step, as a task's does.
    """

    tenant: TenantId
    id: str
    digest: str
    environment: str
    state: RolloutState
    total: int
    started_at: datetime
    changed_at: datetime
    phase: int = 0
    attempt: int = 0
    holder: str = ""
    reason: str = ""
    taken_back: str = ""
    watch_since: datetime | None = None
    wake_at: datetime | None = None
    passed: int = -1
    bound: int | None = None
    max_batch: int | None = None
    not_before: datetime | None = None
    not_after: datetime | None = None
    seq: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class AssetRow:
    """One asset of a rollout.

    `order` is its place in the plan. `step` is the step of its work it is at (hooks, the change,
    checks); `begun` whether somebody may have called the executor for that step. `before` is its
    last known good, kept before anything changes. `tries` makes the token of a retry a new one.
    `now_id` is the asset that took its place. `until` is when to look again.
    """

    asset: str
    order: int
    phase: int
    batch: int
    state: AssetState = AssetState.WAITING
    step: int = 0
    tries: int = 0
    begun: bool = False
    before: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    now_id: str = ""
    detail: str = ""
    until: datetime | None = None
    begun_at: datetime | None = None
    ended_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One step of a rollout, kept whole or not at all; `entries` go into the evidence ledger.

    `free` gives the assets' locks back; `locks` takes those of these assets.
    """

    rollout: Rollout
    rows: tuple[AssetRow, ...] = ()
    entries: tuple[NewEntry, ...] = ()
    locks: tuple[str, ...] = ()
    free: bool = False


def advance(rollout: Rollout, event: RolloutEvent) -> RolloutState:
    """The state after an event.

    Raises:
        Refused: nothing like that can happen to a rollout in this state.
    """
    found = NEXT.get((rollout.state, event))
    if found is None:
        cannot = _CANNOT.get(event, event.value)
        raise Refused(
            f"Rollout {rollout.id} is {rollout.state}, so it cannot be {cannot}; "
            f"see `qlrf rollouts show {rollout.id} --tenant {rollout.tenant}`."
        )
    return found


def turned(rollout: Rollout, event: RolloutEvent, reason: str, now: datetime) -> Rollout:
    """A rollout after an event, and why it came to it.

    Raises:
        Refused: nothing like that can happen to a rollout in this state.
    """
    return replace(
        rollout,
        state=advance(rollout, event),
        reason=reason,
        taken_back=reason if event in _TAKES_BACK else rollout.taken_back,
        changed_at=now,
        wake_at=None,
    )


def advance_asset(row: AssetRow, event: AssetEvent) -> AssetState:
    """An asset's state after an event.

    Raises:
        Refused: nothing like that can happen to an asset in this state.
    """
    found = ASSET_NEXT.get((row.state, event))
    if found is None:
        raise Refused(f"Asset {row.asset} is {row.state}, so it cannot be {event}.")
    return found


def token(rollout: Rollout, row: AssetRow) -> str:
    """The idempotency key of what is done to an asset now: 64 hex digits, the same for ever."""
    way = "back" if row.state in (AssetState.RESTORING, AssetState.NOT_RESTORED) else "forth"
    return digest([rollout.tenant, rollout.id, rollout.digest, row.asset, way, row.step, row.tries])


def letting_go_token(rollout: Rollout, row: AssetRow) -> str:
    """The idempotency key of letting go of what was kept to bring an asset back."""
    return digest([rollout.tenant, rollout.id, rollout.digest, row.asset, "finalise", row.tries])


def entry(rollout: Rollout, step: str, now: datetime, **facts: object) -> NewEntry:
    """One step of a rollout as evidence."""
    return NewEntry(
        kind=f"rollout_{step}",
        subject=rollout.id,
        recorded_at=now,
        content={"digest": rollout.digest, "state": rollout.state.value, **facts},
    )
