"""The driver's seat of a rollout: what is kept, one step after the other, by one attempt alone."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.rollout import (
    IN_FLIGHT,
    AssetRow,
    Change,
    Rollout,
    RolloutEvent,
    entry,
    turned,
)
from qlrf_pipelines.domain.rollout_plan import RolloutPlan
from qlrf_pipelines.domain.rollout_rules import tally
from qlrf_pipelines.ports.world import World

LISTEN_SECONDS = 1.0


@dataclass(slots=True, kw_only=True)
class Seat:
    """One attempt at driving: the rows as they are kept, and the only way to change them."""

    world: World
    plan: RolloutPlan
    rollout: Rollout
    rows: dict[str, AssetRow]
    hold: timedelta
    looked: datetime = field(init=False)

    def __post_init__(self) -> None:
        self.looked = self.world.clock.now()

    def now(self) -> datetime:
        """The present moment."""
        return self.world.clock.now()

    def amend(self, step: Callable[[Rollout], Change | None]) -> None:
        """Keep one step; refused once another attempt drives."""
        mine = self.rollout
        others: list[bool] = []

        def seen(found: Rollout) -> Change | None:
            others[:] = [found.seq != mine.seq]
            return step(found)

        self.rollout = self.world.rollouts.amend(mine.tenant, mine.id, seen, attempt=mine.attempt)
        self.looked = self.now()
        if any(others):
            self._see_others()

    def turn(
        self,
        event: RolloutEvent,
        reason: str,
        *,
        phase: int | None = None,
        watch_since: datetime | None = None,
        rows: Sequence[AssetRow] = (),
    ) -> None:
        """One step of the rollout itself, with `rows`; if a human was faster, theirs is obeyed."""
        before = self.rollout.state
        taken: list[AssetRow] = []

        def step(found: Rollout) -> Change | None:
            taken.clear()
            if found.state is not before:
                return None
            taken.extend(rows)
            now = max(self.now(), found.changed_at)
            after = replace(
                turned(found, event, reason, now),
                phase=found.phase if phase is None else phase,
                watch_since=watch_since,
            )
            facts = {"reason": reason, "phase": found.phase, "assets": tally(self.rows.values())}
            facts_kept = (entry(after, event.value, now, **facts),)
            return Change(rollout=after, rows=tuple(taken), entries=facts_kept)

        self.amend(step)
        self.rows |= {row.asset: row for row in taken}

    def leave_word(self, moment: datetime, why: str) -> bool:
        """Say when to be driven again; False if a human was faster."""
        before = self.rollout.state

        def step(found: Rollout) -> Change | None:
            if found.state is not before:
                return None
            return Change(rollout=replace(found, wake_at=moment, reason=why))

        self.amend(step)
        return self.rollout.state is before

    def told(self, patience: timedelta) -> bool:
        """Sleep for as long, or until somebody changes something; whether somebody did."""
        seconds = patience.total_seconds()
        mine = self.rollout
        if seconds <= 0 or not self.world.rollouts.wait(
            mine.tenant, mine.id, after=mine.seq, seconds=seconds
        ):
            return False
        self.refresh(always=True)
        return True

    def refresh(self, *, always: bool = False) -> None:
        """See what somebody else may have said, about once a second.

        Raises:
            Refused: another attempt drives.
        """
        if not always and (self.now() - self.looked).total_seconds() < LISTEN_SECONDS:
            return
        self.looked = self.now()
        mine, found = self.rollout, self.world.rollouts.get(self.rollout.tenant, self.rollout.id)
        if found.attempt != mine.attempt:
            raise Refused(f"Rollout {found.id} is driven by {found.holder} now; this one stops.")
        self.rollout = found
        if found.seq != mine.seq:
            self._see_others()

    def _see_others(self) -> None:
        """Take over what a human changed: never a row that is in the air here."""
        stored = self.world.rollouts.rows(self.rollout.tenant, self.rollout.id)
        mine = self.rows
        self.rows |= {row.asset: row for row in stored if mine[row.asset].state not in IN_FLIGHT}
