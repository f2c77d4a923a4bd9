"""Policies that say what they were told to, those that are shipped, and a real OPA server."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.policy import (
    Decision,
    Denial,
    PolicyPackage,
    PolicyRule,
    PolicySample,
    PolicyTestResult,
    decide_or_deny,
    denied,
)
from qlrf_pipelines.domain.vocabulary import Severity
from qlrf_pipelines.ports.policy import PolicyEngine, PolicyStore, PolicyTests
from resources.policy.embedded import EmbeddedPolicies
from resources.policy.folder import FolderPolicies

OPA = Path("~/.cache/qlrf/peers/opa").expanduser()
MISSING = "needs the Open Policy Agent program; get it with .ci/peers"


class FakePolicies(PolicyEngine):
    """Allows, unless a package was given reasons to deny; remembers what it was asked."""

    def __init__(
        self, denials: Mapping[str, Sequence[str]] | None = None, *, digest: str = "fake"
    ) -> None:
        self.denials = dict(denials or {})
        self.digest = digest
        self.asked: list[tuple[str, Mapping[str, Any]]] = []

    def bundle_digest(self) -> str:
        return self.digest

    def decide(self, package: str, input: Mapping[str, Any]) -> Decision:
        return decide_or_deny(lambda: self._say(package, input), package=package, engine="fake")

    def _say(self, package: str, value: Mapping[str, Any]) -> Decision:
        self.asked.append((package, value))
        reasons = self.denials.get(package, ())
        return Decision(
            package=package,
            allowed=not reasons,
            denials=tuple(Denial(rule="fake", message=r, resource="fake") for r in reasons),
            warnings=(),
            engine="fake",
            bundle_digest=self.digest,
        )


class DownPolicies(PolicyEngine):
    """Does not answer."""

    def bundle_digest(self) -> str:
        raise Unavailable("The policies do not answer.")

    def decide(self, package: str, input: Mapping[str, Any]) -> Decision:
        return denied("the policies do not answer", package=package, engine="fake")


def package(name: str = "plan_safety", **changes: Any) -> PolicyPackage:
    """A package with everything a test does not care about filled in."""
    parts: dict[str, Any] = {
        "id": name,
        "title": name,
        "judges": "Something.",
        "rules": (PolicyRule(id="r", denies=True, severity=Severity.HIGH, reason="Because."),),
        "samples": (PolicySample(name="good", input={"ok": True}),),
        "source": f"package qlrf.{name}\ndecision := "
        '{"allow": true, "deny": set(), "warn": set()}\n',
        "tests": f"package qlrf.{name}_test\ntest_it if true\n",
    }
    return PolicyPackage(**(parts | changes))


class FakePolicyStore(PolicyStore):
    """Hands out the packages it was given."""

    def __init__(self, packages: Sequence[PolicyPackage] = (package(),)) -> None:
        self.packages = packages

    def load(self) -> Sequence[PolicyPackage]:
        return self.packages


class FakePolicyTests(PolicyTests):
    """Every test passes, except those it was told about."""

    def __init__(self, failing: Sequence[str] = ()) -> None:
        self.failing = failing

    def run(self, package: PolicyPackage) -> Sequence[PolicyTestResult]:
        passed = package.id not in self.failing
        return [
            PolicyTestResult(
                package=package.id,
                name="test_it",
                passed=passed,
                reason="" if passed else "it is not true",
            )
        ]


@cache
def shipped_policies() -> EmbeddedPolicies:
    """The policies as they are shipped; every sample of theirs is judged once per test session."""
    return EmbeddedPolicies(FolderPolicies().load())


def opa_program() -> Path:
    """The OPA program; without it the test is skipped, or failed where peers are required."""
    found = shutil.which("opa") or (str(OPA) if OPA.is_file() else None)
    if found is None:
        if os.environ.get("QLRF_REQUIRE_PEERS"):
            pytest.fail(MISSING)
        pytest.skip(MISSING)
    return Path(found)


@contextmanager
def opa_server(policies: Sequence[Path]) -> Iterator[str]:
    """A real OPA server on loopback holding these files; its URL."""
    port = _free_port()
    command = [str(opa_program()), "run", "--server", "--addr", f"127.0.0.1:{port}"]
    options = ["--log-level", "error", "--skip-version-check", *map(str, policies)]
    with subprocess.Popen([*command, *options], stderr=subprocess.PIPE) as server:
        try:
            _wait(f"http://127.0.0.1:{port}", server)
            yield f"http://127.0.0.1:{port}"
        finally:
            server.terminate()


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _wait(url: str, server: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        if server.poll() is not None:
            said = server.stderr.read().decode() if server.stderr else ""
            raise AssertionError(f"opa ended: {said}")
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=1) as answer:
                json.load(answer)
                return
        except OSError:
            time.sleep(0.05)
    raise AssertionError("opa did not start within 30 s")
