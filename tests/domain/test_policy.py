"""Anything but a well-formed answer is a denial."""

from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.policy import Decision, decide_or_deny, read_answer

FINDING = {"rule": "r", "message": "because", "resource": "plan"}


def read(answer: object) -> Decision:
    return read_answer(answer, package="plan_safety", engine="test", bundle_digest="d")


@pytest.mark.parametrize(
    "answer",
    [
        None,
        True,
        [],
        {},
        {"allow": True},
        {"allow": True, "deny": []},
        {"allow": "true", "deny": [], "warn": []},
        {"allow": 1, "deny": [], "warn": []},
        {"allow": True, "deny": None, "warn": []},
        {"allow": True, "deny": "", "warn": []},
        {"allow": True, "deny": {}, "warn": []},
        {"allow": True, "deny": [FINDING], "warn": []},
        {"allow": False, "deny": [], "warn": []},
        {"allow": False, "deny": ["because"], "warn": []},
        {"allow": True, "deny": [], "warn": ["because"]},
        {"allow": False, "deny": [{"rule": "r"}], "warn": []},
        {"allow": False, "deny": [FINDING | {"message": ""}], "warn": []},
    ],
)
def test_anything_but_a_decision_is_a_denial(answer: Any) -> None:
    found = read(answer)

    assert not found.allowed
    assert [denial.rule for denial in found.denials] == ["engine"]


def test_an_allowing_answer_is_believed() -> None:
    found = read({"allow": True, "deny": [], "warn": [FINDING]})

    assert found.allowed
    assert found.denials == ()
    assert found.warnings[0].message == "because"
    assert found.bundle_digest == "d"


def test_denials_are_in_a_stable_order() -> None:
    findings = [FINDING | {"rule": rule} for rule in ("c", "a", "b")]

    assert [d.rule for d in read({"allow": False, "deny": findings, "warn": []}).denials] == [
        "a",
        "b",
        "c",
    ]


def test_a_failing_engine_denies_with_its_reason() -> None:
    def fail() -> Decision:
        raise Unavailable("the engine is down")

    found = decide_or_deny(fail, package="plan_safety", engine="test")

    assert not found.allowed
    assert found.denials[0].message == "the engine is down"
    assert found.bundle_digest == ""
