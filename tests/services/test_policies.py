"""Policies as a service: what there is, and whether it holds."""

import pytest

from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.domain.policy import PolicySample
from qlrf_pipelines.services.policies import check, find_package, find_sample, run_tests
from tests.fakes.policy import FakePolicies, FakePolicyStore, FakePolicyTests, package


def test_a_package_is_found_by_its_name() -> None:
    store = FakePolicyStore([package("plan_safety"), package("sop_safety")])

    assert find_package(store, "sop_safety").id == "sop_safety"
    with pytest.raises(NotFound, match="plan_safety, sop_safety"):
        find_package(store, "nothing")


def test_the_first_sample_is_one_that_is_allowed() -> None:
    assert find_sample(package()).name == "good"
    with pytest.raises(NotFound, match="its samples are good"):
        find_sample(package(), "bad")


def test_an_input_is_judged_by_the_engine() -> None:
    engine = FakePolicies({"plan_safety": ["too large"]})

    found = check(engine, "plan_safety", {"plan": 1})

    assert not found.allowed
    assert engine.asked == [("plan_safety", {"plan": 1})]


def test_every_test_and_sample_is_reported() -> None:
    report = run_tests([package()], FakePolicies(), FakePolicyTests())

    assert [(r.name, r.passed) for r in report.results] == [
        ("test_it", True),
        ("sample good", True),
    ]
    assert report.failed == ()


def test_a_sample_judged_otherwise_than_it_says_fails() -> None:
    bad = PolicySample(name="bad", input={}, rules=("r",))

    report = run_tests([package(samples=(bad,))], FakePolicies(), FakePolicyTests(["plan_safety"]))

    assert [(r.name, r.reason) for r in report.failed] == [
        ("test_it", "it is not true"),
        ("sample bad", "must deny r; denied nothing"),
    ]
