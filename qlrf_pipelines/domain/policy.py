"""Policies: what is asked, and the rule that anything but a well-formed answer is a denial."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qlrf_pipelines.domain.errors import QlrfError, Refused
from qlrf_pipelines.domain.vocabulary import Severity

PACKAGES = (
    "image_safety",
    "plan_safety",
    "sop_safety",
    "terraform_safety",
    "tool_authorization",
)
ENGINE_RULE = "engine"  # the rule named when no policy could be asked


class NotAnswered(Refused):
    """A policy engine gave no answer that can be used; it never leaves `decide`, as a denial."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """One rule of a package: its id, whether it denies or warns, how bad, and why it exists."""

    id: str
    denies: bool
    severity: Severity
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicySample:
    """An input, and the rules that must deny it; none means it must be allowed."""

    name: str
    input: Mapping[str, Any]
    rules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyPackage:
    """A package of rules in Rego, its own tests, and samples of what it lets through or not."""

    id: str
    title: str
    judges: str
    rules: tuple[PolicyRule, ...]
    samples: tuple[PolicySample, ...]
    source: str
    tests: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Denial:
    """One reason against, or worth knowing: which rule, about what, and why."""

    rule: str
    message: str
    resource: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What a package says of one input, who was asked, and with which policies."""

    package: str
    allowed: bool
    denials: tuple[Denial, ...]
    warnings: tuple[Denial, ...]
    engine: str
    bundle_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyTestResult:
    """How one test or sample of a package went; a reason only if it did not hold."""

    package: str
    name: str
    passed: bool
    reason: str = ""


def read_answer(answer: object, *, package: str, engine: str, bundle_digest: str) -> Decision:
    """The decision an engine's answer stands for; any other shape is a denial.

    A well-formed answer is `{"allow": bool, "deny": [...], "warn": [...]}`, every finding has the
    texts rule, resource and message, and `allow` is true exactly when nothing is denied.
    """
    try:
        allowed, denials, warnings = _parts(answer)
    except NotAnswered as error:
        return denied(str(error), package=package, engine=engine, bundle_digest=bundle_digest)
    return Decision(
        package=package,
        allowed=allowed,
        denials=denials,
        warnings=warnings,
        engine=engine,
        bundle_digest=bundle_digest,
    )


def denied(reason: str, *, package: str, engine: str, bundle_digest: str = "") -> Decision:
    """The decision when a policy could not be asked: a denial, with the reason."""
    return Decision(
        package=package,
        allowed=False,
        denials=(Denial(rule=ENGINE_RULE, message=reason, resource=package),),
        warnings=(),
        engine=engine,
        bundle_digest=bundle_digest,
    )


def decide_or_deny(ask: Callable[[], Decision], *, package: str, engine: str) -> Decision:
    """What `ask` decides; if it cannot answer, a denial with the reason."""
    if package not in PACKAGES:
        known = ", ".join(PACKAGES)
        reason = f"there is no policy package {package}; the packages are {known}"
        return denied(reason, package=package, engine=engine)
    try:
        return ask()
    except QlrfError as error:
        return denied(str(error), package=package, engine=engine)


def written(value: Mapping[str, Any]) -> str:
    """An input as JSON.

    Raises:
        NotAnswered: it holds something JSON has no word for, such as NaN.
    """
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError, RecursionError) as error:
        raise NotAnswered(f"the input cannot be written as JSON: {error}") from error


def _parts(answer: object) -> tuple[bool, tuple[Denial, ...], tuple[Denial, ...]]:
    if not isinstance(answer, Mapping):
        raise NotAnswered("the policy engine's answer is no decision")
    allowed = answer.get("allow")
    if not isinstance(allowed, bool):
        raise NotAnswered("the policy engine's answer does not say whether it allows")
    denials = _findings(answer.get("deny"), "deny")
    if allowed is bool(denials):
        raise NotAnswered("the policy engine's answer contradicts itself")
    return allowed, denials, _findings(answer.get("warn"), "warn")


def _findings(value: object, name: str) -> tuple[Denial, ...]:
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise NotAnswered(f"the policy engine's answer has no list {name}")
    return tuple(
        sorted((_finding(item) for item in value), key=lambda f: (f.rule, f.resource, f.message))
    )


def _finding(value: object) -> Denial:
    if not isinstance(value, Mapping):
        raise NotAnswered("a finding in the policy engine's answer is no finding")
    parts = {name: value.get(name) for name in ("rule", "message", "resource")}
    texts = {name: part for name, part in parts.items() if isinstance(part, str) and part}
    if len(texts) < len(parts):
        raise NotAnswered("a finding in the policy engine's answer lacks rule, message or resource")
    return Denial(**texts)
