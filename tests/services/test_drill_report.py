"""A drill's evidence is sealed once, can be measured again, and claims no more than it proves."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.approval import DecisionKind
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.evidence import digest, verify_chain
from qlrf_pipelines.domain.measurement import Answer, CanaryWrite, Instant, Verdict, measure_loss
from qlrf_pipelines.domain.measurement import measure_rto as again
from qlrf_pipelines.domain.moments import from_iso
from qlrf_pipelines.domain.operations import Health
from qlrf_pipelines.domain.paper import Chart, Paper, Tone
from qlrf_pipelines.domain.recovery import MoveKind
from qlrf_pipelines.domain.recovery_plans import DrillType, ManualStep
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.services import drills
from qlrf_pipelines.services.approvals import submit_task
from qlrf_pipelines.services.drill_chart import chart_of, duration, promised
from qlrf_pipelines.services.drill_paper import paper_of
from qlrf_pipelines.services.drill_report import (
    SEAL,
    DrillReport,
    drill_report,
    drill_report_pdf,
    seal_document,
)
from tests.fakes.approvals import ACME
from tests.fakes.drill_house import DrillHouse
from tests.fakes.drilled import plan
from tests.fakes.reports import FakeReports


@pytest.fixture
def house() -> DrillHouse:
    """A database whose standby lags by three writes and takes seven seconds to answer."""
    house = DrillHouse()
    house.database.lag, house.database.warm_up = 3, 7.0
    return house


def reported(house: DrillHouse, type_: DrillType | None = None) -> DrillReport:
    return drill_report(house.world, ACME, house.run(type_).id)


def paper(report: DrillReport) -> Paper:
    return paper_of(report.document, seal_document(report.seal, report.digest))


def test_a_report_is_sealed_by_one_entry_that_holds_its_digest(house: DrillHouse) -> None:
    report = reported(house)

    entries = list(house.world.ledger.entries(ACME))
    assert verify_chain(entries) == len(entries)
    [seal] = [entry for entry in entries if entry.kind == SEAL]
    assert seal == report.seal
    assert seal.content["digest"] == digest(report.document) == report.digest


def test_the_same_drill_asked_for_again_is_the_same_report_under_the_same_seal(
    house: DrillHouse,
) -> None:
    first = reported(house)
    house.stopwatch.sleep(86_400)

    second = drill_report(house.world, ACME, first.document["drill"]["id"])

    assert second == first
    assert sum(entry.kind == SEAL for entry in house.world.ledger.entries(ACME)) == 1


def test_what_is_said_of_a_task_later_changes_no_report(house: DrillHouse) -> None:
    own = house.start()
    task = submit_task(
        house.world, ACME, kind="dr_drill", title="Drill", document={"drill": own},
        requested_by="rita", key=f"drill:{own}",
    )  # fmt: skip
    house.drive(own)
    before = drill_report(house.world, ACME, own)
    later = house.world.tasks.get(ACME, task.id)
    house.world.tasks.kept[ACME, task.id] = replace(  # type: ignore[attr-defined]
        later, decisions=tuple(_decisions(house, task.digest))
    )

    assert drill_report(house.world, ACME, own).digest == before.digest
    assert before.document["approvals"]["task"] == task.id


def _decisions(house: DrillHouse, own: str) -> Iterator[Any]:
    from tests.fakes.approvals import said

    house.stopwatch.sleep(60)
    yield replace(said("review", digest=own), at=house.world.clock.now())


def test_a_drill_that_is_not_closed_has_no_report(house: DrillHouse) -> None:
    own = house.start()

    with pytest.raises(Refused, match="validation"):
        drill_report(house.world, ACME, own)


def _instant(stamp: list[str] | None) -> Instant | None:
    if stamp is None:
        return None
    return Instant(at=from_iso(stamp[0]), ticks=int(stamp[1]), boot=stamp[2])


def test_both_measurements_can_be_made_again_from_the_document_alone(house: DrillHouse) -> None:
    told = reported(house).document

    answers = [
        Answer(probe=a["probe"], health=Health(a["health"]), instant=_instant(a["instant"]))  # type: ignore[arg-type]
        for a in told["answers"]
    ]
    rto = again(
        _instant(told["drill"]["declared"]), answers, required={"port": 3}, max_gap_seconds=4
    )
    writes = [
        CanaryWrite(
            member=w["member"],
            number=w["number"],
            attempted=_instant(w["attempted"]),  # type: ignore[arg-type]
            acknowledged=_instant(w["acknowledged"]),
        )
        for w in told["writes"]
        if w["number"] < 1_000_000_000
    ]
    [sequence] = told["sequences"]
    [[low, high]] = sequence["recovered"]
    loss = measure_loss("database", writes, range(low, high + 1))

    assert rto.seconds == told["result"]["rto"]["seconds"] == 7.0
    assert loss.lost == told["result"]["rpo"]["writes"] == 3
    assert loss.seconds == told["result"]["rpo"]["seconds"]


def test_a_good_drill_reads_as_one(house: DrillHouse) -> None:
    shown = paper(reported(house))

    assert (shown.outcome, shown.outcome_tone) == ("Passed", Tone.GOOD)
    assert [(tile.measured, tile.verdict) for tile in shown.tiles] == [
        ("7.00 s", "met"),
        ("1.00 s", "met"),
    ]
    assert "3 acknowledged writes lost" in shown.tiles[1].why
    assert "7.00 s after the incident was declared" in shown.summary
    assert "Nothing of the drill was left behind." in shown.summary


def test_a_failed_drill_shows_words_where_its_numbers_would_be(house: DrillHouse) -> None:
    house.database.fails.add(MoveKind.SWITCH)

    shown = paper(reported(house))

    assert (shown.outcome, shown.outcome_tone) == ("Failed", Tone.BAD)
    assert [(tile.measured, tile.verdict) for tile in shown.tiles] == [
        ("Not proven", "not proven")
    ] * 2
    assert "did not switch" in shown.summary


def test_a_missed_target_is_no_passed_drill(house: DrillHouse) -> None:
    slow = DrillHouse(plan=plan(rto_seconds=5.0))
    slow.database.warm_up = 7.0

    shown = paper(reported(slow))

    assert (shown.outcome, shown.outcome_tone) == ("Target missed", Tone.BAD)
    assert (shown.tiles[0].measured, shown.tiles[0].target) == ("7.00 s", "Target: at most 5 s")


def test_a_tabletop_measures_nothing_and_says_so(house: DrillHouse) -> None:
    shown = paper(reported(house, DrillType.TABLETOP))

    assert {tile.measured for tile in shown.tiles} == {"Not proven"}
    assert shown.outcome == "Completed"
    assert "nothing is measured" in shown.summary
    assert "Nothing was changed anywhere." in {part.note for part in shown.parts}


def test_who_signed_and_who_decided_stands_there_with_what_they_decided_about() -> None:
    step = ManualStep(name="tell-support", phase="isolation", text="Tell support.")
    house = DrillHouse(plan=plan(runbook=(step,)))
    own = house.start()
    task = submit_task(
        house.world, ACME, kind="dr_drill", title="Drill", document={"drill": own},
        requested_by="rita", key=f"drill:{own}",
    )  # fmt: skip
    _approved(house, task.id, task.digest)
    house.drive(own)
    drills.sign_step(house.world, ACME, own, step="tell-support", by="otto", role=Role.OPERATOR)
    house.drive(own)

    parts = {part.title: part for part in paper(drill_report(house.world, ACME, own)).parts}

    [decision] = parts["Approvals"].rows
    assert [cell.text for cell in decision[:3]] == ["ann", "engineer", "approve"]
    assert decision[4].text == task.digest
    [signed] = parts["Runbook"].rows
    assert [cell.text for cell in signed[:4]] == [
        "tell-support", "Tell support.", "isolation", "otto (operator)",
    ]  # fmt: skip


def _approved(house: DrillHouse, task: str, own: str) -> None:
    from tests.fakes.approvals import said

    record = house.world.tasks.get(ACME, task)
    word = said(DecisionKind.APPROVE.value, digest=own, hours=0)
    kept = replace(record, decisions=(word,))
    house.world.tasks.kept[ACME, task] = kept  # type: ignore[attr-defined]


def test_the_pdf_is_made_of_the_very_document_that_was_sealed(house: DrillHouse) -> None:
    reports, report = FakeReports(), reported(house)

    drill_report_pdf(reports, report)

    [shown] = reports.set
    assert report.digest in shown.footer
    assert dict(shown.proofs)["Entry's hash"] == report.seal.hash


VERDICTS = [verdict.value for verdict in Verdict]


@settings(max_examples=60, deadline=None)
@given(
    verdict=st.sampled_from([*VERDICTS, None]),
    seconds=st.none() | st.floats(0, 1e6),
    target=st.none() | st.floats(1, 1e6),
    outcome=st.sampled_from(["passed", "failed", "aborted"]),
)
def test_no_number_is_large_on_the_page_unless_it_was_proven(
    verdict: str | None, seconds: float | None, target: float | None, outcome: str
) -> None:
    told = {"target": target, "seconds": seconds, "why": "so"}
    judged = told if verdict is None else told | {"verdict": verdict}
    document = DOCUMENT | {
        "result": DOCUMENT["result"] | {"rto": judged, "rpo": judged},
        "drill": DOCUMENT["drill"] | {"outcome": outcome},
    }

    shown = paper_of(document, SEALED)

    for tile in shown.tiles:
        if verdict in ("met", "missed"):
            assert tile.verdict == verdict
        else:
            assert (tile.measured, tile.verdict) == ("Not proven", "not proven")
    if outcome != "passed" or verdict != "met":
        assert shown.outcome_tone is not Tone.GOOD


_HOUSE = DrillHouse()
_REPORT = reported(_HOUSE)
DOCUMENT, SEALED = _REPORT.document, seal_document(_REPORT.seal, _REPORT.digest)


def places(chart: Chart) -> Iterator[float]:
    for lane in chart.lanes:
        for bar in lane.bars:
            yield from (bar.begin, bar.begin + bar.length, bar.text_at)
    yield from (mark.at for mark in (*chart.ticks, *chart.marks))


@pytest.mark.parametrize("waited", [0.0, 3600.0, 86_400.0])
def test_a_day_of_waiting_for_people_does_not_squeeze_the_chart(waited: float) -> None:
    house = DrillHouse()
    house.database.warm_up = 30.0
    own = house.start()
    house.stopwatch.sleep(waited)
    house.drive(own)

    chart = chart_of(drill_report(house.world, ACME, own).document)

    assert all(0 <= place <= 1.00001 for place in places(chart))
    incident, proven = (mark.at for mark in chart.marks)
    assert proven - incident > 0.5
    assert len(chart.ticks) <= 10


def test_the_chart_can_be_heard(house: DrillHouse) -> None:
    spoken = chart_of(reported(house).document).spoken

    assert "failover passed" in spoken
    assert "port: 4 good, 7 bad, 0 without answer" in spoken


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(None, "not known"), (0.004, "0.00 s"), (12.34, "12.3 s"), (125, "2 min 05 s"),
     (7260, "2 h 01 min")],
)  # fmt: skip
def test_lengths_are_said_as_people_say_them(seconds: float | None, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(("seconds", "said"), [(30.0, "30 s"), (0.5, "0.5 s"), (300.0, "5 min")])
def test_promises_have_no_digits_nobody_gave(seconds: float, said: str) -> None:
    assert promised(seconds) == said
