"""What the risk rule promises for one asset."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.risk import (
    SENSITIVE_PORTS,
    WEIGHTS,
    Finding,
    OpenPorts,
    RiskFacts,
    Vulnerabilities,
    assess,
    exposure,
    level_of,
    noncompliance,
)
from qlrf_pipelines.domain.vocabulary import ControlVerdict, Environment, RiskLevel, Severity

PASSED = Finding(severity=Severity.HIGH, verdict=ControlVerdict.PASS)
CALM = RiskFacts(
    environment=Environment.STAGING,
    drift_score=0,
    findings=(PASSED,),
    vulnerabilities=Vulnerabilities(critical=0, open=0),
    public_ip="",
    open_ports=(),
)
HTTPS = OpenPorts(protocol="tcp", from_port=443, to_port=443)
SSH = OpenPorts(protocol="tcp", from_port=22, to_port=22)


def test_nothing_wrong_is_no_risk() -> None:
    found = assess(CALM)

    assert (found.score, found.level, found.not_assessed) == (0, RiskLevel.LOW, ())


def test_the_weights_are_a_whole() -> None:
    assert sum(WEIGHTS.values()) == 100


@pytest.mark.parametrize(
    ("change", "score"),
    [
        ({"drift_score": 80}, 20),
        ({"vulnerabilities": Vulnerabilities(critical=2, open=0)}, 12.5),
        ({"vulnerabilities": Vulnerabilities(critical=0, open=4)}, 4),
        ({"findings": (replace(PASSED, verdict=ControlVerdict.FAIL),)}, 15),
        ({"public_ip": "203.0.113.7"}, 4.5),
    ],
)
def test_every_factor_enters_with_its_weight(change: dict[str, Any], score: float) -> None:
    assert assess(replace(CALM, **change)).score == pytest.approx(score)


@pytest.mark.parametrize(
    ("environment", "factor"),
    [
        (Environment.PRODUCTION, 1.5),
        (Environment.DR, 1.2),
        (Environment.STAGING, 1.0),
        (Environment.DEVELOPMENT, 0.5),
        (Environment.SANDBOX, 0.5),
        (None, 1.5),
    ],
)
def test_the_environment_multiplies_and_an_unknown_one_as_production(
    environment: Environment | None, factor: float
) -> None:
    found = assess(replace(CALM, environment=environment, drift_score=80))

    assert found.score == pytest.approx(20 * factor)
    assert found.environment_factor == factor


def test_risk_never_exceeds_a_hundred() -> None:
    worst = RiskFacts(
        environment=None,
        drift_score=None,
        findings=(),
        vulnerabilities=Vulnerabilities(),
        public_ip=None,
        open_ports=None,
    )

    found = assess(worst)

    assert (found.score, found.level) == (100, RiskLevel.CRITICAL)
    assert set(found.factors.values()) == {100}


def test_a_source_nobody_connected_is_named_and_its_weight_shared_out() -> None:
    found = assess(replace(CALM, vulnerabilities=None, drift_score=55))

    assert found.not_assessed == ("critical_vulnerabilities", "open_vulnerabilities")
    assert found.factors["critical_vulnerabilities"] is None
    assert found.score == pytest.approx(55 * 25 / 55)


def test_without_any_control_noncompliance_is_not_assessed() -> None:
    assert assess(replace(CALM, findings=None)).not_assessed == ("noncompliance",)


def test_vulnerabilities_count_up_to_a_hundred() -> None:
    found = assess(replace(CALM, vulnerabilities=Vulnerabilities(critical=9, open=99)))

    assert found.factors["critical_vulnerabilities"] == found.factors["open_vulnerabilities"] == 100


@pytest.mark.parametrize(
    ("verdicts", "share"),
    [
        ({Severity.CRITICAL: "fail", Severity.LOW: "pass"}, 80),
        ({Severity.CRITICAL: "pass", Severity.LOW: "never_proven"}, 20),
        ({Severity.HIGH: "pass", Severity.MEDIUM: None}, 40),
        ({Severity.HIGH: "pass", Severity.CRITICAL: "not_applicable"}, 0),
        ({Severity.HIGH: "pass", Severity.CRITICAL: "manual"}, 0),
        ({Severity.HIGH: "not_applicable"}, 100),
        ({}, 100),
    ],
)
def test_noncompliance_is_the_severity_weighted_share_not_passed(
    verdicts: dict[Severity, str | None], share: float
) -> None:
    findings = [
        Finding(severity=severity, verdict=None if text is None else ControlVerdict(text))
        for severity, text in verdicts.items()
    ]

    assert noncompliance(findings) == share


@pytest.mark.parametrize(
    ("public_ip", "open_ports", "value"),
    [
        ("", (), 0),
        ("203.0.113.7", (), 30),
        ("", (HTTPS,), 40),
        ("203.0.113.7", (HTTPS,), 70),
        ("", (HTTPS, SSH), 60),
        ("203.0.113.7", (SSH,), 100),
        ("203.0.113.7", (OpenPorts(protocol="-1", from_port=None, to_port=None),), 100),
        ("203.0.113.7", (OpenPorts(protocol="tcp", from_port=8000, to_port=None),), 100),
        (None, (), 100),
        ("", None, 100),
    ],
)
def test_exposure_is_what_the_world_can_reach(
    public_ip: str | None, open_ports: tuple[OpenPorts, ...] | None, value: float
) -> None:
    assert exposure(public_ip, open_ports) == value


@given(st.lists(st.sampled_from([HTTPS, SSH, OpenPorts(protocol="tcp", from_port=1, to_port=9)])))
def test_exposure_only_rises_with_what_is_open_and_with_an_address(opened: list[OpenPorts]) -> None:
    hidden = [exposure("", opened[:n]) for n in range(len(opened) + 1)]
    public = [exposure("203.0.113.7", opened[:n]) for n in range(len(opened) + 1)]

    assert hidden == sorted(hidden)
    assert public == sorted(public)
    assert all(h < p for h, p in zip(hidden, public, strict=True))


def test_the_sensitive_ports_are_listed_once() -> None:
    assert len(set(SENSITIVE_PORTS)) == len(SENSITIVE_PORTS)


@pytest.mark.parametrize(
    ("score", "level"),
    [
        (0, "low"),
        (24.99, "low"),
        (25, "medium"),
        (49.99, "medium"),
        (50, "high"),
        (74.99, "high"),
        (75, "critical"),
        (100, "critical"),
    ],
)
def test_the_bands(score: float, level: str) -> None:
    assert level_of(score) == level


LOSSES: dict[str, Callable[[RiskFacts], RiskFacts]] = {
    "environment": lambda f: replace(f, environment=None),
    "drift": lambda f: replace(f, drift_score=None),
    "address": lambda f: replace(f, public_ip=None),
    "ports": lambda f: replace(f, open_ports=None),
    "feed row": lambda f: replace(f, vulnerabilities=f.vulnerabilities and Vulnerabilities()),
    "critical": lambda f: replace(
        f, vulnerabilities=f.vulnerabilities and replace(f.vulnerabilities, critical=None)
    ),
    "verdict": lambda f: replace(
        f, findings=tuple(replace(x, verdict=None) for x in f.findings or ())
    ),
}
risks = st.builds(
    RiskFacts,
    environment=st.sampled_from(Environment),
    drift_score=st.floats(0, 100),
    findings=st.lists(
        st.builds(
            Finding, severity=st.sampled_from(Severity), verdict=st.sampled_from(ControlVerdict)
        )
    ).map(tuple),
    vulnerabilities=st.one_of(
        st.none(),
        st.builds(Vulnerabilities, critical=st.integers(0, 9), open=st.integers(0, 30)),
    ),
    public_ip=st.sampled_from(["", "203.0.113.7"]),
    open_ports=st.lists(st.sampled_from([HTTPS, SSH])).map(tuple),
)


@given(facts=risks, lost=st.sampled_from(sorted(LOSSES)))
def test_losing_a_datum_never_lowers_the_risk(facts: RiskFacts, lost: str) -> None:
    before, after = assess(facts), assess(LOSSES[lost](facts))

    assert after.score >= before.score - 1e-9
    assert list(RiskLevel).index(after.level) >= list(RiskLevel).index(before.level)
