"""Whoever looks after recovery hears of drills and of plans that are not safe any more."""

import json
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from qlrf_pipelines.domain.drills import DrillEvent, Outcome
from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.estate import Estate, Tenant
from qlrf_pipelines.domain.messages import Event, Message
from qlrf_pipelines.domain.notifications import NoteState
from qlrf_pipelines.domain.recovery import MoveKind, ReplicationStatus
from qlrf_pipelines.domain.recovery_plans import DrillType, ManualStep, RecoveryPlan
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.services import drills
from sensors.drills import drill_alarms
from sensors.notifications import Cursor, tell
from tests.fakes.approvals import ACME
from tests.fakes.drill_house import DrillHouse
from tests.fakes.drilled import plan
from tests.fakes.estate import FakeEstate
from tests.services.gated import EVERYTHING, SLACK, subscriber


class Heard:
    """A house of drills whose tenant subscribes, and what it is told."""

    def __init__(self, *events: str, house: DrillHouse | None = None) -> None:
        self.house = house or DrillHouse()
        self.world = self.house.world
        self.cursor, self.alarms = Cursor(), ""
        self.declare(self.house.plan, events=events or EVERYTHING)

    def declare(self, declared: RecoveryPlan, *, events: tuple[str, ...] = EVERYTHING) -> None:
        tenant = Tenant(
            name=ACME,
            display_name="Acme",
            notifications=(SLACK,),
            subscriptions=(subscriber("#recovery", events),),
        )
        estate = FakeEstate(Estate(tenants=(tenant,), recovery=(declared,)))
        self.house.world = self.world = replace(self.world, estate=estate)

    def told(self) -> list[Message]:
        before = len(self.world.notifier.taken)  # type: ignore[attr-defined]
        self.cursor = tell(self.world, self.cursor).cursor
        taken = self.world.notifier.taken  # type: ignore[attr-defined]
        return [message for message, _, _ in taken[before:]]

    def look(self) -> None:
        """What the sensor of alarms does every quarter of an hour."""
        with (
            dg.DagsterInstance.ephemeral() as instance,
            dg.build_sensor_context(
                instance=instance, cursor=self.alarms, resources={"world": self.world}
            ) as context,
        ):
            drill_alarms(context)
            self.alarms = context.cursor or ""


def lines(message: Message) -> dict[str, str]:
    return dict(message.lines)


def events(told: list[Message]) -> list[str]:
    return [message.event.value for message in told]


def test_a_drill_that_passes_is_told_from_its_start_to_its_targets() -> None:
    desk = Heard()
    own = desk.house.start()
    asked = desk.told()
    drill = desk.house.drive(own)

    started, completed = desk.told()

    assert asked == []  # nothing is touched before its task is approved, and that is told by itself
    assert started.title == f"Drill {own} of acme in staging has started"
    assert started.look == f"qlrf drills show {own} --tenant acme"
    assert (completed.event, completed.says) == (Event.DRILL_COMPLETED, "has passed")
    assert completed.resolves
    found = lines(completed)
    rto = (drill.result or {})["rto"]
    assert found["RTO"] == f"met, {rto['seconds']:.1f} s of 300 s, {rto['why']}"
    assert found["RPO"].startswith("met, ")
    assert (found["Application"], found["Plan"], found["Type"]) == ("orders", "orders-full", "full")
    assert found["Asked by"] == "rita"
    assert desk.told() == []
    assert set(desk.cursor.rest) == {"acme"}


def test_a_tabletop_proves_nothing_and_says_so() -> None:
    desk = Heard()
    desk.house.run(DrillType.TABLETOP)

    started, completed = desk.told()

    assert (started.event, completed.event) == (Event.DRILL_STARTED, Event.DRILL_COMPLETED)
    assert lines(completed)["RTO"].startswith("not proven, ")


def test_a_drill_that_missed_its_target_is_no_good_news() -> None:
    desk = Heard(house=DrillHouse(plan=plan(rto_seconds=0.5)))
    desk.house.database.warm_up = 20
    drill = desk.house.run()

    *_, last = desk.told()

    assert drill.outcome is Outcome.PASSED
    assert (last.event, last.says) == (Event.DRILL_FAILED, "has passed, and missed its RTO")
    assert lines(last)["RTO"].startswith("missed, ")
    assert not last.resolves


def test_a_drill_that_fails_says_where_and_why() -> None:
    desk = Heard()
    desk.house.database.fails = {MoveKind.FAIL_OVER}
    desk.house.run()

    *_, last = desk.told()

    assert (last.event, last.says) == (Event.DRILL_FAILED, "has failed")
    assert last.reason.startswith("failover failed: database did not fail_over")
    assert lines(last)["RTO"].startswith("not proven, ")


def test_a_drill_that_saw_no_replication_never_started_and_has_failed() -> None:
    desk = Heard()
    desk.house.database.status = ReplicationStatus.UNKNOWN
    desk.house.run()

    assert events(desk.told()) == ["drill_failed"]  # a tenant without a single task


