"""What every store of drills promises, in memory and in Postgres."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from qlrf_pipelines.domain import drill_steps
from qlrf_pipelines.domain.drills import DrillEvent, MoveState, Phase
from qlrf_pipelines.domain.errors import NotFound, QlrfError, Refused
from qlrf_pipelines.domain.evidence import verify_chain
from qlrf_pipelines.domain.measurement import Answer, CanaryWrite
from qlrf_pipelines.domain.operations import Health
from qlrf_pipelines.domain.recovery import MoveKind
from qlrf_pipelines.ports.drills import Drills
from qlrf_pipelines.ports.world import World
from tests.fakes.approvals import ACME, BETA
from tests.fakes.drilled import at, first, move
from tests.fakes.world import fake_world


@pytest.fixture(params=["fake", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "fake":
        yield fake_world()
        return
    from resources.database.drills import SqlDrills
    from resources.database.ledger import SqlLedger
    from resources.database.sessions import Sessions

    sessions = Sessions(request.getfixturevalue("postgres").settings)
    yield fake_world(drills=SqlDrills(sessions), ledger=SqlLedger(sessions))
    sessions.close()


@pytest.fixture
def drills(world: World) -> Drills:
    return world.drills


def test_a_drill_is_found_as_it_was_kept(drills):
    kept = drills.open(ACME, first(only=("database",)))

    found = drills.get(ACME, "d-1")

    assert found == kept
    assert found.drill.phase is Phase.VALIDATION
    assert found.drill.only == ("database",)
    assert [entry.kind for entry in found.entries] == ["opened"]


def test_an_application_has_one_open_drill(drills):
    drills.open(ACME, first("d-1"))

    with pytest.raises(Refused, match="d-1"):
        drills.open(ACME, first("d-2"))

    assert drills.open(ACME, first("d-1")).drill.id == "d-1"
    assert drills.open(ACME, first("d-3", application="mail")).drill.id == "d-3"
    assert drills.open(BETA, first("d-4", tenant=BETA)).drill.id == "d-4"


def test_of_many_at_once_one_drill_is_opened(drills):
    def start(number: int) -> str:
        try:
            return drills.open(ACME, first(f"d-{number}")).drill.id
        except QlrfError as error:
            return type(error).__name__

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(start, range(8)))

    assert sorted(answers)[:7] == ["Refused"] * 7
    assert len(drills.list(ACME, open_only=True)) == 1


def test_a_closed_drill_makes_room_for_the_next(drills):
    drills.open(ACME, first())
    drills.amend(ACME, "d-1", lambda r: drill_steps.ended(r, DrillEvent.FAILED, at(1)))
    drills.amend(ACME, "d-1", lambda r: drill_steps.closed(r, at(2), result={"n": 1.5}))

    assert drills.open(ACME, first("d-2")).drill.phase is Phase.VALIDATION
    assert drills.get(ACME, "d-1").drill.result == {"n": 1.5}


def test_a_drill_of_another_tenant_is_not_there(drills):
    drills.open(ACME, first())

    with pytest.raises(NotFound, match="beta"):
        drills.get(BETA, "d-1")
    with pytest.raises(NotFound):
        drills.amend(BETA, "d-1", lambda _: None)
    assert list(drills.list(BETA)) == []
    assert list(drills.tenants()) == [ACME]


def test_a_step_is_kept_with_its_evidence_or_not_at_all(world):
    drills = world.drills
    drills.open(ACME, first())

    def refuse(_):
        raise Refused("no")

    with pytest.raises(Refused):
        drills.amend(ACME, "d-1", refuse)
    drills.amend(ACME, "d-1", lambda r: drill_steps.noted(r, "declared", at(3)))

    kinds = [entry.kind for entry in world.ledger.entries(ACME)]
    assert kinds == ["drill_opened", "drill_declared"]
    assert verify_chain(world.ledger.entries(ACME)) == 2
    assert drills.get(ACME, "d-1").declared == at(3)


def test_a_move_is_one_row_however_often_it_is_told(drills):
    drills.open(ACME, first())
    drills.amend(ACME, "d-1", lambda r: drill_steps.move_begun(r, [move(MoveKind.ISOLATE)], at(1)))
    begun = drills.get(ACME, "d-1").moves
    told = move(MoveKind.ISOLATE, state=MoveState.SUCCEEDED, begun=at(1), checkpoint={"n": 2})
    drills.amend(ACME, "d-1", lambda r: drill_steps.move_told(r, [told], at(4)))

    after = drills.get(ACME, "d-1").moves

    assert [(m.state, m.begun, m.ended) for m in begun] == [(MoveState.RUNNING, at(1), None)]
    assert [(m.state, m.begun, m.ended) for m in after] == [(MoveState.SUCCEEDED, at(1), at(4))]
    assert after[0].checkpoint == {"n": 2}


def test_what_probes_answered_keeps_its_order(drills):
    drills.open(ACME, first())
    answers = [Answer(probe="p", health=Health.HEALTHY, instant=at(n), phase="failover")
               for n in (1, 2)]  # fmt: skip
    answers.append(Answer(probe="q", health=Health.UNKNOWN, instant=at(2), why="?", phase="held"))

    for answer in answers:
        drills.record(ACME, "d-1", attempt=0, answers=[answer])

    assert list(drills.answers(ACME, "d-1")) == answers


def test_a_write_is_attempted_and_perhaps_acknowledged(drills):
    drills.open(ACME, first())
    one, two = (CanaryWrite(member="database", number=n, attempted=at(n)) for n in (1, 2))

    drills.record(ACME, "d-1", attempt=0, writes=[one, two])
    acknowledged = CanaryWrite(member="database", number=1, attempted=at(1), acknowledged=at(5))
    drills.record(ACME, "d-1", attempt=0, writes=[acknowledged])

    assert list(drills.writes(ACME, "d-1")) == [acknowledged, two]


def test_a_process_that_was_taken_over_keeps_nothing(drills):
    drills.open(ACME, first())
    drills.amend(ACME, "d-1", lambda r: drill_steps.taken(r, holder="run-1", now=at(1)))
    drills.amend(ACME, "d-1", lambda r: drill_steps.taken(r, holder="run-2", now=at(2)))

    with pytest.raises(Refused, match="taken over"):
        drills.record(
            ACME,
            "d-1",
            attempt=1,
            writes=[CanaryWrite(member="database", number=1, attempted=at(1))],
        )
    with pytest.raises(Refused, match="run-2"):
        drills.amend(
            ACME, "d-1", lambda r: drill_steps.noted(drill_steps.mine(r, 1), "declared", at(3))
        )
    assert list(drills.writes(ACME, "d-1")) == []
