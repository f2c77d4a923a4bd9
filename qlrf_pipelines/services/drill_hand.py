"""A process with a drill in its hands: alone, fenced, and able to go on where another one died."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from qlrf_pipelines.domain import drill_steps
from qlrf_pipelines.domain.drills import (
    NEXT,
    DrillEvent,
    DrillRecord,
    DrillStep,
    Phase,
)
from qlrf_pipelines.domain.errors import Refused, Rejected, Unavailable
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.measurement import Instant, elapsed
from qlrf_pipelines.domain.recovery import Member, Serving, Side
from qlrf_pipelines.domain.recovery_plans import RecoveryPlan, plan_of
from qlrf_pipelines.ports.recovery import RecoverySession
from qlrf_pipelines.ports.world import World

# How long a process waits for the one before it to let go; a dead one lets go at once.
LOCK_SECONDS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How a phase ended, and why."""

    event: DrillEvent
    why: str = ""
    facts: dict[str, Any] = field(default_factory=dict)


PASSED = Ending(event=DrillEvent.PASSED)


def failed(why: str, **facts: Any) -> Ending:  # noqa: ANN401
    """A phase that did not do what it was there for."""
    return Ending(event=DrillEvent.FAILED, why=why, facts=facts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hand:
    """One attempt at taking one drill further; every step of it is refused once it is taken over.

    Sessions are opened once per member and kept for the phase.
    """

    world: World
    tenant: TenantId
    drill: str
    attempt: int
    plan: RecoveryPlan
    only: tuple[str, ...]
    test: bool
    sessions: dict[str, RecoverySession] = field(default_factory=dict)

    @property
    def members(self) -> tuple[Member, ...]:
        """The members this drill is about, in the order in which they move."""
        return tuple(member for wave in self.waves for member in wave)

    @property
    def waves(self) -> tuple[tuple[Member, ...], ...]:
        """The members that move together."""
        return self.plan.waves(self.only)

    def now(self) -> Instant:
        """This moment on both clocks."""
        return self.world.stopwatch.now()

    def since(self, start: Instant) -> float:
        """Seconds since an instant; none at all if no clock saw both."""
        return elapsed(start, self.now()) or 0.0

    def record(self) -> DrillRecord:
        """The drill as it is kept, if it is still ours.

        Raises:
            Refused: another process took it over.
        """
        return drill_steps.mine(self.world.drills.get(self.tenant, self.drill), self.attempt)

    def amend(self, step: Callable[[DrillRecord, Instant], DrillStep | None]) -> DrillRecord:
        """Take one step, if the drill is still ours."""
        now = self.now()

        def mine(record: DrillRecord) -> DrillStep | None:
            return step(drill_steps.mine(record, self.attempt), now)

        return self.world.drills.amend(self.tenant, self.drill, mine)

    def note(self, kind: str, **facts: Any) -> DrillRecord:  # noqa: ANN401
        """Keep that something happened."""
        return self.amend(lambda record, now: drill_steps.noted(record, kind, now, **facts))

    def end(self, phase: Phase, ending: Ending) -> DrillRecord:
        """End a phase; one that ended already, by a step whose answer was lost, stays ended."""
        facts = dict(ending.facts)
        if NEXT.get((phase, ending.event)) is Phase.HELD:
            facts["live"] = self.live()

        def step(record: DrillRecord, now: Instant) -> DrillStep | None:
            if record.drill.phase is not phase:
                return None
            return drill_steps.ended(record, ending.event, now, why=ending.why, **facts)

        return self.amend(step)

    def session(self, member: Member) -> RecoverySession:
        """A member within reach.

        Raises:
            Rejected: nobody here can move it, or its settings lead nowhere.
            Unavailable: it does not answer.
        """
        if member.name not in self.sessions:
            adapter = self.world.recovery.get(member.adapter)
            if adapter is None:
                known = ", ".join(sorted(self.world.recovery)) or "none"
                raise Rejected(
                    f"Member {member.name} needs the adapter {member.adapter}; there is {known}."
                )
            self.sessions[member.name] = adapter.open(member)
        return self.sessions[member.name]

    def live(self) -> dict[str, dict[str, str]]:
        """What each side of each member does; what cannot be seen is unknown."""
        found: dict[str, dict[str, str]] = {}
        for member in self.members:
            try:
                sides = self.session(member).serving()
            except (Rejected, Refused, Unavailable):
                sides = {}
            found[member.name] = {s.value: str(sides.get(s, Serving.UNKNOWN)) for s in Side}
        return found


@contextmanager
def driving(world: World, tenant: TenantId, drill: str, *, holder: str) -> Iterator[Hand]:
    """Take a drill into one's hands until the block ends; the kernel lets go of it at any death.

    Raises:
        Refused: another process has it, or it is closed.
    """
    with world.locks.hold([f"drill:{tenant}:{drill}"], wait_seconds=LOCK_SECONDS):
        now = world.stopwatch.now()
        record = world.drills.amend(
            tenant, drill, lambda kept: drill_steps.taken(kept, holder=holder, now=now)
        )
        yield Hand(
            world=world,
            tenant=tenant,
            drill=drill,
            attempt=record.drill.attempt,
            plan=plan_of(record.drill.document),
            only=record.drill.only,
            test=record.drill.test,
        )
