"""Metrics kept in memory, and two HTTP servers that speak as metrics servers do."""

import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from qlrf_pipelines.domain.canary import Analysis
from qlrf_pipelines.domain.errors import NotFound, QlrfError
from qlrf_pipelines.ports.analyses import Analyses
from qlrf_pipelines.ports.metrics import MetricSource, NoSeries, Point, Series
from tests.fakes.served import Served

Answer = Callable[[datetime], float | None] | QlrfError


class FakeMetrics(MetricSource):
    """Answers each query by its function of time, or raises its error; keeps what it was asked."""

    lag = timedelta(minutes=1)

    def __init__(self, answers: Mapping[str, Answer]) -> None:
        self.answers = dict(answers)
        self.asked: list[str] = []

    def series(
        self, query: str, *, start: datetime, end: datetime, step: timedelta
    ) -> Series | NoSeries:
        self.asked.append(query)
        answer = self.answers.get(query)
        if answer is None:
            return NoSeries(why="no such series")
        if isinstance(answer, QlrfError):
            raise answer
        moments = [start + step * i for i in range(1, round((end - start) / step) + 1)]
        points = [Point(at=m, value=v) for m in moments if (v := answer(m)) is not None]
        return Series(points=tuple(points)) if points else NoSeries(why="no such series")


class FakeAnalyses(Analyses):
    """Hands out the analyses it was given."""

    def __init__(self, analyses: Sequence[Analysis] = ()) -> None:
        self._known = {analysis.name: analysis for analysis in analyses}

    def names(self) -> Sequence[str]:
        return sorted(self._known)

    def named(self, name: str) -> Analysis:
        if name not in self._known:
            raise NotFound(f"There is no canary analysis {name}.")
        return self._known[name]


class MetricsServer(Served):
    """An HTTP server on 127.0.0.1 that answers POSTs by a function of path, headers and body."""

    def __init__(self, answer: Callable[[str, Mapping[str, str], bytes], tuple[int, Any]]) -> None:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                status, value = answer(self.path, dict(self.headers), body)
                data = value if isinstance(value, bytes) else json.dumps(value).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                if status == 302:
                    self.send_header("Location", "/login")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                pass

        super().__init__(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        self.url = f"http://127.0.0.1:{self.port}"


def datadog_double(
    series: Mapping[str, Sequence[Sequence[float | None]]], *, start: datetime, step: timedelta
) -> MetricsServer:
    """Datadog's timeseries interface over series whose samples are a step apart from `start` on."""

    def answer(path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        named = {name.lower(): value for name, value in headers.items()}
        if (named.get("dd-api-key"), named.get("dd-application-key")) != ("api", "app"):
            return 403, {"errors": ["Forbidden"]}
        if path != "/api/v2/query/timeseries":
            return 404, {"errors": ["Not found"]}
        asked = json.loads(body)["data"]
        assert asked["type"] == "timeseries_request"
        wanted = asked["attributes"]
        query = wanted["queries"][0]
        assert query["data_source"] == "metrics"
        assert wanted["formulas"] == [{"formula": query["name"]}]
        if "{" not in query["query"]:
            return 400, {"errors": ["Error parsing query"]}
        interval = max(wanted["interval"], round(step.total_seconds() * 1000))
        first = round(start.timestamp() * 1000)
        rows = series.get(query["query"], [])
        times = list(range(wanted["from"], wanted["to"], interval))
        values = [
            [row[i] if 0 <= (i := (t - first) // interval) < len(row) else None for t in times]
            for row in rows
        ]
        groups = [{"group_tags": [], "query_index": 0, "unit": None} for _ in rows]
        found = {"series": groups, "times": times if rows else [], "values": values}
        return 200, {"data": {"type": "timeseries_response", "id": "0", "attributes": found}}

    return MetricsServer(answer)


def custom_double(
    series: Mapping[str, Sequence[Sequence[float]]], *, start: datetime, step: timedelta
) -> MetricsServer:
    """A metrics server of somebody's own, over series whose samples are a step apart."""

    def answer(path: str, headers: Mapping[str, str], body: bytes) -> tuple[int, Any]:
        if headers.get("Authorization") != "Bearer t":
            return 401, {"error": "who are you?"}
        asked = json.loads(body)
        if not asked["query"]:
            return 400, {"error": "that is no query"}
        first, last = (datetime.fromisoformat(asked[name]) for name in ("start", "end"))
        assert asked["step_seconds"] == step.total_seconds()
        found = []
        for row in series.get(asked["query"], []):
            moments = [start + step * (i + 1) for i in range(len(row))]
            kept = [
                [at.timestamp(), value]
                for at, value in zip(moments, row, strict=True)
                if first < at <= last
            ]
            found.append({"points": kept})
        return 200, {"series": found}

    return MetricsServer(answer)


MISSING = "Prometheus is not installed; `apt-get install prometheus` gets it."


def prometheus_missing() -> bool:
    """Whether there is no Prometheus to try."""
    return shutil.which("prometheus") is None or shutil.which("promtool") is None


@contextmanager
def prometheus(folder: Path, openmetrics: str) -> Iterator[str]:
    """A real Prometheus that knows these samples; its address."""
    samples, data, config = folder / "samples", folder / "data", folder / "prometheus.yml"
    samples.write_text(openmetrics)
    config.write_text("global: {}\n")
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", samples, data]
    subprocess.run(command, check=True, capture_output=True)
    port = unused_port()
    arguments = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=error",
    ]
    log = (folder / "log").open("wb")
    with log, subprocess.Popen(arguments, stdout=log, stderr=log) as process:
        try:
            url = f"http://127.0.0.1:{port}"
            _wait_until_ready(url, process)
            yield url
        finally:
            process.terminate()
            process.wait(30)


def unused_port() -> int:
    """A port nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with urllib.request.urlopen(f"{url}/-/ready", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.05)
