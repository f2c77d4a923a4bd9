"""One suite for every policy engine: in this process, loaded when asked, a real OPA server."""

import copy
import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import urllib3

from qlrf_pipelines.domain.policy import PACKAGES, Decision, PolicySample, read_answer
from qlrf_pipelines.ports.policy import PolicyEngine
from resources.policy.deferred import DeferredPolicies
from resources.policy.embedded import EmbeddedPolicies
from resources.policy.folder import POLICIES, FolderPolicies
from resources.policy.server import OpaServer
from tests.fakes.policy import opa_server, shipped_policies

OK = PACKAGES[0]


@cache
def embedded() -> EmbeddedPolicies:
    return shipped_policies()


@pytest.fixture(scope="module")
def opa_url() -> Iterator[str]:
    """A server that holds the packages, and their tests, which are not part of the bundle."""
    names = ("policy.rego", "policy_test.rego")
    with opa_server([POLICIES / package / name for package in PACKAGES for name in names]) as url:
        yield url


@pytest.fixture
def opa(opa_url: str) -> OpaServer:
    return OpaServer(opa_url, timeout_seconds=30)


@pytest.fixture(params=["embedded", "deferred", pytest.param("opa", marks=pytest.mark.real)])
def engine(request: pytest.FixtureRequest) -> PolicyEngine:
    if request.param == "embedded":
        return embedded()
    if request.param == "deferred":
        return DeferredPolicies(embedded)
    found: PolicyEngine = request.getfixturevalue("opa")
    return found


SAMPLES = [
    pytest.param(package.id, sample, id=f"{package.id}-{sample.name}")
    for package in FolderPolicies().load()
    for sample in package.samples
]


def rules(found: Decision) -> set[str]:
    return {denial.rule for denial in found.denials}


@pytest.mark.parametrize(("package", "sample"), SAMPLES)
def test_a_sample_is_judged_as_it_says(
    engine: PolicyEngine, package: str, sample: PolicySample
) -> None:
    found = engine.decide(package, sample.input)

    assert rules(found) == set(sample.rules)
    assert found.allowed is not bool(sample.rules)
    assert found.bundle_digest == embedded().bundle_digest()


@pytest.mark.parametrize("package", PACKAGES)
@pytest.mark.parametrize("nothing", [{}, {"plan": None}, {"image": [], "sop": 1, "module": "x"}])
def test_nothing_is_allowed_for_nothing(
    engine: PolicyEngine, package: str, nothing: dict[str, Any]
) -> None:
    assert not engine.decide(package, nothing).allowed


def test_an_unknown_package_is_denied(engine: PolicyEngine) -> None:
    found = engine.decide("no_safety", {})

    assert rules(found) == {"engine"}
    assert "plan_safety" in found.denials[0].message


def test_what_json_cannot_say_is_denied(engine: PolicyEngine) -> None:
    for value in ({"x": math.nan}, {"x": object()}, {"x": math.inf}):
        assert rules(engine.decide(OK, value)) == {"engine"}


def test_a_very_deep_input_is_denied_and_the_next_is_answered(engine: PolicyEngine) -> None:
    deep: Any = {}
    for _ in range(50_000):
        deep = {"x": deep}

    assert not engine.decide(OK, {"image": deep}).allowed
    allowed = FolderPolicies().load()[0].samples[0]
    assert engine.decide(OK, allowed.input).allowed


def test_the_digest_is_the_bundles_whoever_judges(engine: PolicyEngine) -> None:
    assert engine.bundle_digest() == embedded().bundle_digest()


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every field and item, large or small."""
    if isinstance(value, dict):
        inner = list(value.items())
    elif isinstance(value, list):
        inner = list(enumerate(value))
    else:
        return
    for key, item in inner:
        yield (*path, key)
        yield from leaves(item, (*path, key))


def without(value: dict[str, Any], path: tuple[Any, ...]) -> dict[str, Any]:
    found: Any = copy.deepcopy(value)
    at = found
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    return dict(found)


def small_samples() -> Iterator[tuple[str, str, dict[str, Any]]]:
    for package in FolderPolicies().load():
        for sample in package.samples:
            if not sample.rules and sample.name not in ("sixty_machines", "ten_machines"):
                yield package.id, sample.name, dict(sample.input)


def asked(pool: urllib3.PoolManager, url: str, package: str, value: dict[str, Any]) -> Decision:
    """What the server says, without asking each time which policies it holds."""
    path = f"{url}/v1/data/qlrf/{package}/decision?strict-builtin-errors=true"
    result = pool.request("POST", path, json={"input": value}).json().get("result")
    return read_answer(result, package=package, engine="opa", bundle_digest="")


@pytest.mark.real
@pytest.mark.slow
def test_engines_agree_about_every_sample_with_anything_missing(opa_url: str) -> None:
    """OPA takes `not f(undefined)` for undefined; this is where such a rule would show."""
    differ = []
    pool = urllib3.PoolManager()
    for package, name, value in small_samples():
        seen: set[tuple[Any, ...]] = set()
        for path in leaves(value):
            alike = tuple("*" if isinstance(part, int) else part for part in path)
            if alike in seen:
                continue  # the first item of a list stands for all
            seen.add(alike)
            document = without(value, path)
            ours = embedded().decide(package, document)
            theirs = asked(pool, opa_url, package, document)
            if (rules(ours), ours.warnings) != (rules(theirs), theirs.warnings):
                differ.append((package, name, path, rules(ours) ^ rules(theirs)))

    assert differ == []
