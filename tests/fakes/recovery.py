"""Members that fail over in memory, and the truth about them."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from qlrf_pipelines.domain.errors import Rejected, Unavailable
from qlrf_pipelines.domain.operations import Health, HealthReport, Progress, Status
from qlrf_pipelines.domain.recovery import (
    Member,
    Move,
    MoveKind,
    Replication,
    ReplicationStatus,
    Serving,
    Side,
)
from qlrf_pipelines.domain.recovery_plans import ProbeType
from qlrf_pipelines.ports.probes import Probes
from qlrf_pipelines.ports.recovery import Canary, RecoveryAdapter, RecoverySession
from tests.fakes.stopwatch import FakeStopwatch


@dataclass
class FakeMember:
    """What is true of one member, whatever anybody measures.

    `lag` writes are not replicated yet. `warm_up` seconds pass between the move that makes a side
    live and its first answer. A move in `polls` takes that many calls; one in `fails` fails, one in
    `unknown` nobody can tell.
    """

    stopwatch: FakeStopwatch
    sides: dict[Side, Serving] = field(
        default_factory=lambda: {Side.PRIMARY: Serving.LIVE, Side.RECOVERY: Serving.STANDBY}
    )
    lag: int = 0
    warm_up: float = 0.0
    polls: dict[MoveKind, int] = field(default_factory=dict)
    fails: set[MoveKind] = field(default_factory=set)
    unknown: set[MoveKind] = field(default_factory=set)
    refuses: set[MoveKind] = field(default_factory=set)
    unavailable: int = 0
    flaps: list[bool] = field(default_factory=list)
    status: ReplicationStatus = ReplicationStatus.IN_SYNC
    answers_as_standby: bool = False
    stays: list[str] = field(default_factory=list)
    written: list[tuple[str, int]] = field(default_factory=list)
    there: dict[Side, set[tuple[str, int]]] = field(
        default_factory=lambda: {Side.PRIMARY: set(), Side.RECOVERY: set()}
    )
    made: list[str] = field(default_factory=list)
    moved: list[MoveKind] = field(default_factory=list)
    calls: dict[str, int] = field(default_factory=dict)
    done: dict[str, Progress] = field(default_factory=dict)
    ready_ticks: int = 0
    test: bool = False
    door: threading.RLock = field(default_factory=threading.RLock)

    def serves(self, side: Side) -> bool:
        """Whether that side answers its clients at this moment."""
        live = self.sides[side] is Serving.LIVE or self.answers_as_standby
        return live and self.stopwatch.now().ticks >= self.ready_ticks

    def write(self, side: Side, drill: str, number: int) -> None:
        with self.door:
            if self.sides[side] is not Serving.LIVE:
                raise Unavailable(f"The {side} takes no writes.")
            self.written.append((drill, number))
            self.there[side].add((drill, number))
            if side is Side.PRIMARY:
                ready = self.written[: max(0, len(self.written) - self.lag)]
                self.there[Side.RECOVERY].update(ready)

    def move(self, move: Move) -> Progress:
        with self.door:
            if move.kind in self.refuses:
                raise Rejected(f"There is no {move.kind} for this member.")
            if self.unavailable:
                self.unavailable -= 1
                raise Unavailable("no answer")
            if move.token in self.done:
                return self.done[move.token]
            self.calls[move.token] = self.calls.get(move.token, 0) + 1
            if move.kind in self.unknown:
                return Progress(status=Status.UNKNOWN, detail="nobody knows")
            if move.kind in self.fails:
                return Progress(status=Status.FAILED, detail=f"{move.kind} failed")
            if self.calls[move.token] <= self.polls.get(move.kind, 0):
                return Progress(
                    status=Status.RUNNING,
                    detail="on its way",
                    checkpoint={"polls": self.calls[move.token]},
                    poll_seconds=1.0,
                )
            self._take(move)
            self.moved.append(move.kind)
            self.done[move.token] = Progress(status=Status.SUCCEEDED, detail=f"{move.kind} done")
            return self.done[move.token]

    def _take(self, move: Move) -> None:
        if move.kind is MoveKind.ISOLATE:
            self.sides[Side.PRIMARY] = Serving.ISOLATED
        elif move.kind is MoveKind.FAIL_OVER:
            self.sides[Side.RECOVERY] = Serving.LIVE
            self.ready_ticks = self.stopwatch.now().ticks + round(self.warm_up * 1e9)
            self.made.append(move.drill)
            self.test = move.test
        elif move.kind is MoveKind.FAIL_BACK:
            if self.sides[Side.RECOVERY] is Serving.LIVE and not self.test:
                self.there[Side.PRIMARY] |= self.there[Side.RECOVERY]
            self.sides = {Side.PRIMARY: Serving.LIVE, Side.RECOVERY: Serving.STANDBY}
        elif move.kind is MoveKind.CLEAN_UP:
            self.made.clear()
            if self.test:
                self.sides[Side.RECOVERY] = Serving.STANDBY


class FakeCanary(Canary):
    """Writes into one side of a FakeMember."""

    def __init__(self, member: FakeMember, side: Side) -> None:
        self._member, self._side = member, side

    def write(self, drill: str, number: int) -> None:
        self._member.write(self._side, drill, number)

    def read(self, drill: str) -> Sequence[int]:
        if self._member.sides[self._side] is not Serving.LIVE:
            raise Unavailable(f"The {self._side} cannot be read.")
        return sorted(number for own, number in self._member.there[self._side] if own == drill)


class FakeSession(RecoverySession):
    """One FakeMember within reach."""

    def __init__(self, member: FakeMember) -> None:
        self.member = member

    def replication(self) -> Replication:
        return Replication(status=self.member.status, detail="", lag_seconds=0.0, lag_bytes=0)

    def serving(self) -> Mapping[Side, Serving]:
        return dict(self.member.sides)

    def advance(self, move: Move) -> Progress:
        return self.member.move(move)

    def leftovers(self, drill: str) -> Sequence[str]:
        return [*self.member.made, *self.member.stays]

    def canary(self, side: Side, *, drill: str) -> Canary | None:
        return FakeCanary(self.member, side)

    def ask(
        self, side: Side, check: Mapping[str, object], *, drill: str, timeout_seconds: float
    ) -> HealthReport:
        return _health(self.member, side)


class FakeRecovery(RecoveryAdapter):
    """Opens the members it was given, by name."""

    name = "fake"
    version = "fake-1"
    answers = frozenset({ProbeType.SQL, ProbeType.COMMAND})

    def __init__(self, **members: FakeMember) -> None:
        self.members = members

    def open(self, member: Member) -> RecoverySession:
        if member.name not in self.members:
            raise Rejected(f"{member.name} is no member of this fake.")
        return FakeSession(self.members[member.name])


class FakeServiceProbes(Probes):
    """Asks the truth: `tcp` targets are names of members, wherever those serve."""

    def __init__(self, members: Mapping[str, FakeMember]) -> None:
        self.members = members

    def probe(self, check: Mapping[str, object], *, timeout_seconds: float) -> HealthReport:
        return _health(self.members[str(check["target"])], Side.RECOVERY)


def _health(member: FakeMember, side: Side) -> HealthReport:
    if not member.serves(side):
        return HealthReport(health=Health.UNHEALTHY, why="it does not answer")
    if member.flaps and not member.flaps.pop(0):
        return HealthReport(health=Health.UNHEALTHY, why="it flaps")
    return HealthReport(health=Health.HEALTHY, why="it answers")
