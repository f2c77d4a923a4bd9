"""Bounds over several drills, against values that can be computed by hand or read in a table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.drill_bounds import failure_upper, quantile_upper, slope, spread


@pytest.mark.parametrize(
    ("failed", "drills", "bound"),
    # None failed: 1 - 0.05 ** (1 / n). The others are Clopper-Pearson, one-sided, 95 %.
    [(0, 1, 0.95), (0, 10, 0.2589), (0, 59, 0.0495), (1, 10, 0.3942), (2, 20, 0.2826), (5, 5, 1.0)],
)
def test_the_share_of_failures_has_an_exact_bound(failed, drills, bound):
    assert failure_upper(failed, drills) == pytest.approx(bound, abs=2e-4)


def test_no_drill_has_no_bound():
    assert failure_upper(0, 0) is None
    assert spread([]).highest is None
    assert spread([]).covered is None


def test_four_drills_say_nothing_about_the_median_and_five_do():
    assert quantile_upper([1, 2, 3, 4], 0.5) is None
    assert quantile_upper([5, 1, 4, 2, 3], 0.5) == 5


def test_fifty_nine_drills_bound_the_95th_percentile_and_fifty_eight_do_not():
    assert quantile_upper(list(range(58)), 0.95) is None
    assert quantile_upper(list(range(59)), 0.95) == 58


def test_a_drill_that_measured_nothing_is_counted_and_bounds_nothing():
    found = spread([1.0, None, 3.0])

    assert (found.drills, found.measured, found.latest, found.highest) == (3, 2, 3.0, 3.0)


def test_a_trend_takes_three_drills_and_no_outlier_makes_one():
    assert slope([1, 2]) is None
    assert slope([1, 2, 3, 4]) == 1
    assert slope([5, 5, 500, 5, 5]) == 0


@given(values=st.lists(st.floats(0, 1e6), min_size=5, max_size=40))
def test_a_bound_is_one_of_the_observed_and_never_below_the_middle(values):
    found = quantile_upper(values, 0.5)

    assert found in values
    assert found >= sorted(values)[len(values) // 2 - (len(values) + 1) % 2]
