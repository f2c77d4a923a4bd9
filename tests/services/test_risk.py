"""Scoring a fleet's risk says of every asset what the rule says of one."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.estate import Estate
from qlrf_pipelines.domain.risk import (
    Finding,
    OpenPorts,
    Risk,
    RiskFacts,
    Vulnerabilities,
    assess,
)
from qlrf_pipelines.domain.vocabulary import ControlVerdict, Environment, RiskLevel, Severity
from qlrf_pipelines.services.risk import score_risk
from tests.fakes.clock import NOON
from tests.fakes.controls import FakeControls, control
from tests.fakes.fleet import asset, store, tenant
from tests.fakes.lake import FakeLake
from tests.fakes.world import fake_world

SQL = "SELECT tenant, asset_key, 'pass' AS verdict, '' AS detail FROM assets"
CONTROLS = (
    control("encrypted", sql=SQL, severity=Severity.CRITICAL),
    control("monitored", sql=SQL, severity=Severity.LOW),
    control("patched", sql=SQL, severity=Severity.HIGH),
    control("reviewed", sql=None, severity=Severity.MEDIUM),
)
TENANTS = ("acme", "globex")


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values, values, values)


ports = st.fixed_dictionaries(
    {
        "protocol": st.sampled_from([None, "tcp", "udp", "-1", "tcp"]),
        "from_port": st.sampled_from([None, -1, 0, 22, 80, 443, 6000]),
        "to_port": st.sampled_from([None, -1, 22, 80, 443, 6000, 65535]),
    }
)
facts = st.fixed_dictionaries(
    {
        "owner": st.sampled_from(TENANTS),
        "environment": optional(st.sampled_from([str(e) for e in Environment])),
        "public_ip": optional(st.sampled_from(["", "203.0.113.7"])),
        "open_ports": optional(st.lists(ports, max_size=2)),
        "tombstoned_at": st.sampled_from([None, None, None, NOON]),
    }
)
counts = st.one_of(st.none(), st.integers(0, 6))


@st.composite
def fleets(draw: st.DrawFn) -> dict[str, list[dict[str, Any]]]:
    found = draw(st.lists(facts, min_size=1, max_size=6))
    inventory = [asset(f"i-{number}", **given) for number, given in enumerate(found)]
    rows: dict[str, list[dict[str, Any]]] = {
        "inventory": inventory,
        "drift": [],
        "control_results": [],
        "vulnerabilities": [],
    }
    for row in inventory:
        key = {"tenant": row["tenant"], "asset_key": row["asset_key"]}
        if draw(st.booleans()):
            rows["drift"].append(key | {"drift_score": draw(optional(st.sampled_from([0.0, 33.5, 95.0])))})
        if draw(st.booleans()):
            rows["vulnerabilities"].append(
                key | {"critical": draw(counts), "open": draw(counts)}
            )
        for rule in draw(st.lists(st.sampled_from(CONTROLS), unique_by=lambda c: c.id)):
            verdict = draw(optional(st.sampled_from([str(v) for v in ControlVerdict])))
            rows["control_results"].append(key | {"control_id": rule.id, "verdict": verdict})
    for owner in draw(st.lists(st.sampled_from(TENANTS), unique=True)):
        rows["control_results"].append(
            {"tenant": owner, "asset_key": "", "control_id": "patched", "verdict": "pass"}
        )
    return rows


def scored(
    rows: dict[str, list[dict[str, Any]]], controls: Sequence[Any] = CONTROLS
) -> dict[str, dict[str, Any]]:
    lake = FakeLake()
    world = fake_world(lake=lake, controls=FakeControls(controls))
    for name, found in rows.items():
        store(lake, name, found, *TENANTS)
    score_risk(world, [tenant(name) for name in TENANTS])
    return {str(row["asset_key"]): row for row in lake.rows("risk")}


def expected(row: dict[str, Any], rows: dict[str, list[dict[str, Any]]]) -> Risk:
    def mine(name: str) -> list[dict[str, Any]]:
        return [r for r in rows[name] if r["asset_key"] == row["asset_key"]]

    whole = {
        r["control_id"]
        for r in rows["control_results"]
        if r["asset_key"] == "" and r["tenant"] == row["tenant"]
    }
    verdicts = {r["control_id"]: r["verdict"] for r in mine("control_results")}
    findings = [
        Finding(severity=c.severity, verdict=v and ControlVerdict(v))
        for c in CONTROLS
        if c.sql is not None and c.id not in whole
        for v in [verdicts.get(c.id)]
    ]
    connected = any(r["tenant"] == row["tenant"] for r in rows["vulnerabilities"])
    feed = next(
        (Vulnerabilities(critical=r["critical"], open=r["open"]) for r in mine("vulnerabilities")),
        Vulnerabilities(),
    )
    return assess(
        RiskFacts(
            environment=row["environment"] and Environment(row["environment"]),
            drift_score=next((r["drift_score"] for r in mine("drift")), None),
            findings=findings,
            vulnerabilities=feed if connected else None,
            public_ip=row["public_ip"],
            open_ports=None
            if row["open_ports"] is None
            else [OpenPorts(**ports) for ports in row["open_ports"]],
        )
    )


def as_row(row: dict[str, Any], risk: Risk) -> dict[str, Any]:
    return {
        "tenant": row["tenant"],
        "asset_key": row["asset_key"],
        "risk_score": risk.score,
        "risk_level": str(risk.level),
        **{f"{name}_factor": value for name, value in risk.factors.items()},
        "environment_factor": risk.environment_factor,
        "not_assessed": list(risk.not_assessed),
        "as_of": NOON,
    }


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(rows=fleets())
def test_a_fleet_is_scored_as_each_of_its_assets_would_be(
    rows: dict[str, list[dict[str, Any]]],
) -> None:
    found = scored(rows)

    assert found == {
        row["asset_key"]: as_row(row, expected(row, rows))
        for row in rows["inventory"]
        if row["tombstoned_at"] is None
    }
