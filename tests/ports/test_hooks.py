"""What hooks promise, on the fake and over a real network."""

import hashlib
import hmac
import json
from collections.abc import Iterator
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import Health, HealthReport
from qlrf_pipelines.ports.hooks import Hooks
from resources.hooks import HttpHooks
from resources.secrets import Secrets
from tests.fakes.hooks import FakeHooks
from tests.fakes.metrics import unused_port
from tests.fakes.web import Service, service

PAYLOAD = {"event": "started", "assets": 3}


def http_hooks() -> HttpHooks:
    return HttpHooks(Secrets({"HOOK_KEY": "a key"}))


@pytest.fixture
def web() -> Iterator[Service]:
    with service() as found:
        yield found


@pytest.fixture(params=[FakeHooks, http_hooks])
def hooks(request: pytest.FixtureRequest) -> Hooks:
    made: Hooks = request.param()
    return made


def call(hooks: Hooks, url: str, **more: Any) -> HealthReport:
    return hooks.call({"target": url, "when": "preRollout", **more}, token="t-1", payload=PAYLOAD)


def test_a_service_that_takes_it_is_healthy(hooks: Hooks, web: Service) -> None:
    assert call(hooks, web.url).health is Health.HEALTHY


@pytest.mark.parametrize("url", ["", "ftp://example.com", "example.com/hook", "http://[::"])
def test_what_could_not_be_sent_at_all_is_unknown(url: str) -> None:
    assert call(http_hooks(), url).health is Health.UNKNOWN


def test_the_body_arrives_as_json_with_its_token(web: Service) -> None:
    call(http_hooks(), web.url)

    ((method, headers, body),) = web.heard
    assert (method, headers["Content-Type"]) == ("POST", "application/json")
    assert (headers["Idempotency-Key"], headers["X-QLRF-Event"]) == ("t-1", "preRollout")
    assert json.loads(body) == PAYLOAD
    assert "X-QLRF-Signature" not in headers


def test_a_receiver_can_verify_the_signature(web: Service) -> None:
    call(http_hooks(), web.url, secret="env:HOOK_KEY")

    ((_, headers, body),) = web.heard
    expected = hmac.new(b"a key", body, hashlib.sha256).hexdigest()
    assert headers["X-QLRF-Signature"] == f"sha256={expected}"


def test_without_its_secret_nothing_is_sent(web: Service) -> None:
    with pytest.raises(Rejected, match="env:MISSING"):
        call(http_hooks(), web.url, secret="env:MISSING")

    assert web.heard == []


@pytest.mark.parametrize("status", [302, 400, 500])
def test_any_other_answer_is_unhealthy_and_is_not_repeated(web: Service, status: int) -> None:
    web.status, web.location = status, "/elsewhere"

    assert call(http_hooks(), web.url).health is Health.UNHEALTHY
    assert len(web.heard) == 1


def test_nobody_there_is_unhealthy() -> None:
    report = call(http_hooks(), f"http://127.0.0.1:{unused_port()}/")

    assert report.health is Health.UNHEALTHY


def test_no_answer_in_time_is_unhealthy(web: Service) -> None:
    web.silent = True

    assert call(http_hooks(), web.url, timeout_seconds=0.2).health is Health.UNHEALTHY
