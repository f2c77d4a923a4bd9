"""What is seen of a service while it moves: probes that ask it, and numbers written through it.

Both run beside the moves in threads of their own: a service that does not answer must not hold up
the one who brings it back, nor make the recovery look slower than it was.
"""

from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, Self

from qlrf_pipelines.domain.drills import Phase
from qlrf_pipelines.domain.errors import Rejected, Unavailable
from qlrf_pipelines.domain.measurement import Answer, CanaryWrite, Instant, elapsed
from qlrf_pipelines.domain.operations import Health, HealthReport
from qlrf_pipelines.domain.recovery import Member, Side
from qlrf_pipelines.domain.recovery_plans import ProbeRule, ProbeType
from qlrf_pipelines.ports.recovery import Canary
from qlrf_pipelines.services.drill_hand import Hand

# A quick answer is waited for, so that it is read at the moment it was asked for.
GRACE_SECONDS = 0.05
# Numbers of the workload phase begin here: they say nothing about what was lost.
WORKLOAD = 1_000_000_000


class Companion(AbstractContextManager["Companion"]):
    """Something done again and again beside the moves, at most once at a time."""

    def __init__(self, hand: Hand, *, every: float) -> None:
        self.hand = hand
        self.every = every
        self._pool = ThreadPoolExecutor(2)
        self._begun: Instant | None = None
        self._running: Future[None] | None = None

    def act(self) -> None:
        """Do it once."""

    def next_in(self) -> float:
        """Seconds until it is due."""
        if self._begun is None:
            return 0.0
        passed = elapsed(self._begun, self.hand.now())
        return 0.0 if passed is None else max(0.0, self.every - passed)

    def tick(self) -> None:
        """Begin it if it is due and the last one is over; what failed in it is raised here."""
        if self.next_in() <= 0:
            self.hurry()

    def hurry(self) -> None:
        """Begin it now, due or not, if the last one is over."""
        if self._running is not None and self._running.done():
            self._running.result()
            self._running = None
        if self._running is None:
            self._begun = self.hand.now()
            self._running = self._pool.submit(self.act)
            wait([self._running], timeout=GRACE_SECONDS)

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let what still runs end by itself."""
        self._pool.shutdown(wait=False)


class Idle(Companion):
    """Nothing beside the moves."""

    def __init__(self, hand: Hand) -> None:
        super().__init__(hand, every=1.0)

    def tick(self) -> None:
        """Do nothing."""

    def hurry(self) -> None:
        """Do nothing."""

    def next_in(self) -> float:
        """Never due."""
        return self.every


class Prober(Companion):
    """Asks every probe of the plan, round after round, and keeps every answer."""

    def __init__(self, hand: Hand, phase: Phase) -> None:
        super().__init__(hand, every=hand.plan.pace.interval_seconds)
        self._phase = phase
        self._askers = ThreadPoolExecutor(max(1, len(hand.plan.probes)))

    def act(self) -> None:
        """One round: all probes at the same time."""
        self.round()

    def round(self) -> list[Answer]:
        """Ask every probe once, keep the answers and return them."""
        answers = list(self._askers.map(self._ask, self.hand.plan.probes))
        self.hand.world.drills.record(
            self.hand.tenant, self.hand.drill, attempt=self.hand.attempt, answers=answers
        )
        return answers

    def _ask(self, probe: ProbeRule) -> Answer:
        try:
            said = self._said(probe)
        except (Rejected, Unavailable) as error:
            said = HealthReport(health=Health.UNKNOWN, why=str(error))
        return Answer(
            probe=probe.name,
            health=said.health,
            instant=self.hand.now(),
            why=said.why[:500],
            phase=self._phase.value,
        )

    def _said(self, probe: ProbeRule) -> HealthReport:
        seconds = self.hand.plan.pace.timeout_seconds
        if probe.type in (ProbeType.HTTP, ProbeType.TCP):
            target = probe.test_target if self.hand.test else probe.target
            if not target:
                why = "the probe has no testTarget, so it cannot see an isolated test"
                return HealthReport(health=Health.UNKNOWN, why=why)
            outside = {"type": probe.type.value, "target": target}
            return self.hand.world.probes.probe(outside, timeout_seconds=seconds)
        member = next(m for m in self.hand.plan.members if m.name == probe.member)
        check: dict[str, Any] = {
            "type": probe.type.value,
            "statement": probe.statement,
            "command": probe.command,
            "expect": probe.expect,
        }
        return self.hand.session(member).ask(
            Side.RECOVERY, check, drill=self.hand.drill, timeout_seconds=seconds
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let what still runs end by itself."""
        self._askers.shutdown(wait=False)
        super().__exit__(kind, error, trace)


class Writer(Companion):
    """Writes the next number into every member that takes canary writes, and keeps what it heard.

    A number is kept as attempted before it is written, and as acknowledged after: whoever dies in
    between leaves a number that nobody vouches for.
    """

    def __init__(self, hand: Hand) -> None:
        super().__init__(hand, every=hand.plan.canary.interval_seconds)
        kept = hand.world.drills.writes(hand.tenant, hand.drill)
        self._next = max((w.number for w in kept if w.number < WORKLOAD), default=0) + 1
        self._canaries = canaries(hand, Side.PRIMARY)
        self._writers = ThreadPoolExecutor(max(1, len(self._canaries)))

    def act(self) -> None:
        """One number into every member, at the same time."""
        number, self._next = self._next, self._next + 1
        list(
            self._writers.map(lambda one: write(self.hand, one[0], one[1], number), self._canaries)
        )

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Let what still runs end by itself."""
        self._writers.shutdown(wait=False)
        super().__exit__(kind, error, trace)


def canary_members(hand: Hand) -> tuple[Member, ...]:
    """The members of this drill that the plan writes numbers into."""
    return tuple(m for m in hand.members if m.name in hand.plan.canary.members)


def canaries(hand: Hand, side: Side) -> Sequence[tuple[Member, Canary]]:
    """The canaries of one side, of the members that have one."""
    found = (
        (member, hand.session(member).canary(side, drill=hand.drill))
        for member in canary_members(hand)
    )
    return [(member, canary) for member, canary in found if canary is not None]


def write(hand: Hand, member: Member, canary: Canary, number: int) -> bool:
    """Write one number and keep what was heard; says whether it was acknowledged."""
    attempted = CanaryWrite(member=member.name, number=number, attempted=hand.now())
    _keep(hand, attempted)
    try:
        canary.write(hand.drill, number)
    except Unavailable:
        return False
    acknowledged = CanaryWrite(
        member=member.name,
        number=number,
        attempted=attempted.attempted,
        acknowledged=hand.now(),
    )
    _keep(hand, acknowledged)
    return True


def _keep(hand: Hand, one: CanaryWrite) -> None:
    hand.world.drills.record(hand.tenant, hand.drill, attempt=hand.attempt, writes=[one])
