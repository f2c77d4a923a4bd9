"""The judge's own statistics, held against SciPy's and against counting by hand."""

import math

import numpy as np
import pytest
from scipy import stats

from qlrf_pipelines.domain.canary_counts import (
    binomial_tail,
    fisher,
    rate_bounds,
    ratio_bounds,
    student_tail,
)
from qlrf_pipelines.domain.canary_ranks import (
    critical_u,
    evidence,
    kth_difference,
    mann_whitney,
    shift,
    shift_bounds,
)


@pytest.mark.parametrize(("m", "n"), [(3, 3), (5, 5), (3, 9), (20, 14), (50, 50)])
def test_mann_whitney_is_exact_for_small_samples(m: int, n: int) -> None:
    rng = np.random.default_rng(m * n)
    baseline, canary = rng.normal(0, 1, n), rng.normal(0.5, 1, m)

    found = mann_whitney(baseline, canary)

    wanted = stats.mannwhitneyu(canary, baseline, alternative="greater", method="exact")
    assert found.exact
    assert (found.u, found.p) == (wanted.statistic, pytest.approx(wanted.pvalue, rel=1e-9))
    assert found.superiority == pytest.approx(wanted.statistic / (m * n))


def test_mann_whitney_of_few_tied_values_counts_every_way_to_deal_them() -> None:
    baseline, canary = [1, 2, 2, 3], [2, 3, 3, 4, 4]

    wanted = stats.permutation_test(
        (canary, baseline),
        lambda x, y: stats.mannwhitneyu(x, y).statistic,
        alternative="greater",
        n_resamples=np.inf,
        vectorized=False,
    )
    assert mann_whitney(baseline, canary).p == pytest.approx(wanted.pvalue)


@pytest.mark.parametrize("top", [6, 1_000_000])
def test_mann_whitney_of_many_is_normal_and_knows_of_ties(top: int) -> None:
    rng = np.random.default_rng(top)
    baseline, canary = rng.integers(0, top, 80), rng.integers(0, top + 1, 70)

    wanted = stats.mannwhitneyu(canary, baseline, alternative="greater", method="asymptotic")
    assert mann_whitney(baseline, canary).p == pytest.approx(wanted.pvalue)


def test_all_values_equal_are_no_evidence_at_all() -> None:
    assert mann_whitney([1.0] * 100, [1.0] * 100).p == 1
    assert mann_whitney([1.0] * 5, [1.0] * 5).p == 1


def test_equal_ranks_are_told_apart_by_how_far_apart_the_values_are() -> None:
    close = [1, 2, 3, 4, 6], [5, 7, 8, 9, 10]
    far = [1, 2, 3, 4, 6], [5, 107, 108, 109, 110]
    ranks = mann_whitney(*close)

    assert ranks == mann_whitney(*far)
    assert (ranks.beyond, ranks.p) == pytest.approx((1 / 252, 2 / 252))
    for sides in (close, far):
        assert ranks.p / 2.5 <= evidence(*sides, ranks=ranks) <= ranks.p * 2.4


def test_only_samples_that_do_not_overlap_go_far_beyond_the_least_exact_level() -> None:
    apart = [1, 2, 3, 4, 5], [106, 107, 108, 109, 110]
    touching = [1, 2, 3, 4, 106.5], [106, 107, 108, 109, 110]

    assert mann_whitney(*apart).p == pytest.approx(1 / 252)
    assert evidence(*apart, ranks=mann_whitney(*apart)) < 1e-6
    assert evidence(*touching, ranks=mann_whitney(*touching)) >= 2 / 252 / 2.5


def test_rounded_values_are_not_refined() -> None:
    equal = [5.0, 5.0, 5.0, 5.1, 5.0], [6.0, 6.0, 6.1, 6.0, 6.0]
    ranks = mann_whitney(*equal)

    assert evidence(*equal, ranks=ranks) == ranks.p


