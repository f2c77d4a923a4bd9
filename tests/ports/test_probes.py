"""What probes promise, on the fake and over a real network."""

import socket
from collections.abc import Iterator

import pytest

from qlrf_pipelines.domain.operations import Health, HealthReport
from qlrf_pipelines.ports.probes import Probes
from resources.probes import NetworkProbes
from tests.fakes.metrics import unused_port
from tests.fakes.probes import FakeProbes
from tests.fakes.web import Service, service


@pytest.fixture
def web() -> Iterator[Service]:
    with service() as found:
        yield found


@pytest.fixture(params=[FakeProbes, NetworkProbes])
def probes(request: pytest.FixtureRequest) -> Probes:
    made: Probes = request.param()
    return made


def ask(
    probes: Probes, kind: str, target: str, seconds: float = 10, **more: object
) -> HealthReport:
    return probes.probe({"type": kind, "target": target, **more}, timeout_seconds=seconds)


def test_a_service_that_answers_is_healthy(probes: Probes, web: Service) -> None:
    assert ask(probes, "http", web.url).health is Health.HEALTHY
    assert ask(probes, "tcp", f"127.0.0.1:{web.port}").health is Health.HEALTHY


def test_a_check_of_no_known_type_or_target_is_unknown(probes: Probes) -> None:
    assert ask(probes, "ssm-ping", "i-1").health is Health.UNKNOWN
    assert ask(probes, "http", "").health is Health.UNKNOWN
    assert ask(probes, "tcp", "").health is Health.UNKNOWN


@pytest.mark.parametrize(
    ("status", "health"),
    [
        (200, Health.HEALTHY),
        (204, Health.HEALTHY),
        (399, Health.HEALTHY),
        (400, Health.UNHEALTHY),
        (404, Health.UNHEALTHY),
        (503, Health.UNHEALTHY),
    ],
)
def test_the_status_decides(web: Service, status: int, health: Health) -> None:
    web.status = status

    report = ask(NetworkProbes(), "http", web.url)

    assert report.health is health
    assert str(status) in report.why


def test_a_redirect_is_an_answer_and_is_not_followed(web: Service) -> None:
    web.status, web.location = 302, "file:///etc/passwd"

    assert ask(NetworkProbes(), "http", web.url).health is Health.HEALTHY
    assert len(web.heard) == 1


@pytest.mark.parametrize("kind", ["http", "tcp"])
def test_nobody_there_is_unhealthy(kind: str) -> None:
    address = f"127.0.0.1:{unused_port()}"

    report = ask(NetworkProbes(), kind, f"http://{address}/" if kind == "http" else address)

    assert report.health is Health.UNHEALTHY


def test_a_service_that_keeps_silent_is_unhealthy(web: Service) -> None:
    web.silent = True

    assert ask(NetworkProbes(), "http", web.url, seconds=0.2).health is Health.UNHEALTHY


@pytest.mark.parametrize(
    "target", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://", "http://[::"]
)
def test_only_http_and_https_are_asked(target: str) -> None:
    assert ask(NetworkProbes(), "http", target).health is Health.UNKNOWN


@pytest.mark.parametrize("target", ["127.0.0.1", "127.0.0.1:0", "127.0.0.1:99999", ":80", "a:b"])
def test_a_tcp_target_is_a_host_and_a_port(target: str) -> None:
    assert ask(NetworkProbes(), "tcp", target).health is Health.UNKNOWN


def test_an_ipv6_target_can_be_asked() -> None:
    with socket.socket(socket.AF_INET6) as listening:
        try:
            listening.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6 loopback")
        listening.listen()
        port = listening.getsockname()[1]

        assert ask(NetworkProbes(), "tcp", f"[::1]:{port}").health is Health.HEALTHY


def test_what_speaks_no_tls_is_no_healthy_https_service(web: Service) -> None:
    url = web.url.replace("http://", "https://")

    assert ask(NetworkProbes(), "http", url).health is Health.UNHEALTHY
