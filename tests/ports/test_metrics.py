"""What every metric source promises: a fake, Prometheus, CloudWatch, Datadog and a custom one."""

import json
import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

import pytest

from qlrf_pipelines.domain.canary import Provider
from qlrf_pipelines.domain.errors import Denied, Rejected, Truncated, Unavailable
from qlrf_pipelines.ports.metrics import MetricSource, NoSeries, Series
from resources.metrics.cloudwatch import CloudWatchMetrics
from resources.metrics.custom import CustomMetrics
from resources.metrics.datadog import DatadogMetrics
from resources.metrics.prometheus import PrometheusMetrics
from resources.metrics.providers import metric_source
from resources.secrets import Secrets
from tests.fakes.clock import NOON
from tests.fakes.metrics import (
    MISSING,
    FakeMetrics,
    MetricsServer,
    custom_double,
    datadog_double,
    prometheus,
    prometheus_missing,
    unused_port,
)

MINUTE = timedelta(minutes=1)
END = NOON + 10 * MINUTE
# What a query sent as part of an address, unencoded or encoded twice, does not survive.
ODD = "a+b & c%20=d?#/ü"
KEYS = {"apiKey": "api", "applicationKey": "app"}
AWS_KEYS = {"accessKeyId": "AKIAEXAMPLE", "secretAccessKey": "example"}


@dataclass(frozen=True)
class Peer:
    """A source that knows one series (1 to 10, a minute apart), and one of several."""

    source: MetricSource
    known: str
    unknown: str
    several: str | None
    wrong: str | None
    dead: MetricSource


@pytest.fixture(
    scope="module",
    params=[
        "fake",
        pytest.param("prometheus", marks=pytest.mark.real),
        "cloudwatch",
        "datadog",
        "custom",
    ],
)
def peer(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Peer]:
    if request.param == "prometheus":
        yield from a_prometheus(tmp_path_factory.mktemp("prometheus"))
    elif request.param == "cloudwatch":
        yield a_cloudwatch()
    elif request.param == "datadog":
        yield from a_datadog()
    elif request.param == "custom":
        yield from a_custom_one()
    else:
        known = FakeMetrics({ODD: lambda at: (at - NOON) / MINUTE, "dead": Unavailable("no")})
        yield Peer(known, ODD, "other", None, None, FakeMetrics({ODD: Unavailable("nobody")}))


