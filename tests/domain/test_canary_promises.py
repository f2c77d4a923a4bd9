"""What the judge promises over all samples: losing data never helps, and looking often is free."""

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.canary import (
    Analysis,
    Kind,
    Metric,
    Seen,
    Side,
    Unit,
    Verdict,
    Worse,
    alpha_at,
)
from qlrf_pipelines.domain.canary_counts import fisher
from qlrf_pipelines.domain.canary_judge import judge
from qlrf_pipelines.domain.canary_ranks import evidence, mann_whitney

# Few distinct values, so that ties, constants and zero baselines come often.
VALUES = st.one_of(
    st.integers(-3, 12).map(float), st.floats(0, 12, allow_nan=False), st.just(math.nan)
)
BASE = Metric(name="m", unit=Unit.COUNT, minimum=3)


@st.composite
def metrics(draw, name: str) -> Metric:
    kind = draw(st.sampled_from(Kind))
    worse = Worse.HIGHER if kind is Kind.RATE else draw(st.sampled_from(Worse))
    limited = worse is not Worse.EITHER and draw(st.booleans())
    return Metric(
        name=name,
        unit=Unit.COUNT,
        kind=kind,
        worse=worse,
        critical=draw(st.booleans()),
        weight=draw(st.sampled_from([1.0, 3.0])),
        relative=draw(st.sampled_from([0.0, 0.1, 0.5, 2.0])),
        absolute=draw(st.sampled_from([0.05, 1.0, 5.0])),
        minimum=draw(st.integers(1, 4)),
        limit=(draw(st.sampled_from([0.2, 4.0])) if limited else None),
    )


@st.composite
def sides(draw, metric: Metric) -> Side:
    values = draw(st.lists(VALUES, min_size=0, max_size=14))
    totals = None
    if metric.kind is Kind.RATE:
        values = [v if math.isnan(v) else abs(round(v)) for v in values]
        totals = tuple(draw(st.sampled_from([12.0, 40.0, 500.0])) for _ in values)
    return Side(values=tuple(values), totals=totals, expected=len(values))


@st.composite
def worlds(draw) -> tuple[Analysis, dict[str, Seen]]:
    chosen = tuple(draw(metrics(name)) for name in ("a", "b")[: draw(st.integers(1, 2))])
    seen = {m.name: Seen(baseline=draw(sides(m)), canary=draw(sides(m))) for m in chosen}
    analysis = Analysis(
        name="x", metrics=chosen, false_alarm=0.2, confidence=draw(st.sampled_from([0.6, 0.9]))
    )
    return replace(analysis, pass_score=draw(st.sampled_from([70, 100]))), seen


def lose(draw: st.DrawFn, side: Side) -> Side:
    """The side without some of its samples; how many there should be is known as before."""
    kept = [i for i in range(len(side.values)) if draw(st.booleans())]
    totals = None if side.totals is None else tuple(side.totals[i] for i in kept)
    return replace(side, values=tuple(side.values[i] for i in kept), totals=totals)


@settings(max_examples=800, deadline=None)
@given(world=worlds(), data=st.data())
def test_losing_samples_or_metrics_never_brings_a_canary_nearer_to_promotion(world, data) -> None:
    analysis, seen = world
    whole = judge(analysis, seen, look=1, looks=1)
    part = {
        name: Seen(baseline=lose(data.draw, both.baseline), canary=lose(data.draw, both.canary))
        for name, both in seen.items()
        if data.draw(st.integers(0, 3))
    }

    left = judge(analysis, part, look=1, looks=1)

    assert left.verdict.promise <= whole.verdict.promise
    assert left.score <= whole.score
    for before, after in zip(whole.findings, left.findings, strict=True):
        assert after.verdict.promise <= before.verdict.promise


@settings(max_examples=300, deadline=None)
@given(world=worlds(), look=st.integers(1, 30))
def test_a_judgement_is_the_same_every_time_and_explains_itself(world, look) -> None:
    analysis, seen = world
    found = judge(analysis, seen, look=look)

    assert repr(found) == repr(judge(analysis, seen, look=look))
    assert found.reason
    assert all(finding.reason for finding in found.findings)
    # Of two equal rates without any relative tolerance no number of requests makes sure.
    for metric, finding in zip(analysis.metrics, found.findings, strict=True):
        if metric.kind is Kind.VALUE and finding.verdict is Verdict.INCONCLUSIVE:
            assert finding.needed or finding.problems or finding.limit is not None


LOOKS, STEPS, TRIALS = 20, 100, 400
SHAPES = {
    "normal": lambda rng, shape: rng.normal(100, 10, shape),
    "long-tailed": lambda rng, shape: 100 * rng.lognormal(0, 1, shape),
    "rounded": lambda rng, shape: np.round(rng.normal(10, 1, shape)),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_twenty_looks_raise_no_more_false_alarms_than_one(shape: str) -> None:
    """Without any tolerance, and with every look counted; plain testing at each look breaks it."""
    metric = replace(BASE, relative=0.0, minimum=5)
    nominal = 0.05
    analysis = Analysis(name="x", metrics=(metric,), looks=LOOKS, false_alarm=nominal)
    rng = np.random.default_rng(20)
    baselines = SHAPES[shape](rng, (TRIALS, STEPS)).tolist()
    canaries = SHAPES[shape](rng, (TRIALS, STEPS)).tolist()
    alarms = naive = 0

    for baseline, canary in zip(baselines, canaries, strict=True):
        ps = []
        verdicts = []
        for look in range(1, LOOKS + 1):
            n = STEPS * look // LOOKS
            seen = Seen(
                baseline=Side(values=tuple(baseline[:n])), canary=Side(values=tuple(canary[:n]))
            )
            finding = judge(analysis, {"m": seen}, look=look).findings[0]
            verdicts.append(finding.verdict)
            ps.append(finding.p)
        alarms += Verdict.FAIL in verdicts
        naive += min(ps) <= nominal

    assert alarms / TRIALS <= nominal
    assert naive / TRIALS > 2 * nominal


def test_twenty_looks_at_rare_events_raise_no_more_false_alarms_than_one() -> None:
    rng = np.random.default_rng(21)
    alarms = 0

    for _ in range(TRIALS):
        events = rng.binomial(100, 0.01, (2, STEPS)).cumsum(axis=1)
        for look in range(1, LOOKS + 1):
            n = STEPS * look // LOOKS
            baseline, canary = ((int(e[n - 1]), 100 * n) for e in events)
            if fisher(baseline, canary) <= alpha_at(0.05, look=look, looks=LOOKS):
                alarms += 1
                break

    assert alarms / TRIALS <= 0.05


@pytest.mark.parametrize(("m", "n"), [(3, 3), (5, 5), (7, 7), (8, 10), (10, 10), (20, 20), (5, 25)])
@pytest.mark.parametrize("shape", ["normal", "long-tailed"])
def test_small_samples_raise_no_more_false_alarms_than_asked_for(shape: str, m: int, n: int):
    """Also below the least level Mann-Whitney can attain, where Welch's t decides."""
    rng = np.random.default_rng(n)
    trials = 4000
    sides = SHAPES[shape](rng, (trials, n)).tolist(), SHAPES[shape](rng, (trials, m)).tolist()
    found = np.array(
        [evidence(b, c, ranks=mann_whitney(b, c)) for b, c in zip(*sides, strict=True)]
    )

    for level in (0.002, 0.01, 0.05):
        slack = 3 * math.sqrt(level * (1 - level) / trials)
        assert (found <= level).mean() <= level + slack
