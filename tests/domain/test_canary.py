"""The judge: what passes, what fails, and what nobody may call either."""

import math
from dataclasses import replace

import numpy as np
import pytest

from qlrf_pipelines.domain.canary import (
    Analysis,
    Finding,
    Judgement,
    Kind,
    Metric,
    Seen,
    Side,
    Unit,
    Verdict,
    Worse,
    alpha_at,
    convert,
)
from qlrf_pipelines.domain.canary_judge import judge
from qlrf_pipelines.domain.errors import Rejected

LATENCY = Metric(name="latency", unit=Unit.SECONDS, critical=True)
ERRORS = Metric(
    name="errors", unit=Unit.RATIO, kind=Kind.RATE, critical=True, absolute=0.002, minimum=100
)
UNREAD = Side(unread="Prometheus: connection refused")


def normal(mean: float, n: int = 30, *, seed: int = 1, spread: float = 10) -> Side:
    values = np.random.default_rng(seed).normal(mean, spread, n)
    return Side(values=tuple(float(v) for v in values), expected=n)


def rate(events: int, requests: int, n: int = 10) -> Side:
    """So many events, all in the first moment."""
    return Side(values=(float(events),) + (0.0,) * (n - 1), totals=(requests / n,) * n, expected=n)


def judged(metric: Metric, baseline: Side, canary: Side, **options: float) -> Finding:
    analysis = Analysis(name="one", metrics=(metric,), **options)
    seen = {metric.name: Seen(baseline=baseline, canary=canary)}
    return judge(analysis, seen, look=1, looks=1).findings[0]


def overall(*metrics: Metric, seen: dict[str, Seen], **options: float) -> Judgement:
    return judge(Analysis(name="all", metrics=metrics, **options), seen, look=1, looks=1)


GOOD = Seen(baseline=normal(100), canary=normal(100, seed=2))
BAD = Seen(baseline=normal(100), canary=normal(150, seed=2))
LOST = Seen(baseline=UNREAD, canary=UNREAD)


def test_a_canary_like_its_baseline_passes_and_says_how_sure_that_is() -> None:
    found = judged(LATENCY, normal(100, 60), normal(100, 60, seed=2))

    assert found.verdict is Verdict.PASS
    assert found.high is not None
    assert found.tolerance is not None
    assert found.high <= found.tolerance == pytest.approx(0.1 * found.baseline)
    assert found.p is not None
    assert found.p > found.alpha


def test_a_canary_that_is_clearly_worse_fails_with_its_numbers() -> None:
    found = judged(LATENCY, normal(100), normal(130, seed=2))

    assert found.verdict is Verdict.FAIL
    assert found.p is not None
    assert found.p <= found.alpha
    assert found.shift_percent == pytest.approx(30, abs=10)
    assert found.superiority is not None
    assert found.superiority > 0.9


def test_a_difference_that_is_certain_but_small_passes() -> None:
    found = judged(LATENCY, normal(100, 400, spread=2), normal(103, 400, seed=2, spread=2))

    assert found.p is not None
    assert found.p < 1e-9
    assert found.verdict is Verdict.PASS


def test_samples_too_scattered_for_an_answer_are_inconclusive_and_say_how_many_more() -> None:
    found = judged(LATENCY, normal(100, 12, spread=30), normal(115, 12, seed=2, spread=30))
    more = found.needed
    assert found.verdict is Verdict.INCONCLUSIVE
    assert more is not None
    assert more > 0

    later = judged(
        LATENCY,
        normal(100, 12 + 4 * more, spread=30),
        normal(100, 12 + 4 * more, seed=2, spread=30),
    )
    assert later.verdict is Verdict.PASS


@pytest.mark.parametrize("n", [0, 1, 4, 9])
def test_fewer_samples_than_the_minimum_are_inconclusive_however_they_look(n: int) -> None:
    for canary in (normal(100, n), normal(1000, n)):
        found = judged(LATENCY, normal(100, 60), canary)

        assert found.verdict is Verdict.INCONCLUSIVE
        assert found.needed == 10 - n


def test_where_lower_is_worse_a_lower_canary_fails_and_a_higher_one_passes() -> None:
    throughput = replace(LATENCY, name="latency", worse=Worse.LOWER)

    assert judged(throughput, normal(100), normal(70, seed=2)).verdict is Verdict.FAIL
    assert judged(throughput, normal(100), normal(130, seed=2)).verdict is Verdict.PASS


