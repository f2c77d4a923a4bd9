"""Canary analysis over live metrics: read both sides, judge, look again, stop early.

The caller keeps when the canary began and which look this is; everything else is read anew, so
that a look may be repeated after a crash with the same result.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from math import nan

from qlrf_pipelines.domain.canary import Analysis, Judgement, Kind, Metric, Seen, Side
from qlrf_pipelines.domain.canary_judge import judge
from qlrf_pipelines.domain.errors import QlrfError, Rejected
from qlrf_pipelines.ports.clock import Clock
from qlrf_pipelines.ports.metrics import MetricSource, NoSeries, Series

SCOPE = "${scope}"


def check_analysis(analysis: Analysis) -> None:
    """Refuse an analysis that would compare a thing with itself, or with nothing.

    Raises:
        Rejected: the message says which metric or scope and what to write.
    """
    wrong = [
        f"the query of {metric.name} does not hold {SCOPE}, so that both sides would be the same"
        for metric in analysis.metrics
        for query in _queries(metric)
        if SCOPE not in query
    ]
    if not analysis.baseline.strip() or not analysis.canary.strip():
        wrong.append("scopes.baseline and scopes.canary must both say which machines are meant")
    elif analysis.baseline.strip() == analysis.canary.strip():
        wrong.append("scopes.baseline and scopes.canary are the same")
    if wrong:
        raise Rejected(f"Canary analysis {analysis.name}: {'; '.join(wrong)}; correct it.")


def look_due(analysis: Analysis, *, start: datetime, look: int) -> datetime:
    """When the look-th look is due; looks beyond the planned ones go on at the same pace."""
    return start + timedelta(seconds=_steps(analysis, look) * analysis.step)


def analyse(source: MetricSource, analysis: Analysis, *, start: datetime, look: int) -> Judgement:
    """Judge what the source kept from `start` until this look was due.

    A source that fails is no verdict: the metric is inconclusive, with the error as its reason.

    Raises:
        Rejected: the analysis would compare a thing with itself.
    """
    check_analysis(analysis)
    return judge(analysis, observe(source, analysis, start=start, look=look), look=look)


def watch(
    source: MetricSource,
    analysis: Analysis,
    *,
    start: datetime,
    clock: Clock,
    wait: Callable[[float], None],
    on_look: Callable[[Judgement], None],
    settle: timedelta = timedelta(0),
) -> Judgement:
    """Look whenever a look is due until the canary fails or the last planned look is done.

    `settle` is how long the source needs until what happened can be read.
    """
    check_analysis(analysis)
    for look in range(1, analysis.looks + 1):
        due = look_due(analysis, start=start, look=look) + settle
        while (left := (due - clock.now()).total_seconds()) > 0:
            wait(left)
        found = analyse(source, analysis, start=start, look=look)
        on_look(found)
        if found.final:
            break
    return found


def observe(
    source: MetricSource, analysis: Analysis, *, start: datetime, look: int
) -> Mapping[str, Seen]:
    """What both sides show of every metric, from `start` until this look was due."""
    steps = _steps(analysis, look)
    step = timedelta(seconds=analysis.step)
    window = _Window(source, start=start, end=start + steps * step, step=step, expected=steps)
    return {
        metric.name: Seen(
            baseline=window.side(metric, analysis.baseline),
            canary=window.side(metric, analysis.canary),
        )
        for metric in analysis.metrics
    }


def _steps(analysis: Analysis, look: int) -> int:
    return analysis.duration * look // (analysis.looks * analysis.step)


def _queries(metric: Metric) -> tuple[str, ...]:
    both = metric.query, metric.total_query
    return both if metric.kind is Kind.RATE else both[:1]


class _Window:
    """A stretch of time of one source."""

    def __init__(
        self,
        source: MetricSource,
        *,
        start: datetime,
        end: datetime,
        step: timedelta,
        expected: int,
    ) -> None:
        self._source = source
        self._start, self._end, self._step = start, end, step
        self._expected = expected

    def side(self, metric: Metric, scope: str) -> Side:
        """One side of a metric, or why it could not be read."""
        try:
            found = [self._ask(query.replace(SCOPE, scope)) for query in _queries(metric)]
        except QlrfError as error:
            return Side(expected=self._expected, unread=str(error))
        absent = [part.why for part in found if isinstance(part, NoSeries)]
        if absent:
            return Side(expected=self._expected, unread=absent[0])
        series = [{p.at: p.value for p in s.points} for s in found if isinstance(s, Series)]
        moments = sorted(set().union(*series))
        values = tuple(series[0].get(moment, nan) for moment in moments)
        totals = None
        if metric.kind is Kind.RATE:
            totals = tuple(series[1].get(moment, nan) for moment in moments)
        return Side(values=values, totals=totals, expected=self._expected)

    def _ask(self, query: str) -> Series | NoSeries:
        return self._source.series(query, start=self._start, end=self._end, step=self._step)
