"""A metrics server of one's own: a question and an answer in JSON, as docs/guide/canary.md says."""

import json
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

from qlrf_pipelines.domain.errors import Rejected, Truncated
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.ports.metrics import MetricSource, NoSeries, Point, Series
from resources.metrics.http import post


class CustomMetrics(MetricSource):
    """Asks one address by POST, with a bearer token if one is given."""

    # Eight of the steps that rollouts ask for.
    lag = timedelta(minutes=2)

    def __init__(self, url: str, *, secrets: Mapping[str, str], timeout: float = 30) -> None:
        if not url:
            raise Rejected("Metrics provider custom has no url; add it.")
        token = secrets.get("token")
        self._url = url
        self._headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._timeout = timeout

    def series(
        self, query: str, *, start: datetime, end: datetime, step: timedelta
    ) -> Series | NoSeries:
        """One sample for each step after `start` up to `end`, where there is one.

        Raises:
            Unavailable: no answer, or half of one.
            Rejected: no query, more than one series, or samples that were not asked for.
        """
        asked = {
            "query": query,
            "start": iso(start),
            "end": iso(end),
            "step_seconds": step.total_seconds(),
        }
        what = f"Metrics at {self._url}, query {query}"
        answer = post(
            self._url,
            json.dumps(asked).encode(),
            headers=self._headers,
            timeout=self._timeout,
            what=what,
        )
        points = _points(answer, what)
        if not points:
            return NoSeries(why="the metrics server knows nothing of it")
        if points[0].at < start or points[-1].at > end:
            raise Rejected(f"{what}: answers with samples outside of what was asked for.")
        return Series(points=points)


def _points(answer: Mapping[str, Any], what: str) -> tuple[Point, ...]:
    try:
        series = answer["series"]
        if len(series) > 1:
            raise Rejected(f"{what}: answers with {len(series)} series; aggregate it.")
        found = tuple(_point(item) for item in series[0]["points"]) if series else ()
    except (KeyError, TypeError, ValueError, OverflowError) as broken:
        raise Truncated(f"{what}: the answer holds no series; correct the server.") from broken
    if any(b.at <= a.at for a, b in pairwise(found)):
        raise Truncated(f"{what}: its samples are not in the order of time; correct the server.")
    return found


def _point(item: Sequence[Any]) -> Point:
    seconds, value = item
    if isinstance(seconds, bool) or isinstance(value, bool):
        raise TypeError("a truth value is no sample")
    at = datetime.fromtimestamp(float(seconds), UTC)
    # What is no number is said as null: the source was asked, and has none for this moment.
    return Point(at=at, value=math.nan if value is None else float(value))
