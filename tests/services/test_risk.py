"""Scoring a fleet's risk says of every asset what the rule says of one."""

from collections.abc import Sequence
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.risk import (
    Finding,
    OpenPorts,
    Risk,
    RiskFacts,
    Vulnerabilities,
    assess,
)
from qlrf_pipelines.domain.vocabulary import ControlVerdict, Environment, Severity
from qlrf_pipelines.services.risk import score_risk
from tests.examples import examples
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
            score = draw(optional(st.sampled_from([0.0, 33.5, 95.0])))
            rows["drift"].append(key | {"drift_score": score})
        if draw(st.booleans()):
            rows["vulnerabilities"].append(key | {"critical": draw(counts), "open": draw(counts)})
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


@settings(
    deadline=None,
    max_examples=examples(25, thorough=60),
    suppress_health_check=[HealthCheck.too_slow],
)
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


TABLES = ("drift", "control_results", "vulnerabilities")
FACTS = {
    "inventory": ("environment", "public_ip", "open_ports"),
    "drift": ("drift_score",),
    "control_results": ("verdict",),
    "vulnerabilities": ("critical", "open"),
}


@settings(
    deadline=None,
    max_examples=examples(20, thorough=40),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(rows=fleets(), data=st.data())
def test_losing_a_row_or_a_fact_never_lowers_any_risk(
    rows: dict[str, list[dict[str, Any]]], data: st.DataObject
) -> None:
    losses = [(name, n, None) for name in TABLES for n in range(len(rows[name]))]
    losses = [loss for loss in losses if not disconnects(rows, loss[0], loss[1])]
    losses += [
        (name, n, fact)  # type: ignore[misc]
        for name, facts in FACTS.items()
        for n in range(len(rows[name]))
        for fact in facts
    ]
    name, number, fact = data.draw(st.sampled_from(losses))
    row = rows[name][number]
    kept = [] if fact is None else [row | {fact: None}]
    poorer = rows | {name: rows[name][:number] + kept + rows[name][number + 1 :]}

    before, after = scored(rows), scored(poorer)

    assert all(after[key]["risk_score"] >= before[key]["risk_score"] - 1e-9 for key in before)


def disconnects(rows: dict[str, list[dict[str, Any]]], name: str, number: int) -> bool:
    """Whether a tenant's feed is gone with this row: then it is named in not_assessed instead."""
    owners = [row["tenant"] for row in rows[name]]
    return name == "vulnerabilities" and owners.count(owners[number]) == 1


def test_a_connected_feed_that_misses_an_asset_is_the_worst_for_it() -> None:
    fleet = [asset("i-1"), asset("i-2"), asset("i-3", "globex")]
    feed = [{"tenant": "acme", "asset_key": fleet[0]["asset_key"], "critical": 0, "open": 1}]

    found = scored({"inventory": fleet, "vulnerabilities": feed})

    one, two, three = (found[row["asset_key"]] for row in fleet)
    assert (one["critical_vulnerabilities_factor"], one["open_vulnerabilities_factor"]) == (0, 5)
    assert (two["critical_vulnerabilities_factor"], two["open_vulnerabilities_factor"]) == (
        100,
        100,
    )
    assert three["critical_vulnerabilities_factor"] is None
    assert three["not_assessed"] == ["critical_vulnerabilities", "open_vulnerabilities"]


def test_an_asset_nobody_judged_takes_the_maximum_of_drift_and_of_compliance() -> None:
    fleet = [asset("i-1")]

    [found] = scored({"inventory": fleet}).values()

    assert (found["drift_factor"], found["noncompliance_factor"]) == (100, 100)


def test_without_controls_compliance_is_not_assessed() -> None:
    [found] = scored({"inventory": [asset("i-1")]}, controls=[]).values()

    assert found["noncompliance_factor"] is None
    assert "noncompliance" in found["not_assessed"]


def test_an_asset_has_one_row_however_many_versions_and_results_there_are() -> None:
    fleet = [asset("i-1"), asset("i-1", "globex")]
    results = [
        {
            "tenant": row["tenant"],
            "asset_key": row["asset_key"],
            "control_id": c.id,
            "verdict": "pass",
        }
        for row in fleet
        for c in CONTROLS
    ]
    lake = FakeLake()
    world = fake_world(lake=lake, controls=FakeControls(CONTROLS))
    store(lake, "inventory", fleet)
    store(lake, "control_results", results)

    score_risk(world, [tenant(name) for name in TENANTS])

    assert [(row["tenant"], row["noncompliance_factor"]) for row in lake.rows("risk")] == [
        ("acme", 0),
        ("globex", 0),
    ]


def test_the_report_counts_the_levels_and_shows_the_worst_with_their_factors() -> None:
    fleet = [asset(f"i-{n}", environment="sandbox" if n else "production") for n in range(7)]
    lake = FakeLake()
    world = fake_world(lake=lake, controls=FakeControls(CONTROLS))
    store(lake, "inventory", fleet, *TENANTS)

    report = score_risk(world, [tenant(name) for name in TENANTS], most_rows=1)

    facts = report.facts[tenant("acme").name]
    assert (facts["assets"], facts["critical"], facts["medium"]) == (7, 1, 6)
    assert facts["not_assessed"] == "critical_vulnerabilities, open_vulnerabilities"
    worst = report.preview[tenant("acme").name]
    assert len(worst) == 5
    assert (worst[0]["score"], worst[0]["drift"], worst[0]["environment_factor"]) == (100, 100, 1.5)
    assert report.facts[tenant("globex").name]["assets"] == 0
