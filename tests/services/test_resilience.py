"""Readiness: what was not proven is never ready, and losing anything never makes it so."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.drill_datasets import DRILLS, RESILIENCE
from qlrf_pipelines.domain.estate import Estate, Tenant, TenantId
from qlrf_pipelines.domain.recovery import MoveKind
from qlrf_pipelines.domain.recovery_plans import DrPair, Site
from qlrf_pipelines.domain.resilience import RANKS
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.services.drill_export import export_drills
from qlrf_pipelines.services.resilience import judge, refresh_resilience, register
from tests.examples import examples
from tests.fakes import drilled
from tests.fakes.clock import NOON
from tests.fakes.drill_house import DrillHouse
from tests.fakes.estate import FakeEstate
from tests.fakes.world import fake_world

ACME = TenantId("acme")
STATUS = ("healthy", "warning", "critical", "no_data")


def sites(*names: str) -> tuple[Site, ...]:
    return tuple(
        Site(tenant=ACME, name=name, platform=Platform.AWS, region="eu-west-1") for name in names
    )


PAIR = DrPair(tenant=ACME, name="london-dublin", primary="london", recovery="dublin")
PLAN = drilled.plan()


def estate(*plans: Any, **parts: Any) -> Estate:
    given_: dict[str, Any] = {
        "tenants": (Tenant(name=ACME, display_name="Acme"),),
        "sites": sites("london", "dublin"),
        "pairs": (PAIR,),
        "recovery": plans or (PLAN,),
    }
    return Estate(**(given_ | parts))


def drill(own: str = "d-1", *, days_ago: float = 1, **parts: Any) -> dict[str, Any]:
    """A closed drill of orders that proved everything."""
    when = NOON - timedelta(days=days_ago)
    blank: dict[str, Any] = dict.fromkeys(DRILLS.schema.names)
    return blank | {
        "tenant": "acme",
        "drill_id": own,
        "application": "orders",
        "plan": "orders-full",
        "pair": "london-dublin",
        "primary_site": "london",
        "recovery_site": "dublin",
        "drill_type": "full",
        "phase": "closed",
        "outcome": "passed",
        "requested_at": when - timedelta(hours=1),
        "ended_at": when,
        "members": 1,
        "members_proven": 1,
        "rto_target": 300.0,
        "rto_seconds": 12.5,
        "rto_verdict": "met",
        "rto_reason": "measured",
        "rpo_target": 30.0,
        "rpo_seconds": 0.5,
        "rpo_verdict": "met",
        "rpo_reason": "measured",
        "replication_status": "in_sync",
        "replication_lag_seconds": 0.1,
        "left_over": 0,
        "ledger_seq": 10,
        "as_of": NOON,
        **parts,
    }


def judged(*drills: dict[str, Any], given_: Estate | None = None) -> dict[tuple[str, str], Any]:
    """Every scope's row."""
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("drills", pa.Table.from_pylist(list(drills), schema=DRILLS.schema))
        register(connection, given_ or estate(), [ACME])
        rows = judge(connection, now=NOON).to_pylist()
    return {(row["scope_type"], row["scope_value"]): row for row in rows}


def orders(*drills: dict[str, Any], **parts: Any) -> dict[str, Any]:
    return judged(*drills, **parts)["application", "orders"]


def test_a_fresh_drill_that_met_its_targets_makes_an_application_ready() -> None:
    row = orders(drill())

    assert (row["readiness"], row["status"], row["coverage"]) == ("ready", "healthy", 1.0)
    assert (row["targets"], row["targets_met"]) == (2, 2)
    assert (row["rto_seconds"], row["rto_target"], row["rto_verdict"]) == (12.5, 300.0, "met")
    assert row["due_at"] == NOON + timedelta(days=89)
    assert (row["last_drill_id"], row["last_outcome"]) == ("d-1", "passed")


def test_no_pair_and_no_plan_is_no_data_and_never_a_hundred_percent() -> None:
    rows = judged(given_=estate(pairs=(), recovery=(), sites=()))

    assert set(rows) == {("tenant", "acme")}
    row = rows["tenant", "acme"]
    assert (row["status"], row["readiness"], row["coverage"]) == ("no_data", "no_data", None)
    assert (row["applications"], row["targets"], row["targets_met"]) == (0, 0, 0)
    assert row["failure_upper"] is None


def test_a_pair_without_a_plan_is_no_data() -> None:
    rows = judged(given_=estate(recovery=()))

    assert {key: row["status"] for key, row in rows.items()} == {
        ("tenant", "acme"): "no_data",
        ("site", "london"): "no_data",
        ("site", "dublin"): "no_data",
        ("pair", "london-dublin"): "no_data",
    }