def test_a_drill_that_was_aborted_is_told_with_who_wanted_that() -> None:
    desk = Heard()
    own = desk.house.start()
    drills.abort_drill(desk.world, ACME, own, by="o", role=Role.OPERATOR, reason="wrong day")
    desk.house.drive(own)

    (last,) = desk.told()

    assert (last.event, last.says) == (Event.DRILL_FAILED, "was aborted")
    assert last.reason == "validation aborted: o: wrong day"


def test_a_held_drill_is_told_while_it_is_held_and_its_end_after_it() -> None:
    desk = Heard()
    desk.house.database.fails = {MoveKind.FAIL_BACK}
    own = desk.house.start()
    desk.house.drive(own)

    _, held = desk.told()
    desk.look()
    again = desk.told()
    drills.answer_held(
        desk.world, ACME, own, DrillEvent.RELEASED, by="adam", role=Role.ADMIN, reason="by hand"
    )
    desk.house.drive(own, "run-2")

    assert held.event is Event.DRILL_HELD
    assert held.says == "is held: something may be live where it should not"
    assert "database did not fail_back" in held.reason
    assert again == []  # its alarm says what was told already
    assert events(desk.told()) == ["drill_failed"]


def test_a_hold_that_is_over_before_it_could_be_told_is_not_told() -> None:
    desk = Heard("drill_held")
    notifier = desk.world.notifier

    def down(message: Message, target: str) -> None:
        raise Unavailable("nobody answers")

    notifier.refuse = down  # type: ignore[attr-defined]
    desk.house.database.fails = {MoveKind.FAIL_BACK}
    own = desk.house.start()
    desk.house.drive(own)
    assert desk.told() == []
    drills.answer_held(
        desk.world, ACME, own, DrillEvent.RELEASED, by="adam", role=Role.ADMIN, reason="by hand"
    )
    notifier.refuse = lambda message, target: None  # type: ignore[attr-defined]
    desk.house.stopwatch.clock.advance(minutes=1)

    assert desk.told() == []
    assert [note.state for note in desk.world.outbox.list(ACME)] == [NoteState.OBSOLETE]


def test_a_step_that_waits_for_a_signature_reaches_people() -> None:
    step = ManualStep(name="call", phase="workload", text="Call the bank.", role=Role.ENGINEER)
    desk = Heard("drill_waiting", house=DrillHouse(plan=plan(runbook=(step,))))
    own = desk.house.start()
    desk.house.drive(own)

    (waiting,) = desk.told()

    assert waiting.says == "waits for a person"
    assert waiting.reason == f"call to be signed: qlrf drills sign {own}"


def test_a_plan_that_is_due_is_told_once_to_a_tenant_without_a_drill_or_a_task() -> None:
    desk = Heard()
    desk.look()
    (due,) = desk.told()
    desk.look()

    assert due.title == "Recovery plan orders-full of acme in staging is due for a drill"
    assert due.look == "qlrf drills due --tenant acme"
    assert "it was never proven" in due.reason
    assert desk.told() == []
    assert desk.world.tasks.tenants() == {}


@pytest.mark.parametrize(
    ("status", "said"),
    [(ReplicationStatus.UNKNOWN, "is unknown"), (ReplicationStatus.FAILED, "is failed")],
)
def test_replication_that_nobody_can_vouch_for_is_told(status: Any, said: str) -> None:
    desk = Heard("rpo_at_risk")
    desk.house.database.status = status
    desk.look()

    (risk,) = desk.told()

    assert risk.says == "may lose more than its RPO allows"
    assert f"database {said}" in risk.reason
    assert risk.look == "qlrf resilience --by plan --tenant acme"


def test_an_alarm_of_a_plan_that_is_not_declared_any_more_is_still_told() -> None:
    desk = Heard("drill_due")
    desk.look()
    desk.declare(plan(name="another"), events=("drill_due",))

    (due,) = desk.told()

    assert due.title == "Recovery plan orders-full of acme is due for a drill"


def test_who_hears_of_other_things_hears_nothing_of_drills() -> None:
    desk = Heard("approval_requested", "drill_held")
    desk.look()
    desk.house.run()

    assert desk.told() == []


def test_a_cursor_of_before_there_were_drills_goes_on() -> None:
    desk = Heard()
    desk.cursor = Cursor.read(json.dumps({"seen": {}, "rest": {"acme": 1}, "turn": ""}))
    desk.house.run()

    assert events(desk.told()) == ["drill_started", "drill_completed"]


def test_what_nobody_could_be_told_for_a_day_is_evidence_about_the_drill() -> None:
    desk = Heard()
    drill = desk.house.run()
    desk.house.stopwatch.clock.advance(hours=25)
    told = desk.told()

    lost = [e for e in desk.world.ledger.entries(ACME) if e.kind == "notification_lost"]
    assert told == []
    assert [entry.content["event"] for entry in lost] == ["drill_started", "drill_completed"]
    assert {entry.subject for entry in lost} == {drill.id}
