"""A drill measures what happened, brings everything back, and calls nothing met that is not."""

import pytest

from qlrf_pipelines.domain.drills import DrillEvent, MoveState, Outcome, Phase
from qlrf_pipelines.domain.evidence import verify_chain
from qlrf_pipelines.domain.recovery import MoveKind, ReplicationStatus, Serving, Side
from qlrf_pipelines.domain.recovery_plans import DrillType, ProbeRule, ProbeType
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.services import drills
from tests.fakes.approvals import ACME
from tests.fakes.drill_house import DrillHouse
from tests.fakes.drilled import member, plan
from tests.fakes.recovery import FakeMember, FakeRecovery
from tests.fakes.stopwatch import FakeStopwatch


def test_a_full_drill_fails_over_measures_and_comes_back():
    house = DrillHouse()
    house.database.lag = 3
    house.database.warm_up = 7.0

    drill = house.run()

    assert drill.phase is Phase.CLOSED
    assert drill.outcome is Outcome.PASSED
    assert house.is_as_before()
    assert drill.result["rto"]["verdict"] == "met"
    assert 7.0 <= drill.result["rto"]["seconds"] <= 8.0
    assert drill.result["rpo"]["writes"] == 3
    assert drill.result["rpo"]["verdict"] == "met"
    assert drill.result["clean"] is True
    assert [p["phase"] for p in drill.result["phases"]] == [
        "validation", "isolation", "failover", "service_validation", "workload", "failback",
    ]  # fmt: skip
    assert house.database.moved == [
        MoveKind.ISOLATE, MoveKind.FAIL_OVER, MoveKind.SWITCH, MoveKind.FAIL_BACK,
        MoveKind.CLEAN_UP,
    ]  # fmt: skip


def test_every_step_is_evidence():
    house = DrillHouse()

    drill = house.run()

    entries = list(house.world.ledger.entries(ACME))
    assert verify_chain(entries) == len(house.record(drill.id).entries)
    assert {"drill_declared", "drill_recovered", "drill_validated", "drill_report"} <= {
        entry.kind for entry in entries
    }


def test_a_tabletop_touches_nothing_and_proves_nothing():
    house = DrillHouse()

    drill = house.run(DrillType.TABLETOP)

    assert drill.outcome is Outcome.PASSED
    assert house.database.moved == []
    assert house.database.written == []
    assert house.record(drill.id).moves == ()
    assert drills.targets_of(drill) == {"rto": "not_proven", "rpo": "not_proven"}


def test_a_test_failover_leaves_the_primary_serving():
    house = DrillHouse()
    probe = house.plan.probes[0]
    tested = plan(probes=(type(probe)(name="p", type=probe.type, target="x",
                                      test_target="database"),))  # fmt: skip
    house = DrillHouse(plan=tested)
    house.database.lag = 2

    drill = house.run(DrillType.TEST_FAILOVER)

    assert drill.outcome is Outcome.PASSED
    assert house.database.moved == [MoveKind.FAIL_OVER, MoveKind.CLEAN_UP]
    assert drill.result["rpo"]["writes"] == 2
    assert house.is_as_before()


def test_a_test_failover_proves_nothing_by_probes_that_cannot_see_it():
    house = DrillHouse()

    drill = house.run(DrillType.TEST_FAILOVER)

    assert drill.outcome is Outcome.FAILED
    assert drill.result["rto"]["verdict"] == "not_proven"
    assert house.is_as_before()


def test_a_partial_drill_proves_no_target_of_the_application():
    house = DrillHouse(plan=plan(groups=((member(),), (member("web", "database"),))))

    drill = house.run(DrillType.PARTIAL, only=("database",))

    assert drill.outcome is Outcome.PASSED
    assert house.members["web"].moved == []
    assert drill.result["rto"]["seconds"] is not None
    assert drills.targets_of(drill) == {"rto": "not_proven", "rpo": "not_proven"}


@pytest.mark.parametrize("kind", [MoveKind.ISOLATE, MoveKind.FAIL_OVER, MoveKind.SWITCH])
def test_a_failed_step_never_reports_met_and_everything_comes_back(kind):
    house = DrillHouse()
    house.database.fails = {kind}

    drill = house.run()

    assert drill.phase is Phase.CLOSED
    assert drill.outcome is Outcome.FAILED
    assert "met" not in drills.targets_of(drill).values()
    assert house.is_as_before()