def test_a_site_without_another_that_stands_in_says_so() -> None:
    rows = judged(given_=estate(sites=sites("london", "dublin", "paris")))

    assert [rows["site", name]["paired"] for name in ("london", "dublin", "paris")] == [
        True,
        True,
        False,
    ]
    assert rows["pair", "london-dublin"]["paired"] is None


@pytest.mark.parametrize(
    ("fault", "readiness", "reason"),
    [
        ({"outcome": "failed"}, "failed", "drill d-1 failed"),
        ({"outcome": "aborted"}, "failed", "drill d-1 aborted"),
        ({"outcome": None}, "failed", "drill d-1 has no outcome"),
        ({"phase": "held", "outcome": "failed"}, "never_drilled", "no drill that moved anything"),
        ({"drill_type": "tabletop"}, "never_drilled", "no drill that moved anything"),
        ({"rto_verdict": "not_proven", "rto_reason": "no answer"}, "not_proven", "no answer"),
        ({"rpo_verdict": None}, "not_proven", "RPO not proven"),
        ({"rpo_verdict": "missed"}, "missed", "RPO missed"),
        ({"rto_seconds": 301.0}, "missed", "RTO missed"),
        ({"left_over": 2}, "not_proven", "left behind"),
        ({"left_over": None}, "not_proven", "left behind"),
        ({"ended_at": NOON - timedelta(days=91)}, "overdue", "more than 90 days old"),
        ({"ended_at": None}, "overdue", "nobody knows when"),
        ({"members_proven": 0}, "partial", "only 0 of 1 members"),
        ({"members_proven": None}, "partial", "only 0 of 1 members"),
    ],
)
def test_each_fault_has_its_word_and_its_reason(
    fault: dict[str, Any], readiness: str, reason: str
) -> None:
    row = orders(drill(**fault))

    assert row["readiness"] == readiness
    assert reason in row["reason"]
    assert (row["ready"], row["coverage"], row["status"]) == (0, 0.0, "critical")


@pytest.mark.parametrize(
    ("parts", "readiness", "reason"),
    [
        ({"rto_seconds": None}, "not_proven", "RTO not proven: no target is set"),
        ({"fresh_days": None}, "overdue", "no contract says how often"),
        ({"rto_seconds": 10.0}, "missed", "RTO missed"),
    ],
)
def test_a_plan_is_held_against_what_it_promises_today(
    parts: dict[str, Any], readiness: str, reason: str
) -> None:
    row = orders(drill(), given_=estate(replace(PLAN, **parts)))

    assert (row["readiness"], reason in row["reason"]) == (readiness, True)


def test_the_newest_drill_speaks_and_an_older_success_does_not_hide_it() -> None:
    row = orders(drill("d-1", days_ago=5), drill("d-2", days_ago=1, outcome="failed"))

    assert row["readiness"] == "failed"
    assert (row["drills"], row["drills_failed"], row["last_drill_id"]) == (2, 1, "d-2")


def test_a_drill_without_a_date_counts_beside_the_newest() -> None:
    lost = drill("d-1", days_ago=5, outcome="failed", requested_at=None)

    assert orders(lost, drill("d-2"))["readiness"] == "failed"


def test_a_held_drill_makes_its_application_not_ready() -> None:
    row = orders(drill("d-1", days_ago=5), drill("d-2", phase="held", outcome=None))

    assert (row["readiness"], row["held_drills"]) == ("failed", 1)
    assert "d-2 is held" in row["reason"]


def test_an_application_no_contract_plans_any_more_is_still_counted() -> None:
    rows = judged(drill(), given_=estate(recovery=()))

    row = rows["tenant", "acme"]
    assert (row["applications"], row["ready"], row["status"]) == (1, 0, "critical")
    assert rows["application", "orders"]["readiness"] == "unplanned"
    assert row["drills"] == 1


def test_the_last_fifth_of_the_days_is_due() -> None:
    early, late = orders(drill(days_ago=60)), orders(drill(days_ago=80))

    assert [(row["readiness"], row["plans_due"]) for row in (early, late)] == [
        ("ready", 0),
        ("ready", 1),
    ]


def test_shares_are_of_applications_and_the_worst_plan_speaks_for_each() -> None:
    other = replace(PLAN, name="orders-test")
    third = replace(PLAN, name="billing-full", application="billing")
    billing = drill("d-3", plan="billing-full", application="billing")

    rows = judged(drill(), billing, given_=estate(PLAN, other, third))

    row = rows["pair", "london-dublin"]
    assert (row["applications"], row["ready"], row["coverage"]) == (2, 1, 0.5)
    assert (row["plans"], row["plans_ready"], row["plans_never_drilled"]) == (3, 2, 1)
    assert rows["application", "orders"]["readiness"] == "never_drilled"
    assert rows["plan", "orders-full"]["readiness"] == "ready"
    assert row["rto_seconds"] is None, "one number for several applications says nothing"


