"""Driving a rollout: one process at a time, which may die anywhere and is followed by the next."""

import gc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.rollout import (
    ENDED,
    IN_FLIGHT,
    WAITS_FOR_HUMAN,
    AssetRow,
    AssetState,
    Change,
    Rollout,
    RolloutEvent,
    RolloutState,
    entry,
)
from qlrf_pipelines.domain.rollout_plan import HOOK_ROW, read_plan
from qlrf_pipelines.domain.rollout_rules import (
    failures,
    in_phase,
    let_through,
    on_trip,
    settled,
    to_undo,
    unfinished,
    window_says,
)
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.rollout_move import Mover
from qlrf_pipelines.services.rollout_rest import asks, heed, is_asked, release
from qlrf_pipelines.services.rollout_seat import Seat
from qlrf_pipelines.services.rollout_task import LOCK_SECONDS, follow, lock_name
from qlrf_pipelines.services.rollout_watch import Says, look
from qlrf_pipelines.services.rollout_work import Operators, Work

PARALLEL = 20
HOLD_SECONDS = 30.0


def drive(
    world: World,
    tenant: TenantId,
    rollout: str,
    *,
    holder: str,
    hold_seconds: float = HOLD_SECONDS,
    parallel: int = PARALLEL,
) -> Rollout:
    """Take a rollout as far as it goes without a human, or until it has long to wait.

    Waits of up to `hold_seconds` are slept through here; longer ones end this process' part, and
    the rollout says when it wants to be driven again.

    Raises:
        Refused: another process drives it.
        NotFound: the tenant has no such rollout.
        Unavailable: the database does not answer; nothing is lost.
    """
    with world.locks.hold([lock_name(tenant, rollout)], wait_seconds=LOCK_SECONDS):
        taken = _take(world, tenant, rollout, holder=holder)
        record = world.tasks.get(tenant, rollout)
        if record.document.digest != taken.digest:
            raise Refused(
                f"Task {rollout} is about another digest than its rollout: nothing of it runs."
            )
        seat = Seat(
            world=world,
            plan=read_plan(record.document.content),
            rollout=taken,
            rows={row.asset: row for row in world.rollouts.rows(tenant, rollout)},
            hold=timedelta(seconds=hold_seconds),
        )
        work = Work(
            world=world,
            operators=Operators(world, tenant),
            plan=seat.plan,
            rollout=taken,
            rows=lambda: seat.rows,
        )
        # Twice as many: while some are changed, the next ones are looked at.
        workers = ThreadPoolExecutor(2 * parallel, thread_name_prefix="rollout")
        with _nothing_old_collected(), workers as pool:
            mover = Mover(seat=seat, work=work, pool=pool, parallel=parallel)
            return _Driver(seat, mover).run()


