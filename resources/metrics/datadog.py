"""Datadog, over the second version of its timeseries interface."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from qlrf_pipelines.domain.errors import Rejected, Truncated
from qlrf_pipelines.ports.metrics import MetricSource, NoSeries, Point, Series
from resources.metrics.http import post

SITE = "https://api.datadoghq.com"


class DatadogMetrics(MetricSource):
    """Asks /api/v2/query/timeseries with an API key and an application key."""

    # Agents send every fifteen seconds; what they sent can be asked for minutes later.
    lag = timedelta(minutes=5)

    def __init__(self, url: str, *, secrets: Mapping[str, str], timeout: float = 30) -> None:
        missing = sorted({"apiKey", "applicationKey"} - set(secrets))
        if missing:
            raise Rejected(f"Datadog needs the credentials {', '.join(missing)}; add references.")
        self._url = (url or SITE).rstrip("/") + "/api/v2/query/timeseries"
        self._headers = {
            "Content-Type": "application/json",
            "DD-API-KEY": secrets["apiKey"],
            "DD-APPLICATION-KEY": secrets["applicationKey"],
        }
        self._timeout = timeout

    def series(
        self, query: str, *, start: datetime, end: datetime, step: timedelta
    ) -> Series | NoSeries:
        """One sample for each step after `start` up to `end`, where there is one.

        Raises:
            Unavailable: no answer, or half of one.
            Rejected: no query, more than one series, or samples further apart than asked for.
        """
        attributes = {
            "from": _millis(start),
            "to": _millis(end),
            "interval": round(step.total_seconds() * 1000),
            "queries": [{"data_source": "metrics", "name": "a", "query": query}],
            "formulas": [{"formula": "a"}],
        }
        body = {"data": {"type": "timeseries_request", "attributes": attributes}}
        what = f"Datadog at {self._url}, query {query}"
        answer = post(
            self._url,
            json.dumps(body).encode(),
            headers=self._headers,
            timeout=self._timeout,
            what=what,
        )
        return _series(answer, what, step)


def _series(answer: Mapping[str, Any], what: str, step: timedelta) -> Series | NoSeries:
    try:
        attributes = answer["data"]["attributes"]
        times, found, rows = attributes["times"], attributes["series"], attributes["values"]
        if answer.get("errors"):
            raise Truncated(f"{what}: {answer['errors']}; it is asked again later.")
        if len(found) > 1:
            raise Rejected(f"{what}: answers with {len(found)} series; aggregate it, with sum:.")
        values = rows[0] if rows else []
        points = tuple(
            Point(at=datetime.fromtimestamp(at / 1000, UTC), value=float(value))
            for at, value in zip(times, values, strict=True)
            if value is not None
        )
    except (KeyError, TypeError, ValueError) as broken:
        raise Truncated(f"{what}: the answer is no timeseries; correct the url.") from broken
    apart = min((b - a for a, b in pairwise(times)), default=0) / 1000
    if apart > step.total_seconds():
        raise Rejected(
            f"{what}: answers every {apart:g} s, not every {step.total_seconds():g} s; "
            "widen the step."
        )
    return Series(points=points) if points else NoSeries(why="Datadog has no such series")


def _millis(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)
