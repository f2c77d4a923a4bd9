"""One metric of events among requests: exact however rare they are, with a zero baseline too."""

import math
from dataclasses import dataclass

from qlrf_pipelines.domain.canary import Metric, Seen, Side, Verdict
from qlrf_pipelines.domain.canary_counts import binomial_tail, fisher, rate_bounds, ratio_bounds
from qlrf_pipelines.domain.canary_values import Measured

_TRIES = 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """Whole events and requests of both sides, and how many moments are not known."""

    baseline: tuple[int, int]
    canary: tuple[int, int]
    missing: int
    problems: tuple[str, ...]


def count(seen: Seen) -> Counted:
    """Sum up what is known; a moment with either number missing or impossible is not known."""
    baseline, lost_baseline, wrong_baseline = _summed(seen.baseline, "baseline")
    canary, lost_canary, wrong_canary = _summed(seen.canary, "canary")
    return Counted(
        baseline=baseline,
        canary=canary,
        missing=lost_baseline + lost_canary,
        problems=(*wrong_baseline, *wrong_canary),
    )


def _summed(side: Side, name: str) -> tuple[tuple[int, int], int, list[str]]:
    totals = side.totals or ()
    pairs = list(zip(side.values, totals, strict=False))
    known = [(e, n) for e, n in pairs if math.isfinite(e) and math.isfinite(n) and 0 <= e <= n]
    expected = max(side.expected, len(side.values), len(totals))
    lost = expected - len(known)
    wrong = [f"{name}: {side.unread}"] if side.unread else []
    broken = len(pairs) - len(known)
    if broken:
        wrong.append(f"{name}: {broken} of {expected} samples are no count of events in requests")
    if lost > broken:
        wrong.append(f"{name}: {lost - broken} of {expected} samples missing")
    events, requests = math.fsum(e for e, _ in known), math.fsum(n for _, n in known)
    # What a metrics server extrapolated is rounded; there are never more events than requests.
    whole = round(requests)
    return (min(round(events), whole), whole), lost, wrong


def judge_rates(metric: Metric, counted: Counted, *, alpha: float, confidence: float) -> Measured:
    """Compare both rates by Fisher's exact test and exact bounds of their ratio.

    A canary with unknown moments does not pass: any number of events may hide in them.
    """
    parts = 1 if metric.limit is None else 2
    measured = _measure(metric, counted.baseline, counted.canary, confidence=confidence)
    p = fisher(counted.baseline, counted.canary)
    limit_p = None
    if metric.limit is not None:
        limit_p = binomial_tail(*counted.canary, rate=metric.limit)
    verdict, reason = _decide(
        metric,
        measured,
        worse=p <= alpha / parts,
        limit_broken=limit_p is not None and limit_p <= alpha / parts,
        missing=counted.missing,
    )
    needed = None
    if verdict in (Verdict.INCONCLUSIVE, Verdict.MARGINAL) and not counted.missing:
        needed = _needed(metric, counted, alpha=alpha / parts, confidence=confidence)
    return Measured(
        verdict=verdict,
        reason=reason,
        numbers={
            "tolerance": measured.accepted,
            "shift": measured.shift,
            "low": measured.low,
            "high": measured.high,
            "p": p,
            "alpha": alpha / parts,
            "limit_p": limit_p,
            "needed": needed,
        },
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Rates:
    canary: float
    shift: float
    low: float
    high: float
    accepted: float
    within: float  # 1 where the worst believable rate is just tolerable, 2 at twice that


def _measure(
    metric: Metric, baseline: tuple[int, int], canary: tuple[int, int], *, confidence: float
) -> _Rates:
    rate_b, rate_c = baseline[0] / baseline[1], canary[0] / canary[1]
    low, high = ratio_bounds(baseline, canary, confidence=confidence)
    lowest, highest = rate_bounds(*canary, confidence=confidence)
    # Tolerable either way: little more than the baseline has, or next to nothing at all.
    by_ratio = (high - 1) / metric.relative if metric.relative else math.inf
    within = min(max(0.0, by_ratio), highest / metric.absolute)
    return _Rates(
        canary=rate_c,
        shift=rate_c - rate_b,
        low=rate_b * (low - 1) if rate_b else lowest,
        high=rate_b * (high - 1) if rate_b and math.isfinite(high) else highest - rate_b,
        accepted=max(metric.relative * rate_b, metric.absolute),
        within=within,
    )


def _decide(
    metric: Metric, measured: _Rates, *, worse: bool, limit_broken: bool, missing: int
) -> tuple[Verdict, str]:
    if limit_broken:
        return Verdict.FAIL, "the canary's rate is beyond the limit, beyond chance"
    if worse and measured.shift > measured.accepted:
        return Verdict.FAIL, "more events than in the baseline, beyond chance and the tolerance"
    if metric.limit is not None and measured.canary >= metric.limit:
        return Verdict.INCONCLUSIVE, "the canary's rate is not within the limit"
    if missing:
        return Verdict.INCONCLUSIVE, "what happened in the missing moments is not known"
    if measured.within <= 1:
        return Verdict.PASS, "no more events than tolerable, even at the far end of the believable"
    if measured.shift <= measured.accepted and measured.within <= 2:
        return Verdict.MARGINAL, "probably tolerable, but up to twice the tolerance is believable"
    return Verdict.INCONCLUSIVE, "both a tolerable and an intolerable rate are believable"


def _needed(metric: Metric, counted: Counted, *, alpha: float, confidence: float) -> int | None:
    """Requests per side still missing if both rates stay as they are."""
    if metric.limit is not None and counted.canary[0] / counted.canary[1] >= metric.limit:
        return None
    for more in range(1, _TRIES):
        factor = 1 << (2 * more)
        b = counted.baseline[0] * factor, counted.baseline[1] * factor
        c = counted.canary[0] * factor, counted.canary[1] * factor
        measured = _measure(metric, b, c, confidence=confidence)
        worse = fisher(b, c) <= alpha
        verdict, _ = _decide(metric, measured, worse=worse, limit_broken=False, missing=0)
        if verdict in (Verdict.PASS, Verdict.FAIL):
            return (factor - 1) * min(counted.baseline[1], counted.canary[1])
    return None