def test_a_failover_nobody_can_vouch_for_is_held_with_what_is_live_where():
    house = DrillHouse()
    house.database.unknown = {MoveKind.FAIL_OVER}
    own = house.start()

    drill = house.drive(own)

    assert drill.phase is Phase.HELD
    ended = house.record(own).last("phase_ended")
    assert ended.facts["live"] == {"database": {"primary": "isolated", "recovery": "standby"}}


def test_a_failback_that_fails_is_held_until_a_person_says_how_it_goes_on():
    house = DrillHouse()
    house.database.fails = {MoveKind.FAIL_BACK}
    own = house.start()

    held = house.drive(own)
    live = house.record(own).last("phase_ended").facts["live"]
    house.database.fails = set()
    drills.answer_held(
        house.world, ACME, own, DrillEvent.RESUMED, by="eve", role=Role.ENGINEER, reason="disk full"
    )
    closed = house.drive(own, "run-2")

    assert held.phase is Phase.HELD
    assert live == {"database": {"primary": "isolated", "recovery": "live"}}
    assert closed.phase is Phase.CLOSED
    assert closed.outcome is Outcome.FAILED
    assert "met" not in drills.targets_of(closed).values()
    assert house.is_as_before()


def test_what_a_drill_leaves_behind_holds_it():
    house = DrillHouse()
    house.database.stays = ["slot qlrf_drill"]

    drill = house.run()

    assert drill.phase is Phase.HELD
    assert "slot qlrf_drill" in house.record(drill.id).last("phase_ended").facts["why"]


def test_a_service_that_flaps_is_proven_by_the_run_that_holds():
    house = DrillHouse()
    house.database.flaps = [True, True, False, True, False]

    drill = house.run()

    assert drill.outcome is Outcome.PASSED
    assert 5.0 <= drill.result["rto"]["seconds"] <= 6.0


def test_a_service_that_never_holds_fails_and_is_missed_if_that_took_too_long():
    house = DrillHouse(plan=plan(rto_seconds=30.0))
    house.database.flaps = [True, False] * 1000

    drill = house.run()

    assert drill.outcome is Outcome.FAILED
    assert drill.result["rto"]["seconds"] is None
    assert drill.result["rto"]["verdict"] == "missed"
    assert house.is_as_before()


def test_a_clock_that_steps_back_changes_nothing_and_is_told():
    house = DrillHouse()
    house.database.warm_up = 4.0
    own = house.start()
    for phase in (Phase.VALIDATION, Phase.ISOLATION):
        drills.run_phase(house.world, ACME, own, phase, holder="run-1")
    house.stopwatch.clock.advance(hours=-1)

    drill = house.drive(own)

    assert 4.0 <= drill.result["rto"]["seconds"] <= 5.0
    assert drill.result["rto"]["verdict"] == "met"
    assert [round(s["seconds"]) for s in drill.result["clock_steps"]] == [-3600]


def test_a_machine_that_restarts_in_between_proves_nothing():
    house = DrillHouse()
    own = house.start()
    for phase in (Phase.VALIDATION, Phase.ISOLATION):
        drills.run_phase(house.world, ACME, own, phase, holder="run-1")
    house.stopwatch.reboot()
    house.database.ready_ticks = 0

    drill = house.drive(own, "run-2")

    assert drill.outcome is Outcome.PASSED
    assert drill.result["rto"]["verdict"] == "not_proven"
    assert drill.result["rpo"]["verdict"] == "met"


@pytest.mark.parametrize(
    "status", [ReplicationStatus.UNKNOWN, ReplicationStatus.FAILED], ids=lambda s: s.value
)
def test_replication_that_is_not_known_to_work_ends_a_drill_before_it_begins(status):
    house = DrillHouse()
    house.database.status = status

    drill = house.run()

    assert drill.outcome is Outcome.FAILED
    assert house.database.moved == []
    assert house.database.written == []


def test_a_primary_that_is_not_live_is_not_assumed_to_be():
    house = DrillHouse()
    house.database.sides[Side.PRIMARY] = Serving.UNKNOWN

    drill = house.run()

    assert drill.outcome is Outcome.FAILED
    assert house.database.moved == []