@contextmanager
def _nothing_old_collected() -> Iterator[None]:
    """Look for garbage among what is made from here on.

    A process that has Dagster loaded holds half a million objects; each time they are all gone
    through, everything that is in the air waits for a tenth of a second.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _take(world: World, tenant: TenantId, rollout: str, *, holder: str) -> Rollout:
    def step(found: Rollout) -> Change | None:
        now = max(world.clock.now(), found.changed_at)
        taken = replace(
            found, attempt=found.attempt + 1, holder=holder, wake_at=None, changed_at=now
        )
        facts = {"attempt": taken.attempt, "holder": holder}
        return Change(rollout=taken, entries=(entry(taken, "driven", now, **facts),))

    return world.rollouts.amend(tenant, rollout, step)


@dataclass(slots=True)
class _Driver:
    """One attempt: what follows from what."""

    seat: Seat
    mover: Mover
    parked: bool = False

    def run(self) -> Rollout:
        """Until it ends, waits for a human, or waits for long."""
        while not self.parked:
            self._heed()
            follow(self.seat.world, self.seat.rollout)
            if self.seat.rollout.state in ENDED:
                self.mover.move()
                return self._over()
            if not self._step():
                break
        return self.seat.rollout

    def _step(self) -> bool:
        """What the state asks for; False if it waits for a human, and none spoke."""
        seat, state = self.seat, self.seat.rollout.state
        if state is RolloutState.AWAITING_APPROVAL:
            return self._released()
        if state is RolloutState.WATCHING:
            self._watch()
        elif state in WAITS_FOR_HUMAN:
            self.mover.move()
            return seat.rollout.state is not state or seat.told(seat.hold)
        elif self._window_is_open():
            self.mover.move()
            if seat.rollout.state is state:
                self._after()
        return True

    def _heed(self) -> None:
        """Take a canary back if the rest of its plan was refused meanwhile."""
        if self.seat.rollout.bound is not None:
            heed(self.seat.world, self.seat.rollout)
            self.seat.refresh(always=True)

    def _released(self) -> bool:
        """Go on with the rest if people have approved it; whether anything changed."""
        seat = self.seat
        release(seat.world, seat.rollout, holder=seat.rollout.holder)
        seat.refresh(always=True)
        return seat.rollout.state is not RolloutState.AWAITING_APPROVAL

    def _window_is_open(self) -> bool:
        """Whether something may be begun now; if not, wait for the window or ask a human."""
        seat = self.seat
        rows = seat.rows.values()
        if (
            seat.rollout.state is not RolloutState.RUNNING
            or settled(seat.rollout, rows)
            or any(row.state in IN_FLIGHT and row.begun for row in rows)
        ):
            return True
        says = window_says(seat.plan, seat.rollout, seat.now())
        if isinstance(says, str):
            seat.turn(RolloutEvent.HELD, f"{says}: plan the rest anew, or roll it back")
        elif says is not None:
            self._wait_until(says, "its window has not opened yet")
        return says is None

    def _after(self) -> None:
        """What follows once nothing is in the air any more."""
        seat = self.seat
        rows = list(seat.rows.values())
        if seat.rollout.state is RolloutState.ROLLING_BACK:
            self._after_back(rows)
        elif seat.rollout.state is RolloutState.RUNNING:
            unknown = [row for row in rows if row.state is AssetState.UNKNOWN]
            if unknown:
                seat.turn(RolloutEvent.HELD, f"nobody knows what became of {_named(unknown)}")
            elif settled(seat.rollout, rows):
                self._after_phase(rows)

    def _after_phase(self, rows: list[AssetRow]) -> None:
        seat, rollout = self.seat, self.seat.rollout
        mine = in_phase(rows, rollout.phase)
        hooks = [row for row in failures(mine) if row.asset.startswith(HOOK_ROW)]
        phase = seat.plan.phases[rollout.phase]
        if rollout.passed >= rollout.phase:
            self._next_phase(rows, "it was let pass")
        elif hooks:
            seat.turn(RolloutEvent.HELD, f"{_named(hooks)}")
        elif phase.preview and failures(mine):
            seat.turn(
                RolloutEvent.HELD,
                f"{len(failures(mine))} new sides are not fit to be switched to "
                f"({_named(failures(mine))}): retry them, roll back, or promote to switch the rest",
            )
        else:
            since = rollout.watch_since or seat.now()
            did = "stands beside what serves" if phase.preview else "is changed"
            seat.turn(RolloutEvent.PHASE_DONE, f"{phase.name} {did}", watch_since=since)

    def _watch(self) -> None:
        seat = self.seat
        rows = list(seat.rows.values())
        came = look(seat.world, seat.plan, seat.rollout, rows, seat.now())
        phase = seat.plan.phases[seat.rollout.phase]
        if came.says is Says.WAIT and came.again_at is not None:
            self._wait_until(came.again_at, f"{phase.name} is watched")
        elif came.says is Says.TRIP:
            seat.turn(*on_trip(seat.plan, came.reason))
        elif came.says is Says.HOLD:
            self._hold(came.reason)
        elif phase.asks and not seat.plan.auto_promote and not self._is_asked(rows):
            self._hold(f"{came.reason} and passed; promote it to go on")
        else:
            self._next_phase(rows, came.reason)

    def _is_asked(self, rows: list[AssetRow]) -> bool:
        """Whether people are asked about the rest, or were when the canary had been watched."""
        seat, started = self.seat, self.seat.rollout.started_at
        ended = max((row.ended_at for row in rows if row.ended_at is not None), default=started)
        done_at = ended + seat.plan.phases[seat.rollout.phase].wait
        return is_asked(seat.world, seat.rollout, done_at=done_at)

    def _hold(self, reason: str) -> None:
        self.seat.turn(RolloutEvent.HELD, reason, watch_since=self.seat.rollout.watch_since)

    def _next_phase(self, rows: list[AssetRow], why: str) -> None:
        """On to the next phase; after the last one it is over, and how is said as it is."""
        seat, rollout = self.seat, self.seat.rollout
        broken = unfinished(rows)
        if rollout.bound is not None and rollout.phase >= rollout.bound:
            failed = failures(rows)
            wrong = f"; {len(failed)} assets failed" if failed else ""
            said = f"{why}{wrong}; {asks(seat.world, rollout)}"
            seat.turn(RolloutEvent.ASKED, said, watch_since=rollout.watch_since)
        elif rollout.phase + 1 < len(seat.plan.phases):
            through = let_through(rows, rollout.phase)
            seat.turn(RolloutEvent.WATCHED, why, phase=rollout.phase + 1, rows=through)
        elif not broken:
            left = self.mover.let_go()
            if seat.rollout.state is rollout.state:
                seat.turn(RolloutEvent.FINISHED, f"every asset is changed and healthy{left}")
        elif rollout.passed >= rollout.phase:
            seat.turn(RolloutEvent.GAVE_UP, f"{len(broken)} assets failed and were let be")
        else:
            self._hold(
                f"{len(broken)} of {rollout.total} assets failed, too few to take it back: "
                "retry them, roll back, or promote to end it as failed"
            )

    def _after_back(self, rows: list[AssetRow]) -> None:
        seat = self.seat
        lost = [row for row in rows if row.state is AssetState.NOT_RESTORED]
        if to_undo(seat.plan, rows, busy=0, parallel=1):
            return
        why = seat.rollout.taken_back or seat.rollout.reason
        if lost:
            said = f"{why}; {len(lost)} assets could not be brought back: {_named(lost)}"
            seat.turn(RolloutEvent.RESTORE_FAILED, said)
        else:
            left = self.mover.let_go()
            seat.turn(RolloutEvent.RESTORED, f"{why}; brought back and verified{left}")

    def _over(self) -> Rollout:
        """Give the locks back, now that nothing is in the air."""
        self.seat.amend(lambda found: Change(rollout=found, free=True))
        follow(self.seat.world, self.seat.rollout)
        return self.seat.rollout

    def _wait_until(self, moment: datetime, why: str) -> None:
        """Sleep until then, or leave word when to go on if that is long."""
        left = moment - self.seat.now()
        if left <= self.seat.hold:
            self.seat.told(left)
        else:
            self.parked = self.seat.leave_word(moment, why)


def _named(rows: list[AssetRow]) -> str:
    return "; ".join(f"{row.asset}: {row.detail}" for row in rows[:3])
