"""What hooks promise, on the fake and over a real network."""

import hashlib
import hmac
import json
from collections.abc import Iterator

import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import Status
from qlrf_pipelines.ports.hooks import Hooks, Webhook
from resources.hooks import HttpHooks
from resources.secrets import Secrets
from tests.fakes.hooks import FakeHooks
from tests.fakes.metrics import unused_port
from tests.fakes.web import Service, service


def http_hooks() -> HttpHooks:
    return HttpHooks(secrets=Secrets({"HOOK_KEY": "a key"}))


@pytest.fixture
def web() -> Iterator[Service]:
    with service() as found:
        yield found


@pytest.fixture(params=[FakeHooks, http_hooks])
def hooks(request: pytest.FixtureRequest) -> Hooks:
    made: Hooks = request.param()
    return made


def webhook(url: str, *, secret: str | None = None) -> Webhook:
    return Webhook(url=url, body={"event": "started", "assets": 3}, token="t-1", secret=secret)


def test_a_service_that_takes_it_is_success(hooks: Hooks, web: Service) -> None:
    assert hooks.call(webhook(web.url), timeout_seconds=10).status is Status.SUCCEEDED


@pytest.mark.parametrize("url", ["", "ftp://example.com", "example.com/hook"])
def test_what_is_no_url_is_rejected(hooks: Hooks, url: str) -> None:
    with pytest.raises(Rejected, match="correct it"):
        hooks.call(webhook(url), timeout_seconds=10)


def test_the_body_arrives_as_json_with_its_token(web: Service) -> None:
    http_hooks().call(webhook(web.url), timeout_seconds=10)

    ((method, headers, body),) = web.heard
    assert (method, headers["Content-Type"]) == ("POST", "application/json")
    assert headers["X-QLRF-Token"] == "t-1"
    assert json.loads(body) == {"event": "started", "assets": 3}
    assert "X-QLRF-Signature" not in headers


def test_a_receiver_can_verify_the_signature(web: Service) -> None:
    http_hooks().call(webhook(web.url, secret="env:HOOK_KEY"), timeout_seconds=10)

    ((_, headers, body),) = web.heard
    expected = hmac.new(b"a key", body, hashlib.sha256).hexdigest()
    assert headers["X-QLRF-Signature"] == f"sha256={expected}"


def test_without_its_secret_nothing_is_sent(web: Service) -> None:
    with pytest.raises(Rejected, match="env:MISSING"):
        http_hooks().call(webhook(web.url, secret="env:MISSING"), timeout_seconds=10)

    assert web.heard == []


@pytest.mark.parametrize("status", [302, 400, 500])
def test_any_other_answer_is_failure_and_is_not_repeated(web: Service, status: int) -> None:
    web.status, web.location = status, "/elsewhere"

    report = http_hooks().call(webhook(web.url), timeout_seconds=10)

    assert report.status is Status.FAILED
    assert len(web.heard) == 1


def test_nobody_there_is_failure_because_nothing_was_sent() -> None:
    url = f"http://127.0.0.1:{unused_port()}/"

    assert http_hooks().call(webhook(url), timeout_seconds=10).status is Status.FAILED


def test_no_answer_in_time_is_unknown(web: Service) -> None:
    web.silent = True

    assert http_hooks().call(webhook(web.url), timeout_seconds=0.2).status is Status.UNKNOWN