def a_prometheus(folder) -> Iterator[Peer]:
    if prometheus_missing():
        if os.environ.get("QLRF_REQUIRE_PEERS"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    lines = ["# TYPE seen gauge"]
    for track in ("stable", "canary"):
        labels = f'{{job="{ODD}",track="{track}"}}'
        lines += [f"seen{labels} {i} {NOON.timestamp() + 60 * i:.0f}" for i in range(1, 11)]
    with prometheus(folder, "\n".join([*lines, "# EOF", ""])) as url:
        source = PrometheusMetrics(url, secrets={})
        dead = PrometheusMetrics(f"http://127.0.0.1:{unused_port()}", secrets={}, timeout=5)
        known = f'seen{{job="{ODD}",track=~"can.+"}} + 0'
        yield Peer(source, known, 'seen{job="other"}', f'seen{{job="{ODD}"}}', "seen{", dead)


def a_cloudwatch() -> Peer:
    from tests.fakes.moto_aws import moto_aws

    aws = moto_aws()
    aws.reset()
    dimensions = [{"Name": "Group", "Value": ODD}]
    data = [
        {
            "MetricName": "Seen",
            "Dimensions": dimensions,
            "Timestamp": NOON + i * MINUTE,
            "Value": i + 1.0,
        }
        for i in range(10)
    ]
    aws.client("cloudwatch", "eu-west-1").put_metric_data(Namespace="Shop", MetricData=data)
    known = {
        "Namespace": "Shop",
        "MetricName": "Seen",
        "Stat": "Average",
        "Dimensions": {"Group": ODD},
    }
    source = CloudWatchMetrics(region="eu-west-1", url=aws.url, secrets=AWS_KEYS)
    nobody = f"http://127.0.0.1:{unused_port()}"
    dead = CloudWatchMetrics(region="eu-west-1", url=nobody, secrets=AWS_KEYS, timeout=5)
    other = known | {"Dimensions": {"Group": "other"}}
    return Peer(source, json.dumps(known), json.dumps(other), None, '{"Stat": "Sum"}', dead)


def a_datadog() -> Iterator[Peer]:
    known, both = f"avg:seen{{job:{ODD}}}", "avg:seen{*} by {job}"
    row = [float(i) for i in range(1, 11)]
    with datadog_double({known: [row], both: [row, row]}, start=NOON, step=MINUTE) as server:
        dead = DatadogMetrics(f"http://127.0.0.1:{unused_port()}", secrets=KEYS, timeout=5)
        source = DatadogMetrics(server.url, secrets=KEYS)
        yield Peer(source, known, "avg:other{*}", both, "no query", dead)


def a_custom_one() -> Iterator[Peer]:
    row = [float(i) for i in range(1, 11)]
    with custom_double({ODD: [row], "both": [row, row]}, start=NOON, step=MINUTE) as server:
        dead = CustomMetrics(f"http://127.0.0.1:{unused_port()}", secrets={}, timeout=5)
        source = CustomMetrics(server.url, secrets={"token": "t"})
        yield Peer(source, ODD, "other", "both", "", dead)


def ask(source: MetricSource, query: str) -> Series | NoSeries:
    return source.series(query, start=NOON, end=END, step=MINUTE)


def test_every_step_is_answered_by_its_sample_in_the_order_of_time(peer: Peer) -> None:
    found = ask(peer.source, peer.known)

    assert isinstance(found, Series)
    assert [p.value for p in found.points] == [float(i) for i in range(1, 11)]
    assert {b.at - a.at for a, b in zip(found.points, found.points[1:], strict=False)} == {MINUTE}
    assert found.points[0].at.tzinfo is not None
    assert found.points[0].at - NOON in (timedelta(0), MINUTE)
    assert END - found.points[-1].at <= peer.source.lag


def test_what_the_source_does_not_know_is_said_to_be_absent(peer: Peer) -> None:
    assert isinstance(ask(peer.source, peer.unknown), NoSeries)


def test_nobody_listening_is_an_error_and_no_absence(peer: Peer) -> None:
    with pytest.raises(Unavailable):
        ask(peer.dead, peer.known)


def test_more_than_one_series_is_refused(peer: Peer) -> None:
    if peer.several is None:
        pytest.skip("it cannot answer with several")
    with pytest.raises(Rejected, match="2 series"):
        ask(peer.source, peer.several)


def test_a_query_that_is_none_is_refused(peer: Peer) -> None:
    if peer.wrong is None:
        pytest.skip("it takes any text")
    with pytest.raises(Rejected):
        ask(peer.source, peer.wrong)


@pytest.mark.parametrize(
    "odd",
    [{"Stat": 7}, {"Namespace": None}, {"Dimensions": {"Group": 5}}, {"Dimensions": ["Group"]}],
)
def test_a_cloudwatch_query_with_a_field_that_is_no_text_is_refused_as_a_query(odd) -> None:
    source = CloudWatchMetrics(region="eu-west-1", url="http://127.0.0.1:9", secrets=AWS_KEYS)
    query = {"Namespace": "Shop", "MetricName": "Seen", "Stat": "Average"} | odd

    with pytest.raises(Rejected, match="all of them texts"):
        ask(source, json.dumps(query))


STATUS = [
    (302, Denied),
    (401, Denied),
    (403, Denied),
    (400, Rejected),
    (422, Rejected),
    (429, Unavailable),
    (500, Unavailable),
    (503, Unavailable),
]


@pytest.mark.parametrize(("status", "kind"), STATUS)
def test_a_refusal_is_told_apart_from_being_down_and_from_a_wrong_query(status, kind) -> None:
    with MetricsServer(lambda *_: (status, {"error": "said so"})) as server:
        for source in (
            PrometheusMetrics(server.url, secrets={}),
            DatadogMetrics(server.url, secrets=KEYS),
            CustomMetrics(server.url, secrets={}),
        ):
            with pytest.raises(kind) as raised:
                ask(source, "up{}")
            assert type(raised.value) is kind


@pytest.mark.parametrize("body", [b"<html>log in</html>", b"[]", b"{", {"status": "success"}])
def test_what_is_no_answer_is_no_empty_answer(body) -> None:
    with MetricsServer(lambda *_: (200, body)) as server, pytest.raises(Unavailable):
        ask(PrometheusMetrics(server.url, secrets={}), "up")
    with MetricsServer(lambda *_: (200, body)) as server, pytest.raises(Truncated):
        ask(DatadogMetrics(server.url, secrets=KEYS), "avg:up{*}")
    with MetricsServer(lambda *_: (200, body)) as server, pytest.raises(Truncated):
        ask(CustomMetrics(server.url, secrets={}), "up")


@pytest.mark.parametrize(
    ("points", "kind"),
    [
        ([[NOON.timestamp() + 120, 1], [NOON.timestamp() + 60, 2]], Truncated),
        ([[NOON.timestamp() + 60, 1], [NOON.timestamp() + 60, 2]], Truncated),
        ([[NOON.timestamp() + 60, "much"]], Truncated),
        ([[NOON.timestamp() + 60, True]], Truncated),
        ([[1e300, 1]], Truncated),
        ([[NOON.timestamp() - 60, 1]], Rejected),
        ([[NOON.timestamp() + 6000, 1]], Rejected),
    ],
)
def test_samples_that_were_not_asked_for_are_never_taken_for_some_that_were(points, kind) -> None:
    answer = {"series": [{"points": points}]}
    with MetricsServer(lambda *_: (200, answer)) as server, pytest.raises(kind) as raised:
        ask(CustomMetrics(server.url, secrets={}), "up")
    assert type(raised.value) is kind


def test_a_custom_server_may_say_that_a_sample_is_no_number() -> None:
    answer = {"series": [{"points": [[NOON.timestamp() + 60, None]]}]}
    with MetricsServer(lambda *_: (200, answer)) as server:
        found = ask(CustomMetrics(server.url, secrets={}), "up")

    assert isinstance(found, Series)
    assert math.isnan(found.points[0].value)


def test_a_custom_server_needs_an_address() -> None:
    with pytest.raises(Rejected, match="no url"):
        metric_source(Provider(kind="custom"), secrets=Secrets({}))


def test_a_part_of_prometheus_stores_is_no_whole_answer() -> None:
    answer = {
        "status": "success",
        "warnings": ["store eu-2 did not answer"],
        "data": {"resultType": "matrix", "result": []},
    }
    with (
        MetricsServer(lambda *_: (200, answer)) as server,
        pytest.raises(Truncated, match="eu-2"),
    ):
        ask(PrometheusMetrics(server.url, secrets={}), "up")


def test_prometheus_values_that_are_no_number_come_as_they_are() -> None:
    rows = [[NOON.timestamp(), "NaN"], [NOON.timestamp() + 60, "+Inf"]]
    answer = {"status": "success", "data": {"result": [{"metric": {}, "values": rows}]}}
    with MetricsServer(lambda *_: (200, answer)) as server:
        found = ask(PrometheusMetrics(server.url, secrets={}), "0 / 0")

    assert isinstance(found, Series)
    assert math.isnan(found.points[0].value)
    assert math.isinf(found.points[1].value)


def test_datadog_that_widens_the_step_is_not_taken_for_missing_samples() -> None:
    row = [[1.0] * 10]
    with (
        datadog_double({"avg:a{*}": row}, start=NOON, step=5 * MINUTE) as server,
        pytest.raises(Rejected, match="widen"),
    ):
        ask(DatadogMetrics(server.url, secrets=KEYS), "avg:a{*}")


def test_a_provider_uses_secrets_by_reference_alone() -> None:
    with datadog_double({"avg:a{*}": [[1.0] * 10]}, start=NOON, step=MINUTE) as server:
        provider = Provider(
            kind="datadog",
            url=server.url,
            credentials={"apiKey": "env:DD_API", "applicationKey": "env:DD_APP"},
        )
        source = metric_source(provider, secrets=Secrets({"DD_API": "api", "DD_APP": "app"}))
        assert isinstance(ask(source, "avg:a{*}"), Series)

        stranger = metric_source(provider, secrets=Secrets({"DD_API": "api", "DD_APP": "no"}))
        with pytest.raises(Denied):
            ask(stranger, "avg:a{*}")
    with pytest.raises(Rejected, match="DD_APP"):
        metric_source(provider, secrets=Secrets({"DD_API": "api"}))


def test_prometheus_is_given_its_token_and_cloudwatch_needs_a_known_kind() -> None:
    said = []

    def answer(path, headers, body):
        said.append(headers.get("Authorization"))
        return 200, {"status": "success", "data": {"result": []}}

    with MetricsServer(answer) as server:
        for secrets in ({"token": "t"}, {"user": "u", "password": "p"}, {}):
            ask(PrometheusMetrics(server.url, secrets=secrets), "up")

    assert said == ["Bearer t", "Basic dTpw", None]
    with pytest.raises(Rejected, match="graphite"):
        metric_source(Provider(kind="graphite"), secrets=Secrets({}))