def test_several_drills_give_a_bound_and_a_trend() -> None:
    many = [drill(f"d-{n}", days_ago=20 - n, rto_seconds=10.0 + n) for n in range(6)]

    row = orders(*many)

    assert (row["rto_measured"], row["rto_highest"], row["rto_trend"]) == (6, 15.0, 1.0)
    assert row["rto_median_upper"] == 15.0
    assert row["failure_upper"] == pytest.approx(1 - 0.05 ** (1 / 6))


FACTS = [
    name
    for name in DRILLS.schema.names
    if name not in ("tenant", "drill_id", "application", "plan")
]
VALUES: dict[str, list[Any]] = {
    "drill_type": ["full", "tabletop", "test_failover"],
    "phase": ["closed", "held", "failover"],
    "outcome": ["passed", "failed", "aborted"],
    "rto_verdict": ["met", "missed", "not_proven"],
    "rpo_verdict": ["met", "missed", "not_proven"],
    "rto_seconds": [1.0, 299.0, 400.0],
    "rpo_seconds": [0.0, 31.0],
    "left_over": [0, 1],
    "members_proven": [0, 1],
    "replication_status": ["in_sync", "lagging", "failed", "unknown"],
}


@st.composite
def drill_rows(draw: st.DrawFn) -> list[dict[str, Any]]:
    count = draw(st.integers(1, 3))
    return [
        drill(
            f"d-{n}",
            days_ago=draw(st.sampled_from([1, 80, 120])),
            **{name: draw(st.sampled_from(values)) for name, values in VALUES.items()},
        )
        for n in range(count)
    ]


def rank(row: dict[str, Any]) -> int:
    return RANKS[row["readiness"]]


@settings(max_examples=examples(20, thorough=40), deadline=None)
@given(rows=drill_rows(), which=st.data())
def test_losing_any_fact_of_any_drill_never_improves_anything(
    rows: list[dict[str, Any]], which: st.DataObject
) -> None:
    before = judged(*rows)
    row = which.draw(st.sampled_from(rows))
    lost = which.draw(st.sampled_from(FACTS))

    after = judged(*[one | {lost: None} if one is row else one for one in rows])

    assert set(after) == set(before)
    for scope, was in before.items():
        now = after[scope]
        if was["readiness"] == "no_data":
            assert now["readiness"] == "no_data"
            continue
        assert rank(now) >= rank(was), scope
        assert now["ready"] <= was["ready"]
        assert STATUS.index(now["status"]) >= STATUS.index(was["status"])
        assert now["targets_met"] <= was["targets_met"]


@settings(max_examples=20, deadline=None)
@given(rows=drill_rows(), lost=st.sampled_from(["rto_seconds", "rpo_seconds", "fresh_days"]))
def test_losing_a_promise_of_a_plan_never_improves_anything(
    rows: list[dict[str, Any]], lost: str
) -> None:
    before = judged(*rows)

    after = judged(*rows, given_=estate(replace(PLAN, **{lost: None})))

    assert rank(after["application", "orders"]) >= rank(before["application", "orders"])
    assert after["tenant", "acme"]["ready"] <= before["tenant", "acme"]["ready"]


def test_a_refresh_writes_what_it_judged_and_tells_the_worst() -> None:
    world = fake_world(estate=FakeEstate(estate()))
    table = pa.Table.from_pylist([drill(outcome="failed")], schema=DRILLS.schema)
    world.lake.replace(DRILLS, table.to_reader(), tenants=[ACME])

    report = refresh_resilience(world, estate().tenants)

    assert report.facts[ACME]["status"] == "critical"
    assert report.preview[ACME][0]["reason"] == "drill d-1 failed"
    with world.engine.session() as session:
        world.lake.view(session.connection, RESILIENCE, tenants=[ACME])
        kept = session.connection.sql("SELECT count(*), count(as_of) FROM resilience").fetchall()
    assert kept == [(6, 6)]


def test_a_drill_that_ran_is_what_makes_its_application_ready_until_its_days_are_over() -> None:
    house = DrillHouse()
    house.database.lag = 3
    tenants = (Tenant(name=ACME, display_name="Acme"),)

    def readiness() -> tuple[str, str]:
        export_drills(house.world, tenants)
        report = refresh_resilience(house.world, tenants)
        facts = report.facts[ACME]
        return str(facts["readiness"]), str(facts["status"])

    seen = [readiness()]
    house.run()
    seen.append(readiness())
    house.stopwatch.sleep(91 * 86_400)
    seen.append(readiness())
    house.database.fails.add(MoveKind.SWITCH)
    house.run()
    seen.append(readiness())

    assert seen == [
        ("never_drilled", "critical"),
        ("ready", "healthy"),
        ("overdue", "critical"),
        ("failed", "critical"),
    ]
