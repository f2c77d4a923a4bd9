"""Moving the assets of a rollout, many at once: begin, follow, keep what comes of it.

What is about to be done is kept before it is done. A human's word is obeyed between two
operations: nothing is begun in a state that does not ask for it.
"""

from collections import deque
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from queue import Empty, SimpleQueue

from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.domain.operations import Status
from qlrf_pipelines.domain.rollout import (
    DUE,
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
from qlrf_pipelines.services.rollout_work import LONGEST, Outcome, Work

_NAP = timedelta(seconds=30)
_NO = (Status.FAILED, Status.UNKNOWN)
_BAD = (AssetEvent.FAILED, AssetEvent.LOST, AssetEvent.NOT_UNDONE)
_BEGINS = {
    RolloutState.RUNNING: AssetEvent.BEGUN,
    RolloutState.ROLLING_BACK: AssetEvent.UNDO_BEGUN,
}


@dataclass(slots=True, kw_only=True)
class Next:
    """What is changed next on the way forward: stopped on its way, to be looked at, looked at.

    The rows are gone through when they may say something new, not for each asset.
    """

    seat: Seat
    parallel: int
    queue: "deque[str]" = field(default_factory=deque)
    stopped: list[str] = field(default_factory=list)
    looked: set[str] = field(default_factory=set)
    ready: "deque[Outcome]" = field(default_factory=deque)
    known: bool = False

    @property
    def limit(self) -> int:
        """How many may be changed at once."""
        return min(self.parallel, self.seat.rollout.max_batch or self.parallel)

    def forget(self) -> None:
        """Go through the rows again; what was looked at is looked at again."""
        self.known = False
        self.queue.clear()
        self.stopped.clear()
        self.looked.clear()
        self.ready.clear()

    def to_look_at(self, flying: set[str]) -> list[str]:
        """The next assets to look at, so that as many are ready as may be changed at once."""
        if not self.known or not (self.queue or self.looked):
            self._go_through(flying)
        room = self.limit - len(self.looked)
        found = [self.queue.popleft() for _ in range(min(room, len(self.queue)))]
        self.looked.update(found)
        return found

    def take(self, *, busy: int, flying: set[str]) -> list[Outcome]:
        """What may be begun with so many under way."""
        rows = self.seat.rows
        found = [Outcome(row=rows[a], intent=True) for a in self.stopped if a not in flying]
        self.stopped.clear()
        while self.ready and busy + len(found) < self.limit:
            one = self.ready.popleft()
            self.looked.discard(one.row.asset)
            if _looked_at(rows[one.row.asset]):
                found.append(one)
        return found

    def seen(self, landed: Iterable[Outcome]) -> None:
        """Take in what was looked at: it is ready now, or it is over with it."""
        for one in landed:
            if one.intent and _looked_at(one.row):
                self.looked.add(one.row.asset)
                self.ready.append(one)
            elif one.event is not None:
                self.looked.discard(one.row.asset)

    def _go_through(self, flying: set[str]) -> None:
        rows = list(self.seat.rows.values())
        self.known = True
        self.queue.extend(a for a in to_begin(self.seat.rollout, rows) if a not in flying)
        self.stopped = [r.asset for r in rows if r.state is AssetState.CHANGING and not r.begun]


@dataclass(slots=True, kw_only=True)
class Mover:
    """What is in the air, and what is to be asked again when."""

    seat: Seat
    work: Work
    pool: ThreadPoolExecutor
    parallel: int
    flights: "dict[Future[Outcome], str]" = field(default_factory=dict)
    # What came down says so itself: to ask forty of them each time costs more than their news.
    down: "SimpleQueue[Future[Outcome]]" = field(default_factory=SimpleQueue)
    polls: dict[str, datetime] = field(default_factory=dict)
    last: datetime | None = None
    next: Next = field(init=False)

    def move(self) -> None:
        """Do what the state asks for until it has nothing more to ask, or is another one.

        What is in the air when the state changes is followed to its end.
        """
        mode, now = self.seat.rollout.state, self.seat.now()
        rows = self.seat.rows.values()
        self.polls = {r.asset: now for r in rows if r.state in IN_FLIGHT and r.begun}
        self.next = Next(seat=self.seat, parallel=self.parallel)
        doubt = True
        while True:
            self._ask_again()
            self._look_ahead(mode)
            ready = self._ready(mode, [], taken=0)
            if self.flights or ready:
                doubt |= self._turned(mode, ready)
                if doubt:
                    self._trip()
                doubt = False
            elif self.polls:
                self.seat.told(min(_NAP, min(self.polls.values()) - self.seat.now()))
            else:
                if doubt:
                    self._trip()  # whoever kept the last failure may have died of it
                return

    def _turned(self, mode: RolloutState, ready: list[Outcome]) -> bool:
        """Take in what landed and begin what is ready; whether something went wrong.

        What went wrong is kept and thought of before anything else is begun.
        """
        landed = self._landed(block=not ready)
        wrong = any(one.event in _BAD for one in landed)
        if wrong:
            ready.clear()
        else:
            ready += self._ready(mode, landed, taken=len(ready))
        self.next.seen(landed)
        self._keep(landed, ready, mode)
        if wrong:
            self.next.forget()
        return wrong

    def let_go(self) -> str:
        """Let go of what was kept to bring assets back; says what is left if something is.

        It stops where somebody says something else. Nothing is kept of how far this is: done
        again after a crash, it finds it done.
        """
        state = self.seat.rollout.state
        left = [row for row in self.seat.rows.values() if self.work.keeps_something(row)]
        wrong: dict[str, str] = {}
        until = self.seat.now() + LONGEST
        while left and self.seat.now() < until:
            said = list(zip(left, self.pool.map(self.work.let_go, left), strict=True))
            self._renamed([(row, p.asset_id) for row, p in said if p.asset_id])
            wrong |= {row.asset: p.detail for row, p in said if p.status in _NO}
            going = [(row, p) for row, p in said if p.status is Status.RUNNING]
            left = [row for row, _ in going]
            if left:
                self.seat.told(timedelta(seconds=max(1.0, *(p.poll_seconds for _, p in going))))
            if self.seat.rollout.state is not state:
                return ""
        wrong |= {row.asset: "it takes too long" for row in left}
        if not wrong:
            return ""
        first, why = next(iter(wrong.items()))
        return f"; what was kept of {len(wrong)} assets is still there ({first}: {why})"

    def _renamed(self, now: list[tuple[AssetRow, str]]) -> None:
        """What letting go has given its old name back, or another one."""
        rows = tuple(replace(row, now_id=name) for row, name in now if row.now_id != name)
        if rows:
            self.seat.amend(lambda found: Change(rollout=found, rows=rows))
            self.seat.rows |= {row.asset: row for row in rows}

    def _ask_again(self) -> None:
        now = self.seat.now()
        if self.last is not None and now < self.last:
            # The clock was set back: what is due by the old time is not waited for by the new.
            self.polls = dict.fromkeys(self.polls, now)
        self.last = now
        for asset in [a for a, due in self.polls.items() if due <= now]:
            del self.polls[asset]
            self._send(self.seat.rows[asset], fresh=False)

    def _send(self, row: AssetRow, *, fresh: bool) -> None:
        if _looked_at(row):
            future = self.pool.submit(self.work.capture, row)
        else:
            future = self.pool.submit(self.work.go, row, fresh=fresh)
        self.flights[future] = row.asset
        future.add_done_callback(self.down.put)

    def _look_ahead(self, mode: RolloutState) -> None:
        """Look at what is changed next before there is room for it: looking changes nothing."""
        if not self._begins(mode):
            self.next.forget()
            # Nobody waits for a look at what is not to be changed now: it may never come.
            rows = self.seat.rows
            self.polls = {a: due for a, due in self.polls.items() if not _looked_at(rows[a])}
            return
        for name in self.next.to_look_at({*self.flights.values(), *self.polls}):
            self._send(self.seat.rows[name], fresh=True)

    def _begins(self, mode: RolloutState) -> bool:
        running = mode is RolloutState.RUNNING and self.seat.rollout.state is mode
        return running and self._may_begin()

    def _ready(self, mode: RolloutState, landed: list[Outcome], *, taken: int) -> list[Outcome]:
        """What may be begun at once: what was stopped, and what was looked at, as there is room.

        What landed makes room for more.
        """
        if mode is RolloutState.ROLLING_BACK and self.seat.rollout.state is mode:
            return [] if landed or taken else self._back()
        if not self._begins(mode):
            return []
        going_on = [one for one in landed if one.event is None and not _looked_at(one.row)]
        flying = {*self.flights.values(), *self.polls}
        busy = len(flying - self.next.looked) + len(going_on) + taken
        return self.next.take(busy=busy, flying=flying)

    def _back(self) -> list[Outcome]:
        flying = {*self.flights.values(), *self.polls}
        rows = list(self.seat.rows.values())
        stopped = [
            r
            for r in rows
            if r.state is AssetState.RESTORING and not r.begun and r.asset not in flying
        ]
        busy = len(flying) + len(stopped)
        back = to_undo(self.seat.plan, rows, busy=busy, parallel=self.parallel)
        stopped += [row for row in back if row.asset not in flying]
        return [Outcome(row=row, intent=True) for row in stopped]

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
        done: list[Future[Outcome]] = []
        with suppress(Empty):
            done.append(self.down.get(timeout=seconds) if seconds else self.down.get_nowait())
            while True:
                done.append(self.down.get_nowait())
        for future in done:
            del self.flights[future]
        return [future.result() for future in done]

    def _keep(self, landed: list[Outcome], ready: list[Outcome], mode: RolloutState) -> None:
        """Keep what came back and what is about to be done, together; then do that."""
        intents = [*ready, *(one for one in landed if one.intent and not _looked_at(one.row))]
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
                goes_on = replace(row, begun=True, begun_at=now)
                begun.append(_begun(row, mode, now) if fresh else goes_on)
            elif not fresh:
                kept.append(replace(row, begun=False))
        return begun, kept

    def _trip(self) -> None:
        seat = self.seat
        at, passed = seat.rollout.phase, seat.rollout.passed
        if seat.rollout.state is not RolloutState.RUNNING or passed >= at:
            return
        why = tripped(seat.plan.phases[at], list(seat.rows.values()), at, passed=passed)
        if why is not None:
            seat.turn(*on_trip(seat.plan, why))


def _looked_at(row: AssetRow) -> bool:
    return row.state in DUE


def _goes_on(row: AssetRow, mode: RolloutState) -> bool:
    """Whether a row is on its way already, and in this direction."""
    if row.phase == FAILURE_PHASE or mode is not RolloutState.ROLLING_BACK:
        return row.state in IN_FLIGHT
    return row.state is AssetState.RESTORING


def _begun(row: AssetRow, mode: RolloutState, now: datetime) -> AssetRow:
    event = AssetEvent.BEGUN if row.phase == FAILURE_PHASE else _BEGINS[mode]
    on_to_switch = event is AssetEvent.BEGUN and row.state is AssetState.TO_SWITCH
    return replace(
        row,
        state=advance_asset(row, event),
        step=row.step if on_to_switch else 0,
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
