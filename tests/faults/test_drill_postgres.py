"""Drills of real servers: what is lost is counted exactly, and a kill anywhere changes nothing."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from qlrf_pipelines.domain import drill_steps
from qlrf_pipelines.domain.drills import Drill, Outcome, Phase
from qlrf_pipelines.domain.estate import Estate
from qlrf_pipelines.domain.evidence import verify_chain
from qlrf_pipelines.domain.recovery import Serving, Side
from qlrf_pipelines.domain.recovery_plans import (
    CanaryWrites,
    ProbePace,
    ProbeRule,
    ProbeType,
    RecoveryPlan,
)
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.ports.recovery import Canary, RecoverySession
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import drills
from tests.fakes.approvals import ACME
from tests.fakes.drilled import plan
from tests.fakes.estate import FakeEstate
from tests.fakes.postgres_pair import database_member, deafen, session_of, shared_pair, streaming
from tests.faults.killed_drill import DyingAdapter, DyingCanary, DyingSession, real_world

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
PLACES = ("validation", "write:3", "isolate:1", "fail_over:1", "switch:1", "service_validation",
          "read", "workload", "fail_back:1", "fail_back:2", "fail_back:3", "clean_up:1",
          "leftovers")  # fmt: skip


def orders(*, before_seconds: float = 0.4) -> RecoveryPlan:
    pair = shared_pair()
    asks = {"type": ProbeType.SQL, "member": "database", "statement": "SELECT 1", "expect": "1"}
    return plan(
        groups=((database_member(pair),),),
        probes=(
            ProbeRule(name="query", **asks),
            ProbeRule(name="port", type=ProbeType.TCP, target=f"127.0.0.1:{pair.recovery.port}"),
        ),
        pace=ProbePace(interval_seconds=0.1, timeout_seconds=2, within_seconds=20),
        canary=CanaryWrites(
            members=("database",),
            interval_seconds=0.02,
            before_seconds=before_seconds,
            workload=5,
        ),
    )


@pytest.fixture
def world(postgres: Any) -> World:
    streaming(shared_pair())
    estate = FakeEstate(Estate(recovery=(orders(),)))
    return replace(real_world(postgres.settings), estate=estate)


def start(world: World) -> str:
    return drills.start_drill(world, ACME, "orders-full", by="rita", role=Role.OPERATOR).id


def is_back() -> bool:
    session = session_of(shared_pair())
    return session.serving() == {Side.PRIMARY: Serving.LIVE, Side.RECOVERY: Serving.STANDBY}


def lost(drill: Drill) -> Any:
    assert drill.result is not None
    return drill.result["rpo"]["members"][0]


def test_a_real_failover_is_measured_and_brought_back(world: World) -> None:
    drill = drills.drive(world, ACME, start(world), holder="run-1")

    assert drill.outcome is Outcome.PASSED, drill.result
    assert drill.result is not None
    assert drill.result["rto"]["verdict"] == "met"
    assert drill.result["rpo"]["verdict"] == "met"
    assert drill.result["clean"] is True
    assert is_back()
    assert verify_chain(world.ledger.entries(ACME))


class DeafAfter(DyingAdapter):
    """The standby hears nothing any more once this number was written."""

    def __init__(self, world: World, number: int) -> None:
        super().__init__(world.recovery["postgres"], "")
        self.number = number

    def open(self, member: Any) -> RecoverySession:
        return _DeafSession(self._adapter.open(member), self.number)


class _DeafSession(DyingSession):
    def __init__(self, session: RecoverySession, number: int) -> None:
        super().__init__(session, "")
        self.number = number

    def canary(self, side: Side, *, drill: str) -> Canary | None:
        found = self._session.canary(side, drill=drill)
        return None if found is None else _DeafCanary(found, side, self.number)


class _DeafCanary(DyingCanary):
    def __init__(self, canary: Canary, side: Side, number: int) -> None:
        super().__init__(canary, side, "")
        self.number = number

    def write(self, drill: str, number: int) -> None:
        super().write(drill, number)
        if number == self.number and self._side is Side.PRIMARY:
            pair = shared_pair()
            while session_of(pair).replication().lag_bytes:
                pass  # all of it up to here is to arrive
            deafen(pair)


@pytest.mark.parametrize("heard", [1, 7])
def test_a_standby_that_is_behind_by_known_writes_is_measured_to_the_write(
    world: World, heard: int
) -> None:
    # Long enough that a busy machine writes more than is heard, too.
    patient = FakeEstate(Estate(recovery=(orders(before_seconds=2),)))
    deaf = replace(world, recovery={"postgres": DeafAfter(world, heard)}, estate=patient)

    drill = drills.drive(deaf, ACME, start(deaf), holder="run-1")

    acknowledged = [
        w.number for w in world.drills.writes(ACME, drill.id) if w.acknowledged and w.number < 10**9
    ]
    assert len(acknowledged) > heard
    assert lost(drill)["contiguous"] == heard
    assert lost(drill)["lost"] == len(acknowledged) - heard
    assert lost(drill)["missing"] == len(acknowledged) - heard
    assert is_back()


@pytest.fixture(scope="module")
def drivers() -> Iterator["subprocess.Popen[str]"]:
    """Who starts a process for each drill that is to be killed."""
    command = [sys.executable, "-m", "tests.faults.killed_drill"]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd=ROOT, text=True, bufsize=1, **pipes) as found:
        yield found


@pytest.mark.parametrize("place", PLACES)
def test_a_drill_killed_anywhere_is_ended_by_the_next_process(
    world: World, postgres: Any, drivers: "subprocess.Popen[str]", place: str
) -> None:
    own = start(world)
    env = {
        "QLRF_HOME": str(postgres.home),
        "QLRF_DATABASE_URL": postgres.settings.database_url,
        "QLRF_DATABASE_OWNER_URL": postgres.settings.database_owner_url,
    }
    assert drivers.stdin is not None
    assert drivers.stdout is not None
    drivers.stdin.write(json.dumps({"settings": env, "drill": own, "place": place}) + "\n")
    assert int(drivers.stdout.readline()) == -signal.SIGKILL

    drill = drills.drive(world, ACME, own, holder="run-2")

    assert drill.phase is Phase.CLOSED
    assert drill.outcome is Outcome.PASSED, drill.result
    assert drill.attempt == 2
    assert is_back()
    assert list(session_of(shared_pair()).leftovers(own)) == []
    tokens = [move.token for move in world.drills.get(ACME, own).moves]
    assert len(tokens) == len(set(tokens)) == 5
    assert lost(drill)["lost"] == 0
    assert verify_chain(world.ledger.entries(ACME))


def test_a_primary_that_was_cut_off_long_ago_is_seeded_again(world: World) -> None:
    pair = shared_pair()
    own = start(world)
    for phase in (Phase.VALIDATION, Phase.ISOLATION, Phase.FAILOVER):
        drills.run_phase(world, ACME, own, phase, holder="run-1")
    # Without its log nothing can be rewound; what is left of it is of no use.
    for segment in (pair.primary.data / "pg_wal").glob("0*"):
        segment.unlink()

    drill = drills.drive(world, ACME, own, holder="run-1")

    assert drill.outcome is Outcome.PASSED, drill.result
    assert is_back()
    assert drill_steps.token_of(own, "database", "fail_back") in {  # type: ignore[arg-type]
        move.token for move in world.drills.get(ACME, own).moves
    }


def test_a_failback_that_cannot_be_walked_is_held_with_what_is_live_where(world: World) -> None:
    pair = shared_pair()
    own = start(world)
    for phase in (Phase.VALIDATION, Phase.ISOLATION, Phase.FAILOVER):
        drills.run_phase(world, ACME, own, phase, holder="run-1")
    hidden = pair.primary.data.with_name("hidden")
    pair.recovery.stop("fast")
    pair.recovery.data.rename(hidden)

    held = drills.drive(world, ACME, own, holder="run-1")
    hidden.rename(pair.recovery.data)
    drills.answer_held(
        world, ACME, own, drills.DrillEvent.RESUMED, by="eve", role=Role.ENGINEER, reason="mounted"
    )
    closed = drills.drive(world, ACME, own, holder="run-2")

    ended = [e for e in world.drills.get(ACME, own).entries if "live" in e.facts]
    assert held.phase is Phase.HELD
    assert ended[0].facts["live"] == {"database": {"primary": "isolated", "recovery": "absent"}}
    assert closed.phase is Phase.CLOSED
    assert closed.outcome is Outcome.FAILED
    assert "met" not in drills.targets_of(closed).values()
    assert is_back()
