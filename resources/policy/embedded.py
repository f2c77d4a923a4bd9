"""Policies judged in this process, by regorus.

The engine belongs to the thread that made it: used elsewhere it panics, and a panic is no
`Exception`. So every thread has its own, made from the same sources at its first use (about 5 ms).
Regorus finds unsafe variables, unknown functions and type errors only when a rule is evaluated,
which is why every sample is judged once before the engine is handed out.
"""

import json
import os
import re
import threading
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.policy import (
    Decision,
    NotAnswered,
    PolicyPackage,
    PolicyTestResult,
    decide_or_deny,
    read_answer,
    written,
)
from qlrf_pipelines.ports.policy import PolicyEngine, PolicyTests
from resources.policy.folder import bundle_digest

# Read by regorus when it is loaded; else every error carries forty lines of native frames.
os.environ.setdefault("RUST_LIB_BACKTRACE", "0")  # noqa: TID251

NAME = "regorus"
_TEST = re.compile(r"^(test_\w+)", re.MULTILINE)


class EmbeddedPolicies(PolicyEngine):
    """Judges in this process; one engine per thread."""

    def __init__(self, packages: Sequence[PolicyPackage]) -> None:
        """Load the packages and judge every sample once.

        Raises:
            Rejected: a package cannot be loaded, or judges a sample otherwise than it says.
        """
        self._sources = {package.id: package.source for package in packages}
        self._digest = bundle_digest(self._sources.values())
        self._local = threading.local()
        faults = [fault for package in packages for fault in self._faults(package)]
        if faults:
            raise Rejected("Policies cannot be used; mend:\n  " + "\n  ".join(faults))

    def bundle_digest(self) -> str:
        """SHA-256 over the source of every package in use."""
        return self._digest

    def decide(self, package: str, input: Mapping[str, Any]) -> Decision:
        """What a package says of an input; any failure is a denial."""
        return decide_or_deny(lambda: self._ask(package, input), package=package, engine=NAME)

    def _ask(self, package: str, value: Mapping[str, Any]) -> Decision:
        if package not in self._sources:
            raise NotAnswered(f"the package {package} is not loaded")
        document = written(value)
        with _Failures(self._local):
            engine = self._engine()
            engine.set_input_json(document)
            answer = json.loads(engine.eval_rule_as_json(f"data.qlrf.{package}.decision"))
        return read_answer(answer, package=package, engine=NAME, bundle_digest=self._digest)

    def _engine(self) -> Any:  # noqa: ANN401  regorus ships no types
        if getattr(self._local, "engine", None) is None:
            self._local.engine = _load(self._sources)
        return self._local.engine

    def _faults(self, package: PolicyPackage) -> list[str]:
        """Samples the package does not judge as they say; the first failure stands for all."""
        for sample in package.samples:
            found = self.decide(package.id, sample.input)
            rules = {denial.rule for denial in found.denials}
            if rules != set(sample.rules):
                said = ", ".join(sorted(sample.rules)) or "nothing"
                reasons = "; ".join(f"{d.rule}: {d.message}" for d in found.denials) or "nothing"
                return [f"{package.id}, sample {sample.name}: must deny {said}, denied {reasons}"]
        return []


class EmbeddedTests(PolicyTests):
    """Runs `policy_test.rego` in this process."""

    def run(self, package: PolicyPackage) -> Sequence[PolicyTestResult]:
        """How each test of the package went; one that cannot be evaluated has not passed."""
        names = _TEST.findall(package.tests)
        local = threading.local()
        try:
            with _Failures(local):
                engine = _load({package.id: package.source, f"{package.id}_test": package.tests})
        except NotAnswered as error:
            return [_result(package, "load", str(error))]
        return [self._one(package, name, engine, local) for name in names]

    def _one(
        self,
        package: PolicyPackage,
        name: str,
        engine: Any,  # noqa: ANN401
        local: threading.local,
    ) -> PolicyTestResult:
        try:
            with _Failures(local):
                held = json.loads(engine.eval_rule_as_json(f"data.qlrf.{package.id}_test.{name}"))
        except NotAnswered as error:
            return _result(package, name, str(error))
        return _result(package, name, "" if held is True else "it is not true")


def _result(package: PolicyPackage, name: str, reason: str) -> PolicyTestResult:
    return PolicyTestResult(package=package.id, name=name, passed=not reason, reason=reason)


class _Failures:
    """Whatever the engine fails with becomes NotAnswered, and the thread's engine is given up.

    A panic derives from BaseException and its class cannot be imported, so it is known by name.
    """

    def __init__(self, local: threading.local) -> None:
        self._local = local

    def __enter__(self) -> None:
        """Nothing to prepare."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None or issubclass(kind, NotAnswered):
            return
        if issubclass(kind, RuntimeError | ValueError | TypeError) or (
            kind.__name__ == "PanicException"
        ):
            self._local.engine = None
            text = " ".join(str(error).split())
            raise NotAnswered(f"the policy engine failed: {text}") from error


def _load(sources: Mapping[str, str]) -> Any:  # noqa: ANN401  regorus ships no types
    import regorus

    engine = regorus.Engine()
    for name, source in sources.items():
        engine.add_policy(f"{name}.rego", source)
    return engine
