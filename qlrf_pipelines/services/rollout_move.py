"""Moving the assets of a rollout, many at once: begin, follow, keep what comes of it.

What is about to be done is kept before it is done. A human's word is obeyed between two
operations: nothing is begun in a state that does not ask for it.
"""

from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.domain.operations import Status
from qlrf_pipelines.domain.rollout import (
    IN_FLIGHT,
    AssetEvent,
    AssetRow,
    AssetState,
    Change,
    Rollout,
    RolloutState,
    advance_asset,
    entry,
)
from qlrf_pipelines.domain.rollout_plan import FAILURE_PHASE
from qlrf_pipelines.domain.rollout_rules import on_trip, to_begin, to_undo, tripped, window_says
from qlrf_pipelines.services.rollout_seat import LISTEN_SECONDS, Seat
from qlrf_pipelines.services.rollout_work import Outcome, Work

_ROUNDS = 120
_NO = (Status.FAILED, Status.UNKNOWN)
_BEGINS = {
    RolloutState.RUNNING: AssetEvent.BEGUN,
    RolloutState.ROLLING_BACK: AssetEvent.UNDO_BEGUN,
}


@dataclass(slots=True, kw_only=True)
class Mover:
    """What is in the air, and what is to be asked again when."""

    seat: Seat
    work: Work
    pool: ThreadPoolExecutor
    parallel: int
    flights: "dict[Future[Outcome], str]" = field(default_factory=dict)
    polls: dict[str, datetime] = field(default_factory=dict)

    def move(self) -> None:
        """Do what the state asks for until it has nothing more to ask, or is another one.

        What is in the air when the state changes is followed to its end.
        """
        mode, now = self.seat.rollout.state, self.seat.now()
        rows = self.seat.rows.values()
        self.polls = {r.asset: now for r in rows if r.state in IN_FLIGHT and r.begun}
        while True:
            self._ask_again()
            ready = self._ready(mode)
            if self.flights or ready:
                self._keep(self._landed(block=not ready), ready, mode)
                self._trip()
            elif self.polls:
                self.seat.told(min(self.polls.values()) - self.seat.now())
            else:
                return

    def let_go(self) -> str:
        """Let go of what was kept to bring assets back; says what is left if something is.

        Nothing is kept of how far this is: done again after a crash, it finds it done.
        """
        left = [row for row in self.seat.rows.values() if self.work.keeps_something(row)]
        wrong: dict[str, str] = {}
        for _ in range(_ROUNDS):
            said = list(zip(left, self.pool.map(self.work.let_go, left), strict=True))
            wrong |= {row.asset: p.detail for row, p in said if p.status in _NO}
            going = [(row, p) for row, p in said if p.status is Status.RUNNING]
            left = [row for row, _ in going]
            if not left:
                break
            self.seat.told(timedelta(seconds=max(p.poll_seconds for _, p in going)))
        wrong |= {row.asset: "it takes too long" for row in left}
        if not wrong:
            return ""
        first, why = next(iter(wrong.items()))
        return f"; what was kept of {len(wrong)} assets is still there ({first}: {why})"

    def _ask_again(self) -> None:
        now = self.seat.now()
        for asset in [a for a, due in self.polls.items() if due <= now]:
            del self.polls[asset]
            self._send(self.seat.rows[asset], fresh=False)

    def _send(self, row: AssetRow, *, fresh: bool) -> None:
        if row.state is AssetState.WAITING:
            future = self.pool.submit(self.work.capture, row)
        else:
            future = self.pool.submit(self.work.go, row, fresh=fresh)
        self.flights[future] = row.asset

    def _ready(self, mode: RolloutState) -> list[Outcome]:
        """What may be begun at once; what has to be looked at first is sent to be looked at."""
        if self.seat.rollout.state is not mode or mode not in _BEGINS:
            return []
        flying = {*self.flights.values(), *self.polls}
        rows = list(self.seat.rows.values())
        going = AssetState.CHANGING if mode is RolloutState.RUNNING else AssetState.RESTORING
        stopped = [r for r in rows if r.state is going and not r.begun and r.asset not in flying]
        if mode is RolloutState.ROLLING_BACK:
            busy = len(flying) + len(stopped)
            back = to_undo(self.seat.plan, rows, busy=busy, parallel=self.parallel)
            stopped += [row for row in back if row.asset not in flying]
        elif self._may_begin():
            self._look_at_next(rows, flying, busy=len(stopped))
        else:
            return []
        return [Outcome(row=row, intent=True) for row in stopped]

    def _look_at_next(self, rows: list[AssetRow], flying: set[str], *, busy: int) -> None:
        # Whoever is looked at is still waiting in its row: it is counted there.
        busy += sum(1 for a in flying if self.seat.rows[a].state is not AssetState.WAITING)
        for name in to_begin(self.seat.rollout, rows, busy=busy, parallel=self.parallel):
            if name not in flying:
                self._send(self.seat.rows[name], fresh=True)

    def _may_begin(self) -> bool:
        return window_says(self.seat.plan, self.seat.rollout, self.seat.now()) is None

    def _landed(self, *, block: bool) -> list[Outcome]:
        """What came back; waits a moment for the first, as somebody may say stop meanwhile."""
        if not self.flights:
            return []
        seconds = LISTEN_SECONDS if block else 0.0
        if block and self.polls:
            left = (min(self.polls.values()) - self.seat.now()).total_seconds()
            seconds = min(seconds, max(0.0, left))
        done, _ = wait(self.flights, timeout=seconds, return_when=FIRST_COMPLETED)
        for future in done:
            del self.flights[future]
        return [future.result() for future in done]

    def _keep(self, landed: list[Outcome], ready: list[Outcome], mode: RolloutState) -> None:
        """Keep what came back and what is about to be done, together; then do that."""
        intents = [*ready, *(one for one in landed if one.intent)]
        outcomes = [one for one in landed if not one.intent]
        if not outcomes and not intents:
            self.seat.refresh()
            return
        begun: list[AssetRow] = []
        kept: list[AssetRow] = []

        def step(found: Rollout) -> Change | None:
            now = max(self.seat.now(), found.changed_at)
            begun[:], kept[:] = self._sorted(intents, found, mode, now)
            ended = [_ended(found, one, now) for one in outcomes]
            kept.extend(row for row, _ in ended)
            if not begun and not kept:
                return None
            entries = tuple(fact for _, fact in ended if fact is not None)
            changed = replace(found, changed_at=now)
            return Change(rollout=changed, rows=(*kept, *begun), entries=entries)

        self.seat.amend(step)
        self.seat.rows |= {row.asset: row for row in (*kept, *begun)}
        now = self.seat.now()
        for one in outcomes:
            if one.event is None:
                self.polls[one.row.asset] = now + timedelta(seconds=one.wait)
        for row in begun:
            self._send(row, fresh=True)

    def _sorted(
        self, intents: Iterable[Outcome], found: Rollout, mode: RolloutState, now: datetime
    ) -> tuple[list[AssetRow], list[AssetRow]]:
        """What is begun now, and what is only kept: where somebody said stop, nothing begins."""
        begun: list[AssetRow] = []
        kept: list[AssetRow] = []
        allowed = found.state is mode and (mode is RolloutState.ROLLING_BACK or self._may_begin())
        for one in intents:
            row = one.row
            fresh = not _goes_on(row, mode)
            if allowed:
                begun.append(_begun(row, mode, now) if fresh else replace(row, begun=True))
            elif not fresh:
                kept.append(replace(row, begun=False))
        return begun, kept

    def _trip(self) -> None:
        seat = self.seat
        if seat.rollout.state is not RolloutState.RUNNING:
            return
        phase = seat.plan.phases[seat.rollout.phase]
        why = tripped(phase, list(seat.rows.values()), seat.rollout.phase)
        if why is not None:
            seat.turn(*on_trip(seat.plan, why))


def _goes_on(row: AssetRow, mode: RolloutState) -> bool:
    """Whether a row is on its way already, and in this direction."""
    if row.phase == FAILURE_PHASE or mode is not RolloutState.ROLLING_BACK:
        return row.state in IN_FLIGHT
    return row.state is AssetState.RESTORING


def _begun(row: AssetRow, mode: RolloutState, now: datetime) -> AssetRow:
    event = AssetEvent.BEGUN if row.phase == FAILURE_PHASE else _BEGINS[mode]
    return replace(
        row,
        state=advance_asset(row, event),
        step=0,
        begun=True,
        checkpoint={},
        detail="begun",
        until=None,
        begun_at=now,
        ended_at=None,
    )


def _ended(rollout: Rollout, one: Outcome, now: datetime) -> tuple[AssetRow, NewEntry | None]:
    """The row after an outcome, and the evidence of it if something ended."""
    if one.event is None:
        return one.row, None
    row = replace(one.row, state=advance_asset(one.row, one.event), ended_at=now, until=None)
    facts = {
        "asset": row.asset,
        "outcome": row.state.value,
        "detail": row.detail,
        "tries": row.tries,
        "asset_now": row.now_id,
    }
    return row, entry(rollout, f"asset_{one.event}", now, **facts)
