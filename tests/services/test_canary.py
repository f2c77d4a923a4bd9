"""Looking at a live canary: both sides, again and again, and never past a source that fails."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from qlrf_pipelines.domain.canary import Analysis, Judgement, Kind, Metric, Unit, Verdict
from qlrf_pipelines.domain.errors import Denied, Rejected, Unavailable
from qlrf_pipelines.services.canary import analyse, look_due, watch
from resources.canary import FolderAnalyses
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.metrics import FakeMetrics

LATENCY = Metric(
    name="latency", unit=Unit.SECONDS, critical=True, relative=0.2, query="p99{${scope}}"
)
ERRORS = Metric(
    name="errors",
    unit=Unit.RATIO,
    kind=Kind.RATE,
    critical=True,
    absolute=0.01,
    query="errors{${scope}}",
    total_query="all{${scope}}",
)
ANALYSIS = Analysis(
    name="shop",
    metrics=(LATENCY,),
    duration=1200,
    step=30,
    looks=4,
    baseline='track="stable"',
    canary='track="canary"',
)
STABLE, CANARY = 'p99{track="stable"}', 'p99{track="canary"}'


def steady(at: datetime) -> float:
    """About 100, a little different every time."""
    return 100 + (at.timestamp() * 7919 % 101) / 10


def twice(at: datetime) -> float:
    return 2 * steady(at) + 0.01


def other(at: datetime) -> float:
    return steady(at + timedelta(seconds=17))


class Watcher:
    """Watches with a clock that jumps to whenever the next look is due."""

    def __init__(self) -> None:
        self.clock = FakeClock(NOON)
        self.looks: list[Judgement] = []

    def watch(self, source: FakeMetrics, analysis: Analysis = ANALYSIS) -> Judgement:
        return watch(
            source,
            analysis,
            start=NOON,
            clock=self.clock,
            wait=lambda seconds: self.clock.advance(seconds=seconds),
            on_look=self.looks.append,
        )


def test_a_good_canary_is_looked_at_to_the_end_and_then_passes() -> None:
    watcher = Watcher()
    found = watcher.watch(FakeMetrics({STABLE: steady, CANARY: other}))

    assert found.verdict is Verdict.PASS
    assert [look.look for look in watcher.looks] == [1, 2, 3, 4]
    assert {look.verdict for look in watcher.looks[:-1]} == {Verdict.INCONCLUSIVE}
    assert (
        watcher.clock.now()
        == look_due(ANALYSIS, start=NOON, look=4)
        == NOON + timedelta(minutes=20)
    )


def test_a_bad_canary_is_given_up_at_the_first_look_that_shows_it() -> None:
    watcher = Watcher()
    found = watcher.watch(FakeMetrics({STABLE: steady, CANARY: twice}))

    assert found.verdict is Verdict.FAIL
    assert len(watcher.looks) == 1
    assert watcher.clock.now() == NOON + timedelta(minutes=5)


@pytest.mark.parametrize("error", [Unavailable("down"), Denied("not you"), Rejected("no PromQL")])
@pytest.mark.parametrize("side", [STABLE, CANARY])
def test_a_source_that_fails_holds_the_canary_and_does_not_promote_it(side, error) -> None:
    watcher = Watcher()
    found = watcher.watch(FakeMetrics({STABLE: steady, CANARY: other, side: error}))

    assert found.verdict is Verdict.INCONCLUSIVE
    assert len(watcher.looks) == 4
    assert str(error) in found.findings[0].reason


def test_a_source_that_fails_for_a_while_is_asked_again() -> None:
    source = FakeMetrics({STABLE: steady, CANARY: Unavailable("restarting")})
    first = analyse(source, ANALYSIS, start=NOON, look=3)
    source.answers[CANARY] = other

    assert first.verdict is Verdict.INCONCLUSIVE
    assert analyse(source, ANALYSIS, start=NOON, look=4).verdict is Verdict.PASS


def test_a_canary_that_stops_reporting_does_not_pass() -> None:
    fell_silent = FakeMetrics(
        {
            STABLE: steady,
            CANARY: lambda at: other(at) if at < NOON + timedelta(minutes=12) else None,
        }
    )
    found = analyse(fell_silent, ANALYSIS, start=NOON, look=4)

    assert found.verdict is not Verdict.PASS
    assert any("missing" in problem for problem in found.findings[0].problems)


def test_a_metric_nobody_knows_is_inconclusive() -> None:
    found = analyse(FakeMetrics({STABLE: steady}), ANALYSIS, start=NOON, look=4)

    assert found.verdict is Verdict.INCONCLUSIVE
    assert "no such series" in found.findings[0].reason


def test_rates_are_put_together_moment_by_moment() -> None:
    analysis = Analysis(
        name="rates",
        metrics=(ERRORS,),
        duration=1200,
        step=30,
        looks=4,
        baseline="a",
        canary="b",
    )
    answers = {
        "errors{a}": lambda at: 0.0,
        "all{a}": lambda at: 100.0,
        "errors{b}": lambda at: 5.0,
        "all{b}": lambda at: 100.0,
    }
    found = analyse(FakeMetrics(answers), analysis, start=NOON, look=4)
    assert found.verdict is Verdict.FAIL
    assert found.findings[0].canary == pytest.approx(0.05)

    answers["all{b}"] = lambda at: 100.0 if at != NOON + timedelta(minutes=1) else None
    answers["errors{b}"] = lambda at: 0.0
    gap = analyse(FakeMetrics(answers), analysis, start=NOON, look=4)
    assert gap.verdict is Verdict.INCONCLUSIVE
    assert gap.findings[0].missing == 1


def test_a_look_repeated_after_a_crash_says_the_same() -> None:
    source = FakeMetrics({STABLE: steady, CANARY: other})

    assert analyse(source, ANALYSIS, start=NOON, look=2) == analyse(
        source, ANALYSIS, start=NOON, look=2
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"canary": 'track="stable"'}, "are the same"),
        ({"canary": " "}, "must both say"),
        ({"metrics": (Metric(name="up", unit=Unit.COUNT, query="up"),)}, "does not hold"),
    ],
)
def test_comparing_a_thing_with_itself_is_refused(change, words) -> None:
    from dataclasses import replace

    source = FakeMetrics({})
    with pytest.raises(Rejected, match=words):
        analyse(source, replace(ANALYSIS, **change), start=NOON, look=1)
    assert source.asked == []


def test_the_templates_hold_and_compare_in_one_unit() -> None:
    shipped = FolderAnalyses()
    found = {name: shipped.named(name) for name in shipped.names()}

    limits = {name: {m.name: m.limit for m in a.metrics} for name, a in found.items()}
    assert limits == {
        "basic": {"error-rate": 0.01},
        "standard": {"error-rate": 0.01, "latency-p99": 0.5},
        "comprehensive": {
            "error-rate": 0.005,
            "latency-p99": 0.3,
            "latency-p50": 0.1,
            "cpu-usage": pytest.approx(0.8),
            "memory-usage": pytest.approx(0.85),
        },
    }
    assert {name: a.duration for name, a in found.items()} == {
        "basic": 300,
        "standard": 600,
        "comprehensive": 1800,
    }
    for analysis in found.values():
        for metric in analysis.metrics:
            assert "${scope}" in metric.query


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("unit: milliseconds", "unit: bytes", "cannot be compared"),
        ("unit: milliseconds", "unit: msec", "unit"),
        ("looks: 10", "looks: 10\n  lookz: 3", "lookz"),
        ("      totalQuery: sum(", "      #", "totalQuery"),
        ("kind: CanaryAnalysis", "kind: Tenant", "."),
        (
            "  looks: 10",
            "  provider: {kind: prometheus, url: 'https://u:p@m.example'}\n  looks: 10",
            "without credentials",
        ),
    ],
)
def test_an_analysis_that_breaks_its_contract_is_refused(tmp_path: Path, old, new, words) -> None:
    text = Path("policies/canary/standard.yaml").read_text()
    assert old in text
    (tmp_path / "odd.yaml").write_text(text.replace(old, new))

    with pytest.raises(Rejected, match=words):
        FolderAnalyses().named(str(tmp_path / "odd.yaml"))
