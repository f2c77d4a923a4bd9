"""The shipped templates against a real Prometheus: queries it takes, and canaries told apart."""

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from qlrf_pipelines.domain.canary import Verdict
from qlrf_pipelines.services.canary import analyse
from resources.canary import FolderAnalyses
from resources.metrics.prometheus import PrometheusMetrics
from tests.fakes.clock import NOON
from tests.fakes.metrics import MISSING, prometheus, prometheus_missing

pytestmark = pytest.mark.real

SCRAPE = 15
# track -> requests a second, share of errors, seconds of its slowest answers
TRACKS = {
    "stable": (40, 0.0, 0.25),
    "good": (40, 0.0, 0.25),
    "slow": (40, 0.0, 0.45),
    "failing": (40, 0.05, 0.25),
}
BUCKETS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 1.0)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusMetrics]:
    if prometheus_missing():
        if os.environ.get("QLRF_REQUIRE_PEERS"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    with prometheus(tmp_path_factory.mktemp("prometheus"), exposition()) as url:
        yield PrometheusMetrics(url, secrets={})


def exposition() -> str:
    """Twelve minutes of counters as scraped; who never failed has no counter of failures."""
    requests = ["# TYPE http_requests counter"]
    durations = ["# TYPE http_request_duration_seconds histogram"]
    for track, (rate, share, slowest) in TRACKS.items():
        rng = random.Random(track)
        done = failed = 0
        buckets = dict.fromkeys(BUCKETS, 0)
        for i in range(12 * 60 // SCRAPE):
            at = int(NOON.timestamp()) + i * SCRAPE
            now = rate * SCRAPE
            bad = sum(rng.random() < share for _ in range(now))
            done, failed = done + now - bad, failed + bad
            for _ in range(now):
                took = rng.uniform(0, slowest)
                for edge in BUCKETS:
                    buckets[edge] += took <= edge
            requests.append(f'http_requests_total{{track="{track}",code="200"}} {done} {at}')
            if share:
                requests.append(f'http_requests_total{{track="{track}",code="500"}} {failed} {at}')
            name = "http_request_duration_seconds_bucket"
            for edge, count in buckets.items():
                durations.append(f'{name}{{track="{track}",le="{edge}"}} {count} {at}')
            durations.append(f'{name}{{track="{track}",le="+Inf"}} {done + failed} {at}')
    return "\n".join([*requests, *durations, "# EOF", ""])


@pytest.mark.parametrize(
    ("canary", "verdict", "culprit"),
    [
        ("good", Verdict.PASS, ""),
        ("failing", Verdict.FAIL, "error-rate"),
        ("slow", Verdict.MARGINAL, "latency-p99"),
        ("gone", Verdict.INCONCLUSIVE, "error-rate"),
    ],
)
def test_the_standard_template_tells_canaries_apart(source, canary, verdict, culprit) -> None:
    analysis = replace(
        FolderAnalyses().named("standard"), baseline='track="stable"', canary=f'track="{canary}"'
    )

    found = analyse(source, analysis, start=NOON + timedelta(minutes=1), look=analysis.looks)

    assert found.verdict is verdict, found
    assert culprit in found.reason
    if canary != "gone":
        errors, latency = found.findings
        assert errors.canary_count == pytest.approx(40 * 600, rel=0.02)
        assert latency.canary_count == 20


@pytest.mark.parametrize("name", ["basic", "standard", "comprehensive"])
def test_every_query_of_a_template_is_promql(source, name: str) -> None:
    analysis = replace(FolderAnalyses().named(name), baseline='a="1"', canary='a="2"')

    found = analyse(source, analysis, start=NOON, look=1)

    for finding in found.findings:
        assert "no such series" in finding.reason, finding
