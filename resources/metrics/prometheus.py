"""Prometheus, and whatever speaks its HTTP interface (Thanos, Mimir, VictoriaMetrics)."""

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from qlrf_pipelines.domain.errors import Rejected, Truncated, Unavailable
from qlrf_pipelines.ports.metrics import MetricSource, NoSeries, Point, Series
from resources.metrics.http import post


class PrometheusMetrics(MetricSource):
    """Asks /api/v1/query_range by a form: a query of any length and any character arrives whole."""

    # It repeats what lives at every step, and forgets at once what a scrape misses.
    lag = timedelta(minutes=1)

    def __init__(self, url: str, *, secrets: Mapping[str, str], timeout: float = 30) -> None:
        self._url = url.rstrip("/") + "/api/v1/query_range"
        self._headers = {"Content-Type": "application/x-www-form-urlencoded", **_login(secrets)}
        self._timeout = timeout

    def series(
        self, query: str, *, start: datetime, end: datetime, step: timedelta
    ) -> Series | NoSeries:
        """One sample for each step after `start` up to `end`, where there is one.

        Raises:
            Unavailable: no answer, or one Prometheus itself calls incomplete (by a warning).
            Rejected: no PromQL, or more than one series.
        """
        form = {
            "query": query,
            "start": f"{(start + step).timestamp():.3f}",
            "end": f"{end.timestamp():.3f}",
            "step": f"{step.total_seconds():g}",
        }
        what = f"Prometheus at {self._url}, query {query}"
        answer = post(
            self._url,
            urlencode(form).encode(),
            headers=self._headers,
            timeout=self._timeout,
            what=what,
        )
        return _series(answer, what)


def _series(answer: Mapping[str, Any], what: str) -> Series | NoSeries:
    if answer.get("status") != "success":
        raise Unavailable(f"{what}: {answer.get('error', 'no success')}; it is asked again later.")
    if answer.get("warnings"):
        # Thanos and Mimir say so when a store did not answer: what came is a part.
        raise Truncated(f"{what}: {answer['warnings'][0]}; it is asked again later.")
    try:
        found = answer["data"]["result"]
        if len(found) > 1:
            raise Rejected(f"{what}: answers with {len(found)} series; aggregate it, with sum().")
        points = tuple(_point(*pair) for pair in found[0]["values"]) if found else ()
    except (KeyError, TypeError, ValueError) as broken:
        raise Truncated(f"{what}: the answer is not a matrix; correct the url.") from broken
    return Series(points=points) if points else NoSeries(why="Prometheus has no such series")


def _point(at: float, value: str) -> Point:
    return Point(at=datetime.fromtimestamp(at, UTC), value=float(value))


def _login(secrets: Mapping[str, str]) -> dict[str, str]:
    if "token" in secrets:
        return {"Authorization": f"Bearer {secrets['token']}"}
    if "user" in secrets:
        pair = f"{secrets['user']}:{secrets.get('password', '')}".encode()
        return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
    return {}
