"""The floor the judge is measured against is Kayenta's judge, as its users know it."""

import numpy as np
import pytest

from bench.canary import kayenta_high, kayenta_margin


@pytest.mark.parametrize(("large", "high"), [(6, False), (7, False), (9, True), (10, True)])
def test_seven_of_ten_samples_a_hundred_times_as_large_are_not_high_and_nine_are(large, high):
    rng = np.random.default_rng(large)
    baseline = rng.normal(1, 0.01, (1, 10))
    canary = np.concatenate([rng.normal(1, 0.01, 10 - large), rng.normal(100, 0.01, large)])

    low, estimate = kayenta_margin(baseline, canary[None, :])

    assert bool(kayenta_high(low, estimate)[0]) is high
    if large == 7:
        assert estimate[0] == pytest.approx(99, abs=0.1)
        assert low[0] == pytest.approx(0, abs=0.1)


def test_it_raises_false_alarms_in_about_one_of_a_thousand() -> None:
    rng = np.random.default_rng(1)

    found = kayenta_margin(rng.normal(100, 10, (20_000, 10)), rng.normal(100, 10, (20_000, 10)))

    assert 0.0003 < kayenta_high(*found).mean() < 0.002
