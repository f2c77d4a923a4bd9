"""Measured, or not proven: nothing that is missing ever turns into `met`."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.measurement import (
    Answer,
    CanaryWrite,
    Measured,
    Ranges,
    Verdict,
    clock_steps,
    elapsed,
    good_run,
    judge,
    measure_loss,
    measure_rto,
    worst,
)
from qlrf_pipelines.domain.operations import Health
from tests.fakes.drilled import at

GOOD, BAD, UNKNOWN = Health.HEALTHY, Health.UNHEALTHY, Health.UNKNOWN


def answers(*healths: Health, probe: str = "p", start: float = 1, every: float = 1) -> list[Answer]:
    return [
        Answer(probe=probe, health=health, instant=at(start + n * every))
        for n, health in enumerate(healths)
    ]


def rto(*healths: Health, consecutive: int = 3, **parts: float) -> Measured:
    return measure_rto(
        at(0), answers(*healths, **parts), required={"p": consecutive}, max_gap_seconds=3,
        until=at(99),
    )  # fmt: skip


def test_the_clock_stops_at_the_first_of_the_good_answers():
    assert rto(BAD, BAD, GOOD, GOOD, GOOD).seconds == 3.0


def test_a_flap_begins_the_run_again():
    assert rto(GOOD, GOOD, BAD, GOOD, GOOD, GOOD).seconds == 4.0


def test_unknown_is_no_good_answer():
    assert rto(GOOD, UNKNOWN, GOOD, GOOD).seconds is None


def test_a_time_in_which_nobody_asked_breaks_a_run():
    said = [*answers(GOOD, GOOD), *answers(GOOD, start=60)]

    assert good_run(said, consecutive=3, max_gap_seconds=3) is None


def test_the_slowest_probe_counts():
    said = [*answers(GOOD, GOOD, GOOD), *answers(GOOD, GOOD, GOOD, probe="q", start=5)]

    found = measure_rto(at(0), said, required={"p": 2, "q": 3}, max_gap_seconds=9)

    assert found.seconds == 5.0


def test_a_probe_that_never_answered_leaves_no_number():
    found = measure_rto(
        at(0), answers(GOOD, GOOD), required={"p": 1, "q": 1}, max_gap_seconds=9, until=at(50)
    )

    assert (found.seconds, found.at_least) == (None, 50.0)
    assert "q" in found.why


def test_a_wall_clock_that_steps_changes_no_interval_and_is_told():
    said = [replace(a, instant=at(n, wall=n - 3600)) for n, a in enumerate(answers(GOOD, GOOD), 2)]

    found = measure_rto(at(0), said, required={"p": 2}, max_gap_seconds=3)

    assert found.seconds == 2.0
    assert [s.seconds for s in clock_steps([at(0), *(a.instant for a in said)])] == [-3600.0]


def test_two_boots_are_not_compared():
    assert elapsed(at(1), at(9, boot="boot-2")) is None
    said = [replace(a, instant=replace(a.instant, boot="boot-2")) for a in answers(GOOD)]

    found = measure_rto(at(0), said, required={"p": 1}, max_gap_seconds=3)

    assert found.seconds is None
    assert judge(found, 1e9).verdict is Verdict.NOT_PROVEN


def test_ticks_that_go_back_are_no_interval():
    assert elapsed(at(9), at(1)) is None


def test_without_probes_or_an_incident_there_is_nothing_to_measure():
    assert measure_rto(at(0), [], required={}, max_gap_seconds=3).seconds is None
    assert measure_rto(None, answers(GOOD), required={"p": 1}, max_gap_seconds=3).seconds is None


def wrote(*numbers: int, acknowledged: bool = True, every: float = 0.5) -> list[CanaryWrite]:
    return [
        CanaryWrite(
            member="m",
            number=n,
            attempted=at(n * every),
            acknowledged=at(n * every) if acknowledged else None,
        )
        for n in numbers
    ]


def test_the_loss_is_what_was_acknowledged_behind_the_unbroken_run():
    loss = measure_loss("m", wrote(*range(1, 11)), [1, 2, 3, 4, 5, 6])

    assert (loss.contiguous, loss.lost, loss.missing, loss.seconds) == (6, 4, 4, 2.0)


def test_what_arrived_behind_a_hole_is_not_recovered():
    loss = measure_loss("m", wrote(*range(1, 11)), [1, 2, 3, 5, 6, 7, 8, 9, 10])

    assert (loss.contiguous, loss.lost, loss.missing) == (3, 7, 1)


def test_a_write_nobody_vouched_for_is_neither_lost_nor_a_hole():
    loss = measure_loss("m", [*wrote(1, 2, 4), *wrote(3, acknowledged=False)], [1, 2, 4])

    assert (loss.lost, loss.unsure, loss.seconds) == (0, 1, 0.0)


def test_if_nothing_arrived_the_loss_has_only_a_lower_bound():
    loss = measure_loss("m", wrote(*range(1, 6)), [])

    assert (loss.lost, loss.seconds, loss.at_least) == (5, None, 2.0)
    assert judge(worst([loss]), 1.0).verdict is Verdict.MISSED
    assert judge(worst([loss]), 60.0).verdict is Verdict.NOT_PROVEN


@pytest.mark.parametrize(
    ("writes", "recovered"), [([], [1]), (wrote(1), None), (wrote(1, acknowledged=False), [1])]
)
def test_what_was_not_written_or_not_read_proves_nothing(writes, recovered):
    loss = measure_loss("m", writes, recovered)

    assert loss.lost is None
    assert judge(worst([loss]), 1e9).verdict is Verdict.NOT_PROVEN


def test_an_application_loses_what_its_worst_member_loses():
    some = measure_loss("m", wrote(*range(1, 11)), range(1, 9))
    none = replace(some, member="n", lost=0, seconds=0.0)

    assert worst([none, some]).seconds == 1.0
    assert worst([none, replace(some, seconds=None)]).seconds is None
    assert worst([]).seconds is None


SECONDS = st.one_of(st.none(), st.floats(0, 1e6))


@given(seconds=SECONDS, at_least=SECONDS, target=SECONDS, unproven=st.sampled_from(["", "failed"]))
def test_met_means_measured_within_a_target_and_nothing_unproven(
    seconds, at_least, target, unproven
):
    measured = Measured(seconds=seconds, why="w", at_least=at_least)

    verdict = judge(measured, target, unproven=unproven).verdict

    met = target is not None and seconds is not None and seconds <= target and not unproven
    assert (verdict is Verdict.MET) == met


@given(
    healths=st.lists(st.sampled_from([GOOD, BAD, UNKNOWN]), max_size=12),
    consecutive=st.integers(1, 4),
    drop=st.integers(0, 11),
)
def test_taking_an_answer_away_never_makes_the_recovery_faster(healths, consecutive, drop):
    said = answers(*healths)
    fewer = said[:drop] + said[drop + 1 :]

    def measured(given: list[Answer]) -> float | None:
        return measure_rto(at(0), given, required={"p": consecutive}, max_gap_seconds=1.5).seconds

    before, after = measured(said), measured(fewer)

    # Only a bad answer at the very end may have stood in the way of a run.
    if after is not None and said and (drop >= len(said) or said[drop].health is GOOD):
        assert before is not None
        assert after >= before


NUMBERS = st.sets(st.integers(1, 30))


@given(acknowledged=NUMBERS, recovered=NUMBERS, gone=st.integers(1, 30))
def test_losing_a_number_never_makes_the_loss_smaller(acknowledged, recovered, gone):
    writes = wrote(*sorted(acknowledged))

    before = measure_loss("m", writes, sorted(recovered)).lost
    after = measure_loss("m", writes, sorted(recovered - {gone})).lost

    assert (before is None) == (after is None)
    if before is not None and after is not None:
        assert after >= before


@given(numbers=st.sets(st.integers(-5, 60)))
def test_ranges_hold_exactly_their_numbers(numbers):
    assert Ranges.of(numbers).numbers == sorted(numbers)
