"""A drill as a job: people are asked before anything is touched, and nothing stops its return."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from qlrf_pipelines.domain.approval import DecisionKind
from qlrf_pipelines.domain.drills import DrillEvent, Outcome, Phase
from qlrf_pipelines.domain.recovery import MoveKind, Serving, Side
from qlrf_pipelines.domain.recovery_plans import DrillType, ManualStep
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import TaskState
from qlrf_pipelines.domain.vocabulary import Environment
from qlrf_pipelines.jobs.dr_drill import DRILL_TAG, dr_drill, dr_return
from qlrf_pipelines.services import drills
from qlrf_pipelines.services.approvals import decide
from sensors.approvals import run_request
from sensors.drills import drill_alarms, drill_reconcile
from tests.fakes.approvals import ACME
from tests.fakes.drill_house import DrillHouse
from tests.fakes.drilled import plan


class Station:
    """A house of drills and an instance that remembers its runs."""

    def __init__(self, instance: dg.DagsterInstance, house: DrillHouse) -> None:
        self.instance, self.house, self.world = instance, house, house.world

    def run(self, job: dg.JobDefinition = dr_drill, **tags: str) -> dg.ExecuteInProcessResult:
        return job.execute_in_process(
            instance=self.instance,
            resources={"world": self.world},
            tags=tags,
            raise_on_error=False,
        )

    def first(self, drill: str) -> dg.ExecuteInProcessResult:
        return self.run(**{DRILL_TAG: drill, "qlrf/tenant": "acme"})

    def approve(self, by: str = "ann", role: Role = Role.ENGINEER) -> None:
        [task] = self.world.tasks.list(ACME, states=[TaskState.AWAITING_APPROVAL])
        decide(
            self.world, ACME, task.id, kind=DecisionKind.APPROVE, digest=task.digest, by=by,
            role=role,
        )  # fmt: skip

    def go_on(self) -> dg.ExecuteInProcessResult:
        [task] = self.world.tasks.approved_since(ACME, cursor=0, limit=9)
        found = run_request(task)
        assert found is not None
        return self.run(**dict(found.tags))

    def tick(self, sensor: dg.SensorDefinition = drill_reconcile, cursor: str | None = None) -> Any:
        with dg.build_sensor_context(
            instance=self.instance, cursor=cursor, resources={"world": self.world}
        ) as context:
            return sensor(context), context.cursor


@pytest.fixture
def station() -> Iterator[Station]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield Station(instance, DrillHouse())


def test_nothing_is_touched_before_people_agreed(station):
    own = station.house.start()

    result = station.first(own)

    assert result.success
    assert station.house.record(own).drill.phase is Phase.ISOLATION
    assert station.house.database.moved == []
    assert station.house.database.written == []


def test_an_approved_drill_runs_to_its_report(station):
    own = station.house.start()
    station.first(own)
    station.approve()

    result = station.go_on()

    drill = station.house.record(own).drill
    [task] = station.world.tasks.list(ACME)
    assert result.success
    assert (drill.phase, drill.outcome) == (Phase.CLOSED, Outcome.PASSED)
    assert task.state is TaskState.COMPLETED


def test_a_drill_that_takes_production_away_needs_two_admins(station):
    house = DrillHouse(plan=plan(environment=Environment.PRODUCTION))
    station = Station(station.instance, house)
    own = house.start(DrillType.FULL)
    station.first(own)

    station.approve("ann", Role.ADMIN)
    first = list(station.world.tasks.approved_since(ACME, cursor=0, limit=9))
    station.approve("ben", Role.ADMIN)

    assert first == []
    assert station.go_on().success
    assert house.record(own).drill.outcome is Outcome.PASSED


def test_a_failed_drill_fails_its_run_after_everything_came_back(station):
    station.house.database.fails = {MoveKind.FAIL_OVER}
    own = station.house.start()
    station.first(own)
    station.approve()

    result = station.go_on()

    [task] = station.world.tasks.list(ACME)
    assert not result.success
    assert task.state is TaskState.FAILED
    assert station.house.record(own).drill.phase is Phase.CLOSED
    assert station.house.is_as_before()


def test_a_drill_that_does_not_begin_asks_nobody(station):
    station.house.database.sides[Side.PRIMARY] = Serving.STOPPED
    own = station.house.start()

    station.first(own)

    assert list(station.world.tasks.list(ACME)) == []
    assert station.house.record(own).drill.outcome is Outcome.FAILED


def test_the_sensor_starts_what_was_asked_for_and_waits_for_people(station):
    own = station.house.start()

    asked, _ = station.tick()
    station.run(**dict(asked.run_requests[0].tags))
    waiting, _ = station.tick()

    assert [r.job_name for r in asked.run_requests] == ["dr_drill"]
    assert isinstance(waiting, dg.SkipReason)
    assert station.house.record(own).drill.phase is Phase.ISOLATION


def test_a_rejected_drill_is_closed_and_makes_room(station):
    own = station.house.start()
    station.first(own)
    [task] = station.world.tasks.list(ACME)
    decide(
        station.world, ACME, task.id, kind=DecisionKind.REJECT, digest=task.digest, by="ann",
        role=Role.ENGINEER, reason="not this week",
    )  # fmt: skip

    station.tick()

    assert station.house.record(own).drill.outcome is Outcome.ABORTED
    assert station.house.start()


def test_a_drill_whose_process_is_gone_goes_on_in_the_next_attempt(station):
    own = station.house.start()
    station.first(own)
    station.approve()
    [task] = station.world.tasks.approved_since(ACME, cursor=0, limit=9)
    crash = _Crash(station.house, MoveKind.FAIL_OVER)
    dead = station.run(**dict(run_request(task).tags))
    crash.over()

    asked, _ = station.tick()
    result = station.run(
        dr_drill if asked.run_requests[0].job_name == "dr_drill" else dr_return,
        **dict(asked.run_requests[0].tags),
    )

    assert not dead.success
    assert result.success
    drill = station.house.record(own).drill
    assert (drill.outcome, drill.attempt) == (Outcome.PASSED, 3)
    assert station.house.is_as_before()


class _Crash:
    """A process that dies when this move is asked for."""

    def __init__(self, house: DrillHouse, kind: MoveKind) -> None:
        self.member = house.database
        self.move = self.member.move

        def dies(move: Any) -> Any:
            if move.kind is kind:
                raise MemoryError("killed")
            return self.move(move)

        self.member.move = dies

    def over(self) -> None:
        self.member.move = self.move


def test_a_held_drill_fails_its_run_and_returns_without_a_gate(station):
    station.house.database.fails = {MoveKind.FAIL_BACK}
    own = station.house.start()
    station.first(own)
    station.approve()
    held = station.go_on()
    quiet, _ = station.tick()
    station.house.database.fails = set()
    drills.answer_held(
        station.world, ACME, own, DrillEvent.RESUMED, by="eve", role=Role.ENGINEER, reason="mended"
    )

    asked, _ = station.tick()
    station.run(dr_return, **dict(asked.run_requests[0].tags))

    assert not held.success
    assert isinstance(quiet, dg.SkipReason)
    assert [r.job_name for r in asked.run_requests] == ["dr_return"]
    assert station.house.record(own).drill.phase is Phase.CLOSED
    assert station.house.is_as_before()


def test_a_signature_is_waited_for_in_no_run(station):
    step = ManualStep(name="call", phase="failover", text="Call the bank.")
    station = Station(station.instance, DrillHouse(plan=plan(runbook=(step,))))
    own = station.house.start()
    station.first(own)
    station.approve()
    station.go_on()
    quiet, _ = station.tick()
    drills.sign_step(station.world, ACME, own, step="call", by="otto", role=Role.OPERATOR)

    asked, _ = station.tick()
    result = station.run(**dict(asked.run_requests[0].tags))

    assert isinstance(quiet, dg.SkipReason)
    assert result.success
    assert station.house.record(own).drill.outcome is Outcome.PASSED


def test_what_is_due_is_said_once(station):
    _, cursor = station.tick(drill_alarms)
    station.tick(drill_alarms, cursor)

    kinds = [entry.kind for entry in station.world.ledger.entries(ACME)]
    assert kinds == ["drill_alarm_due"]


def test_a_proven_plan_is_not_due(station):
    station.house.run()

    station.tick(drill_alarms)

    alarms = [e.kind for e in station.world.ledger.entries(ACME) if "alarm" in e.kind]
    assert alarms == []
