"""Canary samples from CSV: `metric,value` or `metric,time,value`, one file per side.

A rate is two metrics, `error-rate:events` and `error-rate:total`, row for row or time for time.
"""

import csv
from collections.abc import Iterable, Mapping
from math import nan

from qlrf_pipelines.domain.canary import Analysis, Kind, Metric, Seen, Side, Unit
from qlrf_pipelines.domain.errors import Rejected

EVENTS, TOTAL = ":events", ":total"
_ROW = "#"  # begins the key of a sample that has no time
Table = Mapping[str, Mapping[str, float]]  # metric -> moment (or row number) -> value


def read_samples(lines: Iterable[str], *, file: str) -> Table:
    """Every value of a CSV file by metric and moment; an empty value is not a number.

    Raises:
        Rejected: the file is not of this form; the message says which line.
    """
    rows = csv.DictReader(lines)
    columns = tuple(rows.fieldnames or ())
    if set(columns) not in ({"metric", "value"}, {"metric", "time", "value"}):
        raise Rejected(f"{file}: its first line must be metric,value or metric,time,value.")
    found: dict[str, dict[str, float]] = {}
    for row in rows:
        place = f"{file}:{rows.line_num}"
        name, text = row["metric"], row["value"]
        if not name or text is None or None in row:
            raise Rejected(f"{place}: the line does not have {len(columns)} fields; complete it.")
        series = found.setdefault(name, {})
        moment = row.get("time") or f"{_ROW}{len(series)}"
        if moment in series:
            raise Rejected(f"{place}: {name} has two values at {moment}; keep one.")
        series[moment] = _number(text, place)
    return found


def _number(text: str, place: str) -> float:
    if not text.strip():
        return nan
    try:
        return float(text)
    except ValueError as error:
        raise Rejected(f"{place}: {text!r} is no number; correct it or leave it empty.") from error


def infer_analysis(baseline: Table, canary: Table) -> Analysis:
    """Every metric of either file, critical, with the default tolerances: the honest guess.

    Raises:
        Rejected: both files are empty.
    """
    names = sorted({*baseline, *canary})
    rates = sorted({n.removesuffix(EVENTS).removesuffix(TOTAL) for n in names if _part(n)})
    metrics = [
        Metric(name=name, unit=Unit.COUNT, critical=True) for name in names if not _part(name)
    ]
    metrics += [
        Metric(name=name, unit=Unit.RATIO, kind=Kind.RATE, critical=True, absolute=0.001)
        for name in rates
    ]
    if not metrics:
        raise Rejected("Neither file holds a sample; give files with at least one.")
    return Analysis(name="inferred", metrics=tuple(metrics))


def _part(name: str) -> bool:
    return name.endswith((EVENTS, TOTAL))


def seen_in(
    analysis: Analysis, baseline: Table, canary: Table, *, expected: int = 0
) -> Mapping[str, Seen]:
    """Both sides of every metric of the analysis.

    Where files have times, each side is expected to have every metric at all of that side's times.
    """
    return {
        metric.name: Seen(
            baseline=_side(metric, baseline, expected), canary=_side(metric, canary, expected)
        )
        for metric in analysis.metrics
    }


def _side(metric: Metric, table: Table, expected: int) -> Side:
    moments = len(set().union(*table.values()))
    rate = metric.kind is Kind.RATE
    events = table.get(metric.name + EVENTS if rate else metric.name)
    totals = table.get(metric.name + TOTAL) if rate else {}
    if events is None or totals is None:
        wanted = f"{metric.name}{EVENTS} and {metric.name}{TOTAL}" if rate else metric.name
        return Side(expected=max(expected, moments), unread=f"the file has no {wanted}")
    keys = sorted({*events, *totals})
    timed = any(not key.startswith(_ROW) for key in keys)
    return Side(
        values=tuple(events.get(key, nan) for key in keys),
        totals=tuple(totals.get(key, nan) for key in keys) if rate else None,
        expected=max(expected, moments if timed else 0),
    )


def unused(analysis: Analysis, *tables: Table) -> list[str]:
    """Metrics that the files hold and the analysis does not ask for."""
    known = {m.name for m in analysis.metrics}
    known |= {m.name + end for m in analysis.metrics for end in (EVENTS, TOTAL)}
    return sorted({name for table in tables for name in table} - known)
