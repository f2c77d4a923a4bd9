"""What the policy engines do when something is wrong."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Rejected, Unavailable
from qlrf_pipelines.domain.policy import PACKAGES, Decision, PolicyPackage, PolicySample
from resources.policy.deferred import DeferredPolicies
from resources.policy.embedded import EmbeddedPolicies, EmbeddedTests
from resources.policy.folder import FolderPolicies, bundle_digest
from resources.policy.server import OpaServer
from tests.fakes.policy import FakePolicies, package

GOOD = '{"allow": true, "deny": set(), "warn": set()}'


def denied_by_engine(found: Decision) -> str:
    """The reason, once it is sure that it is a denial by the engine."""
    assert not found.allowed
    assert [denial.rule for denial in found.denials] == ["engine"]
    return found.denials[0].message


@cache
def shipped() -> tuple[PolicyPackage, ...]:
    return tuple(FolderPolicies().load())


# ---- in this process


def test_every_thread_is_answered() -> None:
    engine = EmbeddedPolicies(shipped())
    sample = shipped()[0].samples[0]
    found: list[bool] = []

    def ask() -> None:
        found.extend(engine.decide(shipped()[0].id, sample.input).allowed for _ in range(20))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert found == [True] * 160


def test_a_panic_is_a_denial_and_the_next_question_is_answered() -> None:
    engine = EmbeddedPolicies([package()])
    engine.decide("plan_safety", {})
    made: Any = engine._local.engine
    answers: list[Decision] = []

    def ask_with_an_engine_of_another_thread() -> None:
        engine._local.engine = made
        answers.extend(engine.decide("plan_safety", {}) for _ in range(2))

    thread = threading.Thread(target=ask_with_an_engine_of_another_thread)
    thread.start()
    thread.join()

    assert "failed" in denied_by_engine(answers[0])
    assert answers[1].allowed


@pytest.mark.parametrize(
    "source",
    [
        "package qlrf.plan_safety\ndecision := {",
        "package qlrf.plan_safety\nallow := true\n",
        "package qlrf.other\ndecision := " + GOOD,
        "package qlrf.plan_safety\ndecision := object.nonsense(1)\n",
        "package qlrf.plan_safety\ndecision := x if input.ok\n",
        'package qlrf.plan_safety\ndecision := {"allow": to_number("x"), "deny": []}\n',
        'package qlrf.plan_safety\ndecision := {"allow": false, "deny": set(), "warn": set()}\n',
    ],
)
def test_a_policy_that_cannot_judge_its_samples_is_refused_when_it_is_loaded(source: str) -> None:
    with pytest.raises(Rejected, match="plan_safety, sample good"):
        EmbeddedPolicies([package(source=source)])


def test_a_policy_that_allows_what_it_should_deny_is_refused() -> None:
    bad = PolicySample(name="bad", input={}, rules=("r",))

    with pytest.raises(Rejected, match="sample bad: must deny r, denied nothing"):
        EmbeddedPolicies([package(samples=(bad,))])


def test_a_package_that_is_not_loaded_denies() -> None:
    found = EmbeddedPolicies([package()]).decide("image_safety", {})

    assert "not loaded" in denied_by_engine(found)


def test_a_failing_test_in_rego_is_reported_with_its_name() -> None:
    tests = "package qlrf.plan_safety_test\ntest_good if true\ntest_bad if 1 == 2\n"
    failing, broken = (package(tests=text) for text in (tests, "package qlrf.x\ntest_a if {"))

    assert [(r.name, r.passed) for r in EmbeddedTests().run(failing)] == [
        ("test_good", True),
        ("test_bad", False),
    ]
    assert [r.passed for r in EmbeddedTests().run(broken)] == [False]


def test_the_digest_changes_with_any_policy_and_not_with_their_order() -> None:
    sources = [p.source for p in shipped()]

    assert bundle_digest(sources) == bundle_digest(reversed(sources))
    assert bundle_digest(sources) != bundle_digest([*sources[:-1], sources[-1] + "\n"])
    assert bundle_digest(sources) != bundle_digest(sources[1:])


@pytest.mark.parametrize("missing", ["policy.rego", "policy_test.rego", "policy.yaml"])
def test_an_incomplete_package_is_refused_with_its_name(tmp_path: Path, missing: str) -> None:
    import shutil

    from resources.policy.folder import POLICIES

    for name in PACKAGES:
        shutil.copytree(POLICIES / name, tmp_path / name)
    (tmp_path / "sop_safety" / missing).unlink()

    with pytest.raises(Rejected, match=f"sop_safety.*{missing}"):
        FolderPolicies(tmp_path).load()


# ---- a server

Answer = Callable[[BaseHTTPRequestHandler], None]


@contextmanager
def http_double(answer: Answer) -> Iterator[str]:
    """A server that answers every request in one way; its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            answer(self)

        def log_message(self, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def says(text: str, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in {"Content-Length": str(len(text)), **headers}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(text.encode())

    return answer


def decision(result: str) -> Answer:
    """A server with no policies that answers every question with this."""

    def answer(request: BaseHTTPRequestHandler) -> None:
        body = '{"result": []}' if request.command == "GET" else result
        says(body)(request)

    return answer


@pytest.mark.parametrize(
    "answer",
    [
        says("no json"),
        says("[]"),
        says("{}"),
        says('{"result": {}}'),
        says('{"result": [{}]}'),
        says("down", status=500),
        says("", status=302, Location="http://127.0.0.1:1/"),
        says('{"result": [', **{"Content-Length": "1000", "Connection": "close"}),
        decision("{}"),
        decision('{"result": true}'),
        decision('{"result": {"allow": true}}'),
        decision('{"result": {"allow": true, "deny": [], "warn": []}'),
        decision("[" * 100_000),
    ],
)
def test_any_other_answer_is_a_denial(answer: Answer) -> None:
    with http_double(answer) as url:
        denied_by_engine(OpaServer(url, timeout_seconds=5).decide("plan_safety", {}))


def test_a_server_that_allows_is_believed() -> None:
    good = decision('{"result": {"allow": true, "deny": [], "warn": []}}')
    with http_double(good) as url:
        assert OpaServer(url + "/", timeout_seconds=5).decide("plan_safety", {}).allowed


def test_a_server_that_is_down_denies() -> None:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{found.getsockname()[1]}"
    engine = OpaServer(url, timeout_seconds=5)

    assert "does not answer" in denied_by_engine(engine.decide("plan_safety", {}))
    with pytest.raises(Unavailable, match="does not answer"):
        engine.bundle_digest()


def test_an_address_that_is_none_denies() -> None:
    denied_by_engine(OpaServer("http://[", timeout_seconds=5).decide("plan_safety", {}))


def test_a_server_that_never_answers_denies_in_time() -> None:
    done = threading.Event()
    with http_double(lambda _request: done.wait(20) and None) as url:
        found = OpaServer(url, timeout_seconds=0.3).decide("plan_safety", {})
        done.set()

    denied_by_engine(found)


def test_a_server_that_answers_a_byte_at_a_time_denies_in_time() -> None:
    done = threading.Event()

    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        try:
            while not done.wait(0.05):
                request.wfile.write(b" ")
        except OSError:
            return  # the client has gone

    with http_double(drip) as url:
        # Without a deadline over the whole answer this would never end.
        found = OpaServer(url, timeout_seconds=0.3).decide("plan_safety", {})
        done.set()

    assert "within 0.3 s" in denied_by_engine(found)


def test_samples_may_be_of_any_shape_that_is_json() -> None:
    loaded = replace(package(), samples=(PolicySample(name="odd", input={"x": [None, 1.5, "é"]}),))

    assert EmbeddedPolicies([loaded]).decide("plan_safety", {"x": "\ud800"}) is not None


# ---- loaded when first asked


def test_policies_that_cannot_be_loaded_deny_until_they_can_be() -> None:
    tries: list[int] = []

    def make() -> FakePolicies:
        tries.append(1)
        if len(tries) < 3:
            raise Rejected("plan_safety: policy.rego is missing")
        return FakePolicies()

    engine = DeferredPolicies(make)

    assert "policy.rego is missing" in denied_by_engine(engine.decide("plan_safety", {}))
    with pytest.raises(Unavailable, match=r"policy\.rego is missing"):
        engine.bundle_digest()
    assert engine.decide("plan_safety", {}).allowed
    assert engine.bundle_digest() == "fake"
    assert len(tries) == 3


def test_nothing_is_loaded_before_the_first_question() -> None:
    def make() -> FakePolicies:
        raise AssertionError("nobody asked")

    DeferredPolicies(make)
