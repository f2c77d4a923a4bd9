"""A drill's phases: every pair of phase and event, and the way out that always leads back."""

import pytest

from qlrf_pipelines.domain import drill_steps
from qlrf_pipelines.domain.drills import (
    NEXT,
    PHASES,
    TOUCHING,
    DrillEvent,
    DrillRecord,
    Outcome,
    Phase,
    advance,
)
from qlrf_pipelines.domain.errors import Refused, Rejected
from qlrf_pipelines.domain.evidence import digest
from qlrf_pipelines.domain.recovery import MoveKind
from qlrf_pipelines.domain.roles import Role
from tests.fakes.drilled import at, first, move

TABLE = {
    ("validation", "passed"): "isolation",
    ("validation", "failed"): "reporting",
    ("validation", "aborted"): "reporting",
    ("isolation", "passed"): "failover",
    ("isolation", "failed"): "failback",
    ("isolation", "aborted"): "failback",
    ("isolation", "unknown"): "held",
    ("failover", "passed"): "service_validation",
    ("failover", "failed"): "failback",
    ("failover", "aborted"): "failback",
    ("failover", "unknown"): "held",
    ("service_validation", "passed"): "workload",
    ("service_validation", "failed"): "failback",
    ("service_validation", "aborted"): "failback",
    ("service_validation", "unknown"): "held",
    ("workload", "passed"): "failback",
    ("workload", "failed"): "failback",
    ("workload", "aborted"): "failback",
    ("workload", "unknown"): "held",
    ("failback", "passed"): "reporting",
    ("failback", "failed"): "held",
    ("failback", "aborted"): "failback",
    ("failback", "unknown"): "held",
    ("held", "resumed"): "failback",
    ("held", "aborted"): "failback",
    ("held", "released"): "reporting",
    ("reporting", "passed"): "closed",
}
PAIRS = [(phase, event) for phase in Phase for event in DrillEvent]


@pytest.mark.parametrize(("phase", "event"), PAIRS, ids=lambda p: str(p))
def test_every_pair_of_phase_and_event_leads_where_it_must(phase, event):
    if (phase.value, event.value) in TABLE:
        assert advance(phase, event) == TABLE[phase.value, event.value]
    else:
        with pytest.raises(Refused, match=phase.value):
            advance(phase, event)


def test_nothing_that_was_touched_ends_without_its_way_back():
    def ways(phase: Phase, seen: tuple[Phase, ...]) -> list[tuple[Phase, ...]]:
        if phase is Phase.CLOSED:
            return [(*seen, phase)]
        following = {to for (at_, _), to in NEXT.items() if at_ is phase and to not in seen}
        return [way for to in following for way in ways(to, (*seen, phase))]

    for phase in TOUCHING:
        for way in ways(phase, ()):
            assert Phase.FAILBACK in way or Phase.HELD in way


def record(**parts: object) -> DrillRecord:
    step = first(**parts)
    return DrillRecord(drill=step.drill, entries=step.entries)


def test_the_worst_that_was_said_of_a_drill_stays():
    failed = drill_steps.ended(record(phase=Phase.FAILOVER), DrillEvent.FAILED, at(1)).drill
    back = drill_steps.ended(DrillRecord(drill=failed), DrillEvent.PASSED, at(2)).drill
    over = drill_steps.closed(DrillRecord(drill=back), at(3), result={}).drill

    assert (over.phase, over.outcome) == (Phase.CLOSED, Outcome.FAILED)


def test_an_abort_is_no_failure_and_a_failure_no_abort():
    aborted = drill_steps.ended(record(phase=Phase.WORKLOAD), DrillEvent.ABORTED, at(1)).drill
    held = drill_steps.ended(DrillRecord(drill=aborted), DrillEvent.FAILED, at(2)).drill
    again = drill_steps.ended(DrillRecord(drill=held), DrillEvent.ABORTED, at(3)).drill

    assert aborted.outcome is Outcome.ABORTED
    assert held.outcome is again.outcome is Outcome.FAILED


def test_a_step_of_an_older_attempt_is_refused():
    taken = drill_steps.taken(record(), holder="run-1", now=at(1))
    assert taken is not None

    with pytest.raises(Refused, match="attempt 1, this is 0"):
        drill_steps.mine(DrillRecord(drill=taken.drill), 0)
    assert drill_steps.taken(DrillRecord(drill=taken.drill), holder="run-1", now=at(2)) is None


def test_a_closed_drill_is_taken_by_nobody():
    with pytest.raises(Refused, match="closed"):
        drill_steps.taken(record(phase=Phase.CLOSED), holder="run-1", now=at(1))


@pytest.mark.parametrize("phase", [Phase.CLOSED, Phase.REPORTING])
def test_what_is_over_is_not_aborted(phase):
    with pytest.raises(Refused, match="nothing is left"):
        drill_steps.abort_asked(
            record(phase=phase), at(1), by="otto", role=Role.OPERATOR, reason="why not"
        )


def test_an_abort_and_an_answer_need_a_reason():
    with pytest.raises(Rejected):
        drill_steps.abort_asked(record(), at(1), by="otto", role=Role.OPERATOR, reason=" ")
    with pytest.raises(Rejected):
        drill_steps.answered(
            record(phase=Phase.HELD), DrillEvent.RESUMED, at(1), by="e", role=Role.ADMIN, reason=""
        )


@pytest.mark.parametrize("phase", [p for p in Phase if p is not Phase.HELD])
def test_only_what_is_held_is_resumed(phase):
    with pytest.raises(Refused, match="not held"):
        drill_steps.answered(
            record(phase=phase), DrillEvent.RESUMED, at(1), by="e", role=Role.ADMIN, reason="r"
        )


def test_a_move_has_one_token_for_ever_and_another_after_a_human_looked():
    tokens = {
        drill_steps.token_of(drill, name, kind, round_)
        for drill in ("d-1", "d-2")
        for name in ("a", "b")
        for kind in MoveKind
        for round_ in (0, 1)
    }

    assert len(tokens) == 2 * 2 * len(MoveKind) * 2
    assert all(len(token) == 64 for token in tokens)
    assert drill_steps.token_of("d", "a", MoveKind.SWITCH) in {
        drill_steps.token_of("d", "a", MoveKind.SWITCH, 0)
    }


def test_evidence_carries_both_clocks_and_the_digest_of_the_plan():
    step = drill_steps.move_begun(record(), [move(MoveKind.ISOLATE)], at(7))

    [entry] = step.evidence

    assert entry.recorded_at == at(7).at
    assert entry.content["ticks"] == "7000000000"
    assert entry.content["boot"] == "boot-1"
    assert entry.content["digest"] == digest(dict(step.drill.document))
    assert entry.content["move"] == "isolate"


def test_seven_phases_in_the_order_of_a_drill():
    assert [phase.value for phase in PHASES] == [
        "validation", "isolation", "failover", "service_validation", "workload", "failback",
        "reporting",
    ]  # fmt: skip