def test_where_either_is_worse_both_directions_fail() -> None:
    either = replace(LATENCY, worse=Worse.EITHER)

    for mean in (60, 140):
        assert judged(either, normal(100), normal(mean, seed=2)).verdict is Verdict.FAIL
    assert judged(either, normal(100, 80), normal(100, 80, seed=2)).verdict is Verdict.PASS


def test_seven_of_ten_samples_a_hundred_times_as_large_fail() -> None:
    rng = np.random.default_rng(5)
    baseline = Side(values=tuple(rng.normal(1, 0.1, 10)))
    canary = Side(values=(*rng.normal(1, 0.1, 3), *rng.normal(100, 1, 7)))

    assert judged(LATENCY, baseline, canary).verdict is Verdict.FAIL


def test_constant_values_pass_if_equal_and_fail_if_apart() -> None:
    flat = Side(values=(5.0,) * 20)

    assert judged(LATENCY, flat, flat).verdict is Verdict.PASS
    assert judged(LATENCY, flat, Side(values=(9.0,) * 20)).verdict is Verdict.FAIL


def test_not_a_number_and_infinity_are_problems_with_a_name_and_never_help() -> None:
    good = normal(100, 60).values
    spoiled = Side(values=(math.nan, math.nan, math.inf, *good[3:]), expected=62)
    found = judged(LATENCY, normal(100, 60), spoiled)

    assert found.missing == 5
    assert found.problems == (
        "canary: 2 of 62 samples not a number",
        "canary: 1 of 62 samples infinite",
        "canary: 2 of 62 samples missing",
    )
    lost = replace(spoiled, values=(math.nan,) * 30 + good[30:])
    assert judged(LATENCY, normal(100, 60), lost).verdict is not Verdict.PASS


def test_a_limit_is_broken_however_bad_the_baseline_is() -> None:
    limited = replace(LATENCY, limit=0.5)
    slow = normal(0.7, 40, spread=0.05)

    assert judged(limited, slow, slow).verdict is Verdict.FAIL
    assert judged(LATENCY, slow, slow).verdict is Verdict.PASS


def test_a_median_just_beyond_the_limit_is_held_not_passed() -> None:
    limited = replace(LATENCY, limit=0.5)
    near = normal(0.505, 40, spread=0.02)

    assert judged(limited, near, near).verdict is Verdict.INCONCLUSIVE


def test_milliseconds_and_seconds_are_converted_and_other_units_refused() -> None:
    assert convert(500, unit=Unit.MILLISECONDS, into=Unit.SECONDS) == 0.5
    assert convert(80, unit=Unit.PERCENT, into=Unit.RATIO) == pytest.approx(0.8)
    with pytest.raises(Rejected, match="milliseconds cannot be compared with bytes"):
        convert(500, unit=Unit.MILLISECONDS, into=Unit.BYTES)


def test_errors_fail_against_a_baseline_without_any() -> None:
    found = judged(ERRORS, rate(0, 1000), rate(12, 1000))

    assert found.verdict is Verdict.FAIL
    assert found.baseline == 0
    assert found.p is not None
    assert found.p < 0.001


def test_sparse_errors_among_many_requests_fail_although_most_moments_have_none() -> None:
    assert judged(ERRORS, rate(5, 10_000), rate(60, 10_000)).verdict is Verdict.FAIL


def test_no_errors_in_many_requests_pass_and_in_few_say_how_many_more() -> None:
    many = judged(ERRORS, rate(0, 10_000), rate(0, 10_000))
    few = judged(ERRORS, rate(0, 200), rate(0, 200))

    assert many.verdict is Verdict.PASS
    assert few.verdict is Verdict.INCONCLUSIVE
    assert few.needed is not None
    enough = 200 + few.needed
    assert judged(ERRORS, rate(0, enough), rate(0, enough)).verdict is Verdict.PASS


def test_a_rate_with_a_moment_missing_does_not_pass() -> None:
    quiet = rate(0, 10_000)
    gap = replace(quiet, expected=11)

    for seen in ((quiet, gap), (gap, quiet)):
        assert judged(ERRORS, *seen).verdict is Verdict.INCONCLUSIVE