def test_members_move_in_the_order_of_their_dependencies():
    house = DrillHouse(
        plan=plan(
            groups=(
                (member("cache"), member(), member("api", "database", "cache")),
                (member("web", "api"),),
            )
        )
    )

    own = house.run().id

    order = [m.member for m in house.record(own).moves if m.kind is MoveKind.FAIL_OVER]
    back = [m.member for m in house.record(own).moves if m.kind is MoveKind.FAIL_BACK]
    assert order == ["cache", "database", "api", "web"]
    assert back == ["web", "api", "cache", "database"]


def test_an_abort_brings_back_what_moved():
    house = DrillHouse()
    own = house.start()
    for phase in (Phase.VALIDATION, Phase.ISOLATION, Phase.FAILOVER):
        drills.run_phase(house.world, ACME, own, phase, holder="run-1")

    drills.abort_drill(house.world, ACME, own, by="otto", role=Role.OPERATOR, reason="customers")
    drill = house.drive(own)

    assert drill.outcome is Outcome.ABORTED
    assert house.is_as_before()
    assert "met" not in drills.targets_of(drill).values()


def test_a_member_nobody_can_move_is_refused_before_anything_is_touched():
    house = DrillHouse(plan=plan(groups=((member(adapter="tape"),),)))

    drill = house.run()

    assert drill.outcome is Outcome.FAILED
    assert "tape" in drill.result["rto"]["why"]


def test_what_cannot_be_fenced_is_not_failed_over():
    house = DrillHouse()
    house.database.refuses = {MoveKind.ISOLATE}

    drill = house.run()

    assert house.database.sides[Side.RECOVERY] is Serving.STANDBY
    assert MoveKind.FAIL_OVER not in house.database.moved
    assert drill.outcome is Outcome.FAILED


def test_a_member_without_anything_to_switch_is_no_failure():
    house = DrillHouse()
    house.database.refuses = {MoveKind.SWITCH}

    drill = house.run()

    states = {m.kind: m.state for m in house.record(drill.id).moves}
    assert states[MoveKind.SWITCH] is MoveState.REFUSED
    assert drill.outcome is Outcome.PASSED


def test_moves_that_take_their_time_are_asked_for_until_they_are_done():
    house = DrillHouse()
    house.database.polls = {MoveKind.FAIL_OVER: 3}
    house.database.unavailable = 2

    drill = house.run()

    assert drill.outcome is Outcome.PASSED


def test_a_move_that_never_ends_is_given_up_in_time():
    house = DrillHouse(plan=plan(move_seconds=20.0))
    house.database.polls = {MoveKind.FAIL_OVER: 10_000}

    drill = house.run()

    assert drill.outcome is Outcome.FAILED
    assert house.is_as_before()


def test_without_a_target_nothing_is_met():
    house = DrillHouse(plan=plan(rto_seconds=None, rpo_seconds=None))

    assert drills.targets_of(house.run()) == {"rto": "not_proven", "rpo": "not_proven"}


def test_a_standby_that_answers_before_it_was_failed_over_proves_nothing():
    house = DrillHouse()
    house.database.polls = {MoveKind.FAIL_OVER: 10}
    house.database.answers_as_standby = True

    drill = house.run()

    assert drill.outcome is Outcome.PASSED
    assert drill.result["rto"]["seconds"] >= 10.0


class SqlOnly(FakeRecovery):
    """Whose members run no commands."""

    answers = frozenset({ProbeType.SQL})


@pytest.mark.parametrize("type_", [DrillType.FULL, DrillType.TEST_FAILOVER, DrillType.TABLETOP])
def test_a_probe_that_nobody_could_ever_answer_ends_the_drill_before_anything_is_touched(type_):
    clock = FakeStopwatch()
    database = FakeMember(stopwatch=clock)
    probe = ProbeRule(name="disk", type=ProbeType.COMMAND, member="database", command=("df",))
    house = DrillHouse(
        plan=plan(probes=(probe,)),
        members={"database": database},
        stopwatch=clock,
        overrides={"recovery": {"fake": SqlOnly(database=database)}},
    )

    drill = house.run(type_)

    assert drill.outcome is Outcome.FAILED
    assert database.moved == []
    assert database.written == []
    whys = " ".join(str(entry.facts) for entry in house.record(drill.id).entries)
    assert "probe disk asks by command, which the adapter fake cannot answer" in whys
    assert "ask by sql, http or tcp" in whys


def test_a_probe_the_adapter_answers_is_no_problem():
    probe = ProbeRule(name="disk", type=ProbeType.COMMAND, member="database", command=("df",))

    assert DrillHouse(plan=plan(probes=(probe,))).run().outcome is Outcome.PASSED