def test_the_estimate_is_the_median_of_all_differences() -> None:
    rng = np.random.default_rng(1)
    baseline, canary = rng.normal(0, 1, 8), rng.normal(3, 1, 6)

    wanted = np.median(np.subtract.outer(canary, baseline))
    assert shift(baseline, canary) == pytest.approx(wanted)


def test_the_bounds_are_the_shifts_the_test_does_not_refuse() -> None:
    rng = np.random.default_rng(2)
    baseline, canary = rng.normal(0, 1, 12), rng.normal(1, 1, 10)

    low, high = shift_bounds(baseline, canary, confidence=0.95)

    assert mann_whitney(baseline, canary - (low - 1e-9)).p <= 0.05
    assert mann_whitney(baseline, canary - (low + 1e-9)).p > 0.05
    assert mann_whitney(canary - (high + 1e-9), baseline).p <= 0.05
    assert mann_whitney(canary - (high - 1e-9), baseline).p > 0.05


def test_bounds_of_too_few_samples_are_infinite() -> None:
    assert shift_bounds([1, 2], [3, 4], confidence=0.95) == (-math.inf, math.inf)
    assert critical_u(2, 2, level=0.05) == 5


def test_many_differences_are_searched_without_listing_them() -> None:
    rng = np.random.default_rng(3)
    baseline, canary = rng.normal(0, 1, 700), rng.normal(0.3, 1, 600)
    lost = [-math.inf, *baseline[1:]], [*canary[1:], math.inf]

    wanted = np.sort(np.subtract.outer(canary, baseline).ravel())
    for rank in (1, 1234, 210_000, 420_000):
        assert kth_difference(baseline, canary, rank=rank) == pytest.approx(wanted[rank - 1])
    assert kth_difference(*lost, rank=420_000) == math.inf
    assert math.isfinite(kth_difference(*lost, rank=210_000))


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ((0, 10_000), (5, 10_000)),
        ((3, 50), (9, 40)),
        ((100, 1000), (90, 1000)),
        ((5000, 1_000_000), (5200, 1_000_000)),
        ((0, 10), (0, 10)),
        ((10, 10), (10, 10)),
        ((0, 3), (3, 3)),
    ],
)
def test_fisher_is_exact_with_a_zero_baseline_too(first, second) -> None:
    (e1, n1), (e2, n2) = first, second

    wanted = stats.fisher_exact([[e2, n2 - e2], [e1, n1 - e1]], alternative="greater")
    assert fisher(first, second) == pytest.approx(wanted.pvalue, rel=1e-6)


@pytest.mark.parametrize(("events", "total"), [(0, 10), (3, 50), (50, 50), (1000, 1_000_000)])
def test_bounds_of_a_rate_are_exact(events: int, total: int) -> None:
    low, high = rate_bounds(events, total, confidence=0.95)

    assert low == pytest.approx(stats.beta.ppf(0.05, events, total - events + 1) if events else 0)
    top = stats.beta.ppf(0.95, events + 1, total - events) if events < total else 1
    assert high == pytest.approx(top)


def test_bounds_of_a_ratio_hold_the_truth_as_often_as_they_say() -> None:
    rng = np.random.default_rng(4)
    pairs = zip(rng.poisson(20, 400), rng.poisson(40, 400), strict=True)

    found = [ratio_bounds((int(a), 100_000), (int(b), 100_000), confidence=0.95) for a, b in pairs]

    assert sum(low <= 2 for low, _ in found) >= 0.93 * 400
    assert sum(high >= 2 for _, high in found) >= 0.93 * 400
    assert ratio_bounds((0, 10), (0, 10), confidence=0.95) == (0, math.inf)


def test_tails_are_those_of_the_tables() -> None:
    assert binomial_tail(3, 10, rate=0.5) == pytest.approx(stats.binom.sf(2, 10, 0.5))
    assert binomial_tail(0, 10, rate=0.5) == 1
    assert binomial_tail(11, 10, rate=0.5) == 0
    for t in (-2.0, 0.0, 1.5, 6.0):
        assert student_tail(t, 7.3) == pytest.approx(stats.t.sf(t, 7.3))
