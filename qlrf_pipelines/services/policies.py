"""Policies: what there is, what it says of an input, and whether it holds what it promises."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.domain.policy import (
    Decision,
    PolicyPackage,
    PolicySample,
    PolicyTestResult,
)
from qlrf_pipelines.ports.policy import PolicyEngine, PolicyStore, PolicyTests


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyReport:
    """Every test and sample of every package, and how it went."""

    results: tuple[PolicyTestResult, ...]

    @property
    def failed(self) -> tuple[PolicyTestResult, ...]:
        """Those that did not hold."""
        return tuple(result for result in self.results if not result.passed)


def find_package(store: PolicyStore, name: str) -> PolicyPackage:
    """The package of that name.

    Raises:
        NotFound: there is none; the message names those there are.
    """
    packages = store.load()
    for package in packages:
        if package.id == name:
            return package
    known = ", ".join(package.id for package in packages)
    raise NotFound(f"There is no policy package {name}; the packages are {known}.")


def find_sample(package: PolicyPackage, name: str | None = None) -> PolicySample:
    """The sample of that name, or the first that is allowed.

    Raises:
        NotFound: there is none; the message names those there are.
    """
    for sample in package.samples:
        if name in (None, sample.name):
            return sample
    known = ", ".join(sample.name for sample in package.samples)
    raise NotFound(f"{package.id} has no sample {name}; its samples are {known}.")


def check(engine: PolicyEngine, package: str, value: Mapping[str, Any]) -> Decision:
    """What a package says of an input."""
    return engine.decide(package, value)


def run_tests(
    packages: Sequence[PolicyPackage], engine: PolicyEngine, tests: PolicyTests
) -> PolicyReport:
    """Run every test in Rego, and judge every sample by the engine in use."""
    results: list[PolicyTestResult] = []
    for package in packages:
        results += tests.run(package)
        results += _samples(package, engine)
    return PolicyReport(results=tuple(results))


def _samples(package: PolicyPackage, engine: PolicyEngine) -> Iterator[PolicyTestResult]:
    for sample in package.samples:
        reason = _unlike(sample, engine.decide(package.id, sample.input))
        yield PolicyTestResult(
            package=package.id, name=f"sample {sample.name}", passed=not reason, reason=reason
        )


def _unlike(sample: PolicySample, found: Decision) -> str:
    """How a decision differs from what the sample says; nothing if it does not."""
    rules = {denial.rule for denial in found.denials}
    if found.allowed is not bool(sample.rules) and rules == set(sample.rules):
        return ""
    said = ", ".join(sorted(sample.rules)) or "nothing"
    return f"must deny {said}; denied " + (", ".join(sorted(rules)) or "nothing")
