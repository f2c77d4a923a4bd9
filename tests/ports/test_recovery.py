"""What every recovery adapter promises, in memory and on two real PostgreSQL servers."""

import hashlib
import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Rejected, Unavailable
from qlrf_pipelines.domain.operations import Health, Progress, Status
from qlrf_pipelines.domain.recovery import (
    Member,
    Move,
    MoveKind,
    ReplicationStatus,
    Serving,
    Side,
)
from qlrf_pipelines.ports.recovery import RecoveryAdapter, RecoverySession
from tests.fakes.recovery import FakeMember, FakeRecovery
from tests.fakes.stopwatch import FakeStopwatch

NUMBERS = itertools.count(1)
WAY = (MoveKind.ISOLATE, MoveKind.FAIL_OVER, MoveKind.SWITCH)
BACK = (MoveKind.FAIL_BACK, MoveKind.CLEAN_UP)


@dataclass
class Bench:
    """An adapter, a member it can move, and a drill of the test's own."""

    adapter: RecoveryAdapter
    member: Member
    real: bool
    drill: str = field(default_factory=lambda: f"d{next(NUMBERS):06d}")

    @property
    def session(self) -> RecoverySession:
        return self.adapter.open(self.member)

    def move(self, kind: MoveKind, **parts: Any) -> Move:
        token = hashlib.sha256(f"{self.drill}{kind}".encode()).hexdigest()
        return Move(token=token, drill=self.drill, kind=kind, **parts)

    def go(self, *kinds: MoveKind) -> Progress:
        """Take moves to their end, as a driver does; a new session for every call."""
        for kind in kinds:
            checkpoint: Any = {}
            for call in range(400):
                said = self.session.advance(self.move(kind, checkpoint=checkpoint, begun=call > 0))
                checkpoint = said.checkpoint
                if said.status is not Status.RUNNING:
                    break
                time.sleep(said.poll_seconds if self.real else 0)
            assert said.status is Status.SUCCEEDED, (kind, said)
        return said

    def write(self, *numbers: int, side: Side = Side.PRIMARY) -> None:
        canary = self.session.canary(side, drill=self.drill)
        assert canary is not None
        for number in numbers:
            canary.write(self.drill, number)

    def read(self, side: Side) -> list[int]:
        canary = self.session.canary(side, drill=self.drill)
        assert canary is not None
        return list(canary.read(self.drill))

    def settled(self) -> None:
        """Wait until what was written has arrived on the other side."""
        while self.real and self.session.replication().lag_bytes != 0:
            time.sleep(0.02)


@pytest.fixture(params=["fake", "postgres"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    if request.param == "fake":
        member = FakeMember(stopwatch=FakeStopwatch())
        yield Bench(
            FakeRecovery(database=member), Member(name="database", adapter="fake", settings={}),
            real=False,
        )  # fmt: skip
        return
    from resources.recovery.postgres import PostgresRecovery
    from resources.secrets import Secrets
    from tests.fakes.postgres_pair import database_member, shared_pair, streaming

    pair = shared_pair()
    made = Bench(PostgresRecovery(secrets=Secrets({})), database_member(pair), real=True)
    yield made
    Bench(made.adapter, made.member, real=True, drill=made.drill).go(*BACK)
    streaming(pair)


def test_a_pair_is_seen_as_it_is(bench):
    assert bench.session.serving() == {Side.PRIMARY: Serving.LIVE, Side.RECOVERY: Serving.STANDBY}
    assert bench.session.replication().status is ReplicationStatus.IN_SYNC
    assert list(bench.session.leftovers(bench.drill)) == []


def test_a_fenced_primary_takes_no_writes_and_says_so(bench):
    bench.write(1)

    bench.go(MoveKind.ISOLATE)

    with pytest.raises(Unavailable):
        bench.write(2)
    assert bench.session.serving()[Side.PRIMARY] is Serving.ISOLATED


def test_what_was_written_is_found_on_the_other_side(bench):
    bench.write(1, 2, 3)
    bench.settled()

    bench.go(*WAY)

    assert bench.read(Side.RECOVERY) == [1, 2, 3]
    assert bench.session.serving() == {Side.PRIMARY: Serving.ISOLATED, Side.RECOVERY: Serving.LIVE}


def test_a_number_written_twice_is_there_once(bench):
    bench.write(7, 7)

    assert bench.read(Side.PRIMARY) == [7]


def test_numbers_of_another_drill_are_not_ours(bench):
    other = Bench(bench.adapter, bench.member, real=bench.real)
    bench.write(1)
    other.write(2)

    assert bench.read(Side.PRIMARY) == [1]
    other.go(MoveKind.CLEAN_UP)


def test_the_same_token_does_nothing_twice(bench):
    bench.go(*WAY)
    bench.write(5, side=Side.RECOVERY)

    for kind in (MoveKind.FAIL_OVER, MoveKind.SWITCH):
        assert bench.session.advance(bench.move(kind, begun=True)).status is Status.SUCCEEDED

    assert bench.read(Side.RECOVERY) == [5]


def test_what_was_written_on_the_recovery_side_comes_back(bench):
    bench.write(1)
    bench.settled()
    bench.go(*WAY)
    bench.write(2, 3, side=Side.RECOVERY)

    bench.go(MoveKind.FAIL_BACK)

    assert bench.read(Side.PRIMARY) == [1, 2, 3]
    assert bench.session.serving() == {Side.PRIMARY: Serving.LIVE, Side.RECOVERY: Serving.STANDBY}


def test_a_primary_that_was_only_fenced_comes_back_as_it_was(bench):
    bench.write(1)
    bench.go(MoveKind.ISOLATE, MoveKind.FAIL_BACK)

    assert bench.read(Side.PRIMARY) == [1]
    assert bench.session.serving() == {Side.PRIMARY: Serving.LIVE, Side.RECOVERY: Serving.STANDBY}


def test_nothing_is_left_after_cleaning_up(bench):
    bench.write(1)
    bench.settled()
    bench.go(*WAY, MoveKind.FAIL_BACK)
    before = list(bench.session.leftovers(bench.drill))

    bench.go(MoveKind.CLEAN_UP)

    assert before
    assert list(bench.session.leftovers(bench.drill)) == []


def test_two_drills_after_each_other_find_the_same_pair(bench):
    bench.go(*WAY, *BACK)
    second = Bench(bench.adapter, bench.member, real=bench.real)

    second.go(*WAY, *BACK)

    assert bench.session.serving() == {Side.PRIMARY: Serving.LIVE, Side.RECOVERY: Serving.STANDBY}


def test_a_statement_is_answered_by_the_side_that_serves(bench):
    check = {"type": "sql", "statement": "SELECT 1", "expect": "1"}

    def ask() -> Health:
        return bench.session.ask(Side.RECOVERY, check, drill=bench.drill, timeout_seconds=2).health

    before = ask()
    bench.go(*WAY)

    assert before is not Health.HEALTHY
    assert ask() is Health.HEALTHY


def test_a_member_that_is_not_the_adapters_is_rejected(bench):
    stranger = Member(name="tape", adapter=bench.adapter.name, settings={"reel": 7})

    with pytest.raises(Rejected):
        bench.adapter.open(stranger)