def test_more_events_than_requests_are_a_problem_and_no_rate() -> None:
    odd = Side(values=(5.0, 0.0), totals=(3.0, 1000.0), expected=2)
    found = judged(ERRORS, rate(0, 10_000), odd)

    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.problems == ("canary: 1 of 2 samples are no count of events in requests",)


def test_an_error_rate_beyond_its_limit_fails_although_the_baseline_is_as_bad() -> None:
    limited = replace(ERRORS, limit=0.01)

    assert judged(limited, rate(500, 10_000), rate(500, 10_000)).verdict is Verdict.FAIL


def test_when_every_metric_is_in_error_the_canary_does_not_pass() -> None:
    """Kayenta scores this 100: errors are neither in its denominator nor in its no-data count."""
    metrics = [replace(LATENCY, name=f"m{i}", critical=False) for i in range(4)]
    found = overall(*metrics, seen={m.name: LOST for m in metrics})

    assert found.verdict is Verdict.INCONCLUSIVE
    assert found.score == 0
    assert "connection refused" in found.findings[0].reason


def test_no_data_at_all_is_inconclusive() -> None:
    assert overall(LATENCY, ERRORS, seen={}).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("seen", [{}, {"critical": LOST}, {"critical": Seen(canary=UNREAD)}])
def test_a_critical_metric_nobody_could_read_never_passes(seen: dict[str, Seen]) -> None:
    critical = replace(LATENCY, name="critical", weight=0.001)
    good = replace(LATENCY, critical=False, weight=1000)
    found = overall(critical, good, seen={"latency": GOOD, **seen}, pass_score=50)

    assert found.verdict is Verdict.INCONCLUSIVE


def test_a_metric_that_is_missing_keeps_its_weight_in_the_score() -> None:
    metrics = [replace(LATENCY, name=name, critical=False) for name in ("a", "b")]
    found = overall(*metrics, seen={"a": GOOD}, marginal_score=50)

    assert found.score == 50
    assert found.verdict is Verdict.MARGINAL


def test_a_critical_metric_fails_the_canary_whatever_the_others_score() -> None:
    good = replace(LATENCY, name="good", weight=99, critical=False)
    found = overall(LATENCY, good, seen={"latency": BAD, "good": GOOD})

    assert found.verdict is Verdict.FAIL
    assert "latency" in found.reason


def test_weights_decide_between_marginal_and_fail() -> None:
    a, b = (replace(LATENCY, name=name, critical=False) for name in ("a", "b"))
    seen = {"a": GOOD, "b": BAD}

    assert overall(replace(a, weight=2), b, seen=seen).verdict is Verdict.MARGINAL
    assert overall(a, replace(b, weight=2), seen=seen).verdict is Verdict.FAIL


def test_a_canary_fails_early_and_passes_only_at_the_last_look() -> None:
    analysis = Analysis(name="x", metrics=(LATENCY,))
    good = Seen(baseline=normal(100, 60), canary=normal(100, 60, seed=2))

    early = judge(analysis, {"latency": good}, look=3)
    failed = judge(analysis, {"latency": BAD}, look=3)
    last = judge(analysis, {"latency": good}, look=10)

    assert (early.verdict, early.final) == (Verdict.INCONCLUSIVE, False)
    assert (failed.verdict, failed.final) == (Verdict.FAIL, True)
    assert (last.verdict, last.final) == (Verdict.PASS, True)


@pytest.mark.parametrize("looks", [1, 2, 20])
def test_all_looks_that_ever_happen_spend_no_more_than_the_false_alarm_rate(looks: int) -> None:
    spent = sum(alpha_at(0.05, look=look, looks=looks) for look in range(1, 5000))

    assert spent <= 0.05 + 1e-12
    assert alpha_at(0.05, look=5000, looks=looks) > 0


def test_an_analysis_that_cannot_be_judged_is_refused_with_all_its_faults() -> None:
    with pytest.raises(Rejected) as raised:
        Analysis(
            name="odd",
            metrics=(
                replace(LATENCY, worse=Worse.EITHER, limit=1),
                LATENCY,
                replace(ERRORS, absolute=0),
            ),
            looks=100,
        )

    for part in ("which side", "listed twice", "absolute tolerance", "too short"):
        assert part in str(raised.value)
