"""One metric of measured values: is the canary worse, by how much, how sure is that?

Everything here counts upwards as worse; canary_judge turns the others round.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from qlrf_pipelines.domain.canary import Metric, Seen, Side, Verdict
from qlrf_pipelines.domain.canary_counts import binomial_tail
from qlrf_pipelines.domain.canary_ranks import (
    critical_u,
    evidence,
    mann_whitney,
    shift,
    shift_bounds,
)

_MOST = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """Finite values of both sides, and both again with every missing one at its worst."""

    baseline: tuple[float, ...]
    canary: tuple[float, ...]
    worst_baseline: tuple[float, ...]
    worst_canary: tuple[float, ...]
    missing: int
    problems: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A verdict on values that count upwards as worse, and its numbers."""

    verdict: Verdict
    reason: str
    numbers: dict[str, float | int | None]


def read(seen: Seen, *, sign: float) -> Reading:
    """What can be computed with, what cannot, and the most pessimistic completion of it."""
    baseline, lost_baseline, wrong_baseline = _finite(seen.baseline, "baseline", sign)
    canary, lost_canary, wrong_canary = _finite(seen.canary, "canary", sign)
    return Reading(
        baseline=baseline,
        canary=canary,
        worst_baseline=baseline + (-math.inf,) * lost_baseline,
        worst_canary=canary + (math.inf,) * lost_canary,
        missing=lost_baseline + lost_canary,
        problems=(*wrong_baseline, *wrong_canary),
    )


def _finite(side: Side, name: str, sign: float) -> tuple[tuple[float, ...], int, list[str]]:
    finite = tuple(sign * value for value in side.values if math.isfinite(value))
    nans = sum(1 for value in side.values if math.isnan(value))
    infinite = len(side.values) - len(finite) - nans
    lost = max(side.expected, len(side.values)) - len(finite)
    absent = lost - nans - infinite
    counted = ((nans, "not a number"), (infinite, "infinite"), (absent, "missing"))
    wrong = [
        f"{name}: {count} of {lost + len(finite)} samples {what}"
        for count, what in counted
        if count
    ]
    return (
        finite,
        lost,
        [side.unread and f"{name}: {side.unread}", *wrong] if side.unread else wrong,
    )


def tolerance(metric: Metric, reading: Reading) -> float:
    """The largest worsening that is accepted, in the metric's unit, in the worst reading."""
    values, lost = sorted(reading.baseline), len(reading.worst_baseline) - len(reading.baseline)
    worst = median([-math.inf] * lost + values)
    best = median(values + [math.inf] * lost)
    # If the median might be on either side of zero, nothing relative to it is safe to allow.
    base = 0.0 if worst <= 0 <= best or math.isnan(worst) else min(abs(worst), abs(best))
    return max(metric.relative * base, metric.absolute)


def judge_values(
    metric: Metric, reading: Reading, *, alpha: float, confidence: float, limit: float | None
) -> Measured:
    """Compare both sides, with enough samples of each.

    fail: worse beyond chance, and by more than the tolerance, or beyond the limit beyond chance.
    pass: the worst believable shift, with all missing samples at their worst, is tolerable.
    marginal: the estimate is tolerable and the worst believable shift less than twice so.
    """
    parts = 1 if limit is None else 2  # comparison and limit share what this look may spend
    ranks = mann_whitney(reading.baseline, reading.canary)
    p = evidence(reading.baseline, reading.canary, ranks=ranks)
    estimate = shift(reading.baseline, reading.canary)
    low, _ = shift_bounds(reading.baseline, reading.canary, confidence=confidence)
    worst = reading.worst_baseline, reading.worst_canary
    _, high = shift_bounds(*worst, confidence=confidence)
    accepted = tolerance(metric, reading)
    limit_p = _beyond_limit(reading.canary, limit)
    verdict, reason = _decide(
        worse=p <= alpha / parts,
        estimate=estimate,
        worst_estimate=shift(*worst),
        high=high,
        accepted=accepted,
        limit_broken=limit_p is not None and limit_p <= alpha / parts,
        limit_kept=limit is None or median(reading.worst_canary) < limit,
    )
    needed = None
    if verdict in (Verdict.INCONCLUSIVE, Verdict.MARGINAL):
        needed = _needed(
            reading, estimate, low=low, high=high, accepted=accepted, level=alpha / parts
        )
    return Measured(
        verdict=verdict,
        reason=reason,
        numbers={
            "tolerance": accepted,
            "shift": estimate,
            "low": low,
            "high": high,
            "p": p,
            "alpha": alpha / parts,
            "superiority": ranks.superiority,
            "limit_p": limit_p,
            "needed": needed,
        },
    )


def _decide(
    *,
    worse: bool,
    estimate: float,
    worst_estimate: float,
    high: float,
    accepted: float,
    limit_broken: bool,
    limit_kept: bool,
) -> tuple[Verdict, str]:
    if limit_broken:
        return Verdict.FAIL, "most of the canary's samples are beyond the limit"
    if worse and estimate > accepted:
        return Verdict.FAIL, "worse than the baseline, beyond chance and beyond the tolerance"
    if not limit_kept:
        return Verdict.INCONCLUSIVE, "the canary's median is not within the limit"
    if high <= accepted:
        return Verdict.PASS, "no worse than tolerable, even at the far end of what is believable"
    if worst_estimate <= accepted and high <= 2 * accepted:
        return Verdict.MARGINAL, "probably tolerable, but up to twice the tolerance is believable"
    return Verdict.INCONCLUSIVE, "both a tolerable and an intolerable shift are believable"


def _beyond_limit(canary: Sequence[float], limit: float | None) -> float | None:
    """The chance of so many samples beyond the limit if half of all were (the sign test)."""
    if limit is None:
        return None
    return binomial_tail(sum(1 for v in canary if v >= limit), len(canary), rate=0.5)


def _needed(
    reading: Reading, estimate: float, *, low: float, high: float, accepted: float, level: float
) -> int | None:
    """Samples per side still missing if all goes on as it was; None if it cannot be told.

    What is believable narrows with the root of the number of samples.
    """
    count = min(len(reading.baseline), len(reading.canary))
    room = accepted - estimate if estimate <= accepted else estimate
    width = high - estimate if estimate <= accepted else estimate - low
    if not (math.isfinite(width) and room > 0):
        width = 0.0
    grown = count * (width / room) ** 2 if room > 0 and width else float(count + 1)
    total = max(min(_MOST, math.ceil(grown)), count + 1, _least(level))
    return total - count


def _least(level: float) -> int:
    """The fewest samples per side whose complete separation is rare enough to be a verdict."""
    size = 2
    while critical_u(size, size, level=level) > size * size and size < 50:
        size += 1
    return size
