"""The judge: baseline and canary samples in, a verdict with its numbers out. A pure function.

It is fail-closed. A metric that is missing, in error or too short is inconclusive and scores
nothing, while its weight stays in the denominator; losing data never brings a canary nearer to
promotion.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from statistics import median

from qlrf_pipelines.domain.canary import (
    Analysis,
    Finding,
    Judgement,
    Kind,
    Metric,
    Seen,
    Side,
    Verdict,
    Worse,
    alpha_at,
)
from qlrf_pipelines.domain.canary_rates import Counted, count, judge_rates
from qlrf_pipelines.domain.canary_values import Measured, Reading, judge_values, read

_NOTHING = Seen(baseline=Side(unread="no data"), canary=Side(unread="no data"))
_SIGNS = {Worse.HIGHER: (1.0,), Worse.LOWER: (-1.0,), Worse.EITHER: (1.0, -1.0)}


def judge(
    analysis: Analysis, seen: Mapping[str, Seen], *, look: int = 1, looks: int | None = None
) -> Judgement:
    """What the samples seen so far say, at the look-th of so many planned looks.

    Until the last planned look a canary can fail, but not pass.
    """
    planned = analysis.looks if looks is None else looks
    # All metrics share the false-alarm rate, also those nobody could read.
    alpha = alpha_at(analysis.false_alarm, look=look, looks=planned) / len(analysis.metrics)
    findings = tuple(
        judge_metric(m, seen.get(m.name, _NOTHING), alpha=alpha, confidence=analysis.confidence)
        for m in analysis.metrics
    )
    return conclude(analysis, findings, look=look, looks=planned)


def judge_metric(metric: Metric, seen: Seen, *, alpha: float, confidence: float) -> Finding:
    """What one metric says."""
    if metric.kind is Kind.RATE:
        return _rates(metric, count(seen), alpha=alpha, confidence=confidence)
    signs = _SIGNS[metric.worse]
    found = [
        _values(
            metric, read(seen, sign=sign), sign, alpha=alpha / len(signs), confidence=confidence
        )
        for sign in signs
    ]
    return min(found, key=_gravity)


def _gravity(finding: Finding) -> tuple[int, float]:
    order = (Verdict.FAIL, Verdict.INCONCLUSIVE, Verdict.MARGINAL, Verdict.PASS)
    return order.index(finding.verdict), 1.0 if finding.p is None else finding.p


def _values(
    metric: Metric, reading: Reading, sign: float, *, alpha: float, confidence: float
) -> Finding:
    counts = len(reading.baseline), len(reading.canary)
    base = replace(
        _blank(metric, alpha=alpha, counts=counts, problems=reading.problems),
        missing=reading.missing,
        baseline=sign * median(reading.baseline) if reading.baseline else None,
        canary=sign * median(reading.canary) if reading.canary else None,
    )
    if min(counts) < metric.minimum:
        return _too_few(base, metric.minimum, "samples")
    limit = None if metric.limit is None else sign * metric.limit
    measured = judge_values(metric, reading, alpha=alpha, confidence=confidence, limit=limit)
    return _filled(base, measured)


def _rates(metric: Metric, counted: Counted, *, alpha: float, confidence: float) -> Finding:
    (events_b, total_b), (events_c, total_c) = counted.baseline, counted.canary
    base = replace(
        _blank(metric, alpha=alpha, counts=(total_b, total_c), problems=counted.problems),
        missing=counted.missing,
        baseline=events_b / total_b if total_b else None,
        canary=events_c / total_c if total_c else None,
    )
    if min(total_b, total_c) < max(1, metric.minimum):
        return _too_few(base, max(1, metric.minimum), "requests")
    return _filled(base, judge_rates(metric, counted, alpha=alpha, confidence=confidence))


def _blank(
    metric: Metric, *, alpha: float, counts: tuple[int, int], problems: tuple[str, ...]
) -> Finding:
    return Finding(
        metric=metric.name,
        verdict=Verdict.INCONCLUSIVE,
        reason="",
        unit=metric.unit,
        critical=metric.critical,
        weight=metric.weight,
        alpha=alpha,
        baseline_count=counts[0],
        canary_count=counts[1],
        limit=metric.limit,
        problems=problems,
    )


def _too_few(finding: Finding, minimum: int, what: str) -> Finding:
    fewest = min(finding.baseline_count, finding.canary_count)
    if fewest == 0:
        empty = "baseline" if finding.baseline_count == 0 else "canary"
        why = "; ".join(finding.problems) or f"{empty}: no data"
        return replace(finding, reason=f"no data ({why})", needed=minimum)
    return replace(
        finding, reason=f"{fewest} of at least {minimum} {what}", needed=minimum - fewest
    )


def _filled(finding: Finding, measured: Measured) -> Finding:
    baseline, shift = finding.baseline, measured.numbers.get("shift")
    percent = None
    if baseline and shift is not None and math.isfinite(shift):
        percent = 100 * shift / abs(baseline)
    return replace(
        finding,
        verdict=measured.verdict,
        reason=measured.reason,
        shift_percent=percent,
        **measured.numbers,  # type: ignore[arg-type]
    )


def conclude(
    analysis: Analysis, findings: tuple[Finding, ...], *, look: int, looks: int
) -> Judgement:
    """One verdict from all: by score, unless a critical metric says otherwise.

    A passing metric scores its weight, a marginal one half, all others nothing, over the weights
    of all metrics of the analysis.
    """
    whole = sum(f.weight for f in findings)
    earned = sum(f.weight * f.verdict.promise / 2 for f in findings)
    lost = sum(f.weight for f in findings if f.verdict is Verdict.FAIL)
    score = round(100 * earned / whole, 2)
    verdict, reason = _overall(
        analysis,
        findings,
        score=score,
        best=round(100 * (whole - lost) / whole, 2),
        last=look >= looks,
    )
    if look < looks and verdict.promise:
        verdict = Verdict.INCONCLUSIVE
        reason = f"good so far, at look {look} of {looks}"
    return Judgement(
        analysis=analysis.name,
        verdict=verdict,
        reason=reason,
        score=score,
        look=look,
        looks=looks,
        findings=findings,
    )


def _overall(
    analysis: Analysis, findings: tuple[Finding, ...], *, score: float, best: float, last: bool
) -> tuple[Verdict, str]:
    critical = [f for f in findings if f.critical]
    failed = [f.metric for f in critical if f.verdict is Verdict.FAIL]
    least = min((f.verdict.promise for f in critical), default=2)
    named = {v: [f.metric for f in findings if f.verdict is v] for v in Verdict}
    if failed:
        return Verdict.FAIL, f"critical: {', '.join(failed)} failed"
    if best < analysis.marginal_score:
        return Verdict.FAIL, f"{', '.join(named[Verdict.FAIL])} failed: at best {best:g} is left"
    if score >= analysis.pass_score and least == 2:
        return Verdict.PASS, f"score {score:g} of {analysis.pass_score:g} needed"
    if score >= analysis.marginal_score and least >= 1:
        others = [f.metric for f in findings if f.verdict is not Verdict.PASS]
        return Verdict.MARGINAL, f"score {score:g}: {', '.join(others)} did not pass"
    unknown = named[Verdict.INCONCLUSIVE]
    if not unknown and last:
        return Verdict.FAIL, f"score {score:g}, less than {analysis.marginal_score:g}"
    return (
        Verdict.INCONCLUSIVE,
        f"cannot be told from {', '.join(unknown or named[Verdict.MARGINAL])}",
    )
