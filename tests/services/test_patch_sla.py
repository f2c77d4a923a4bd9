"""Judging a fleet's patch SLA says of every asset what the rule says of one, and remembers."""

from datetime import datetime, timedelta
from itertools import cycle, product
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.estate import Estate, TenantId
from qlrf_pipelines.domain.patch_sla import LACKING_VERDICTS, SCAN_LASTS, Measure, concerns
from qlrf_pipelines.domain.patching import PatchPolicy, PatchSla, PatchSource, SourceType
from qlrf_pipelines.domain.vocabulary import COVERED_VERDICTS, DriftVerdict, Severity
from qlrf_pipelines.services.patch_sla import judge_patch_sla
from qlrf_pipelines.services.planning_facts import look
from qlrf_pipelines.services.planning_targets import selected
from tests.examples import examples
from tests.fakes.clock import NOON
from tests.fakes.drifted import policy
from tests.fakes.estate import FakeEstate
from tests.fakes.fleet import asset, store, tenant
from tests.fakes.lake import FakeLake
from tests.fakes.world import fake_world
from tests.services.patch_fleets import (
    EVERYONE,
    TENANTS,
    Row,
    estates,
    expected,
    facts_of,
    fleets,
    in_order,
    judged,
)

VENDOR = PatchSource(type=SourceType.OS_VENDOR, severity=(Severity.CRITICAL,))


@settings(
    deadline=None,
    max_examples=examples(40, thorough=120),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(rows=fleets(), estate=estates(), most=st.sampled_from([1, 1_000_000]))
def test_a_fleet_is_judged_as_each_of_its_assets_would_be(
    rows: dict[str, list[Row]], estate: Estate, most: int
) -> None:
    lake = judged(rows, estate, most_rows=most)

    assert in_order(lake.rows("patch_sla")) == in_order(expected(rows, estate))


@settings(
    deadline=None,
    max_examples=examples(25, thorough=60),
    suppress_health_check=[HealthCheck.too_slow],
)
@given(rows=fleets(), estate=estates())
def test_where_everything_is_known_a_promise_is_about_what_the_planner_selects(
    rows: dict[str, list[Row]], estate: Estate
) -> None:
    world = fake_world(lake=(lake := FakeLake()), estate=FakeEstate(estate))
    for row in rows["inventory"]:
        names = ("platform", "region", "environment", "tags")
        row |= {name: asset()[name] for name in names if row[name] is None}
    store(lake, "inventory", rows["inventory"], *TENANTS)
    store(lake, "drift", [row | {"active": True} for row in rows["drift"]], *TENANTS)
    known = {row["asset_key"]: facts_of(row, rows) for row in rows["inventory"]}
    for name in TENANTS:
        for candidate in look(world, TenantId(name), {}).candidates:
            for item in estate.patches_of(TenantId(name)):
                if item.source.family is None:
                    mine = concerns(item, known[candidate.key])
                    assert mine == selected(candidate, item.selector)


INSTANT = timedelta(microseconds=1)
QUARTER_LEFT = NOON - timedelta(hours=75)  # of the hundred that critical patches may take


def edge_assets() -> list[Row]:
    """Every combination of counts, seen and scanned on both sides of every limit."""
    counts = (None, 0, 2)
    seen = (None, NOON - timedelta(hours=24) - INSTANT, NOON - timedelta(hours=24), NOON)
    scanned = (None, NOON + INSTANT, NOON, NOON - SCAN_LASTS, NOON - SCAN_LASTS - INSTANT)
    found = product(counts, counts, counts, seen, scanned)
    return [
        asset(
            f"i-{number}",
            patches_critical_missing=critical,
            patches_security_missing=critical,
            patches_missing=missing,
            patches_failed=failed,
            last_seen=last_seen,
            patch_scanned_at=scanned_at,
            tombstoned_at=None,
        )
        for number, (critical, missing, failed, last_seen, scanned_at) in enumerate(found)
    ]


def test_both_sides_of_every_limit_are_judged_as_the_rule_judges_them() -> None:
    assets = edge_assets()
    late = NOON - timedelta(hours=100)
    begun = (None, QUARTER_LEFT, QUARTER_LEFT - INSTANT, late, late + INSTANT, NOON)
    # Of lengths without a common part, so that everything meets everything.
    befores = cycle([*product(begun, Measure)][:23])
    drifts = cycle([*product([None, *DriftVerdict], begun), (DriftVerdict.BEHIND, late)])
    rows: dict[str, list[Row]] = {"inventory": assets, "drift": [], "patch_sla": []}
    for row, (verdict, since), (before, measure) in zip(assets, drifts, befores, strict=False):
        key = {"tenant": "acme", "asset_key": row["asset_key"]}
        rows["drift"].append(key | {"drift_verdict": verdict, "drifted_since": since})
        rows["patch_sla"].append(key | {"policy": "x", "measured_by": measure, "since": before})
    hundred = PatchSla(patch_within=dict.fromkeys(Severity, timedelta(hours=100)))
    every = PatchSource(type=SourceType.OS_VENDOR, severity=tuple(Severity))
    estate = Estate(
        tenants=tuple(tenant(name) for name in TENANTS),
        patches=(
            policy(name="vendor", selector=EVERYONE, source=every, sla=hundred),
            policy(name="image", selector=EVERYONE, sla=hundred),
        ),
    )

    found = in_order(judged(rows, estate).rows("patch_sla"))

    assert found == in_order(expected(rows, estate))
    assert len({(row["measured_by"], row["status"]) for row in found}) == 20


def fleet_of(*assets: Row, **drift: Any) -> dict[str, list[Row]]:
    keys = [{"tenant": a["tenant"], "asset_key": a["asset_key"]} for a in assets]
    return {"inventory": list(assets), "drift": [key | drift for key in keys] if drift else []}


def machine(name: str = "i-1", owner: str = "acme", **facts: Any) -> Row:
    scanned = {"patch_scanned_at": NOON, "patches_critical_missing": 0, "last_seen": NOON}
    return asset(name, owner, **scanned | facts)


def estate_of(*found: PatchPolicy) -> Estate:
    return Estate(tenants=tuple(tenant(name) for name in TENANTS), patches=found)


CRITICAL = policy(selector=EVERYONE, source=VENDOR)


def days(lake: FakeLake, *seen: Row, estate: Estate | None = None) -> list[dict[str, Any]]:
    """A refresh a day; each sees the machine with these facts, at that moment."""
    found = []
    for day, lacking in enumerate(seen):
        now = NOON + timedelta(days=day)
        row = machine(**{"patch_scanned_at": now, "last_seen": now} | lacking)
        judged(fleet_of(row), estate or estate_of(CRITICAL), lake, now=now)
        found += lake.rows("patch_sla", "acme")
    return found


LACKS: Row = {"patches_critical_missing": 2}
UNSEEN: Row = {"last_seen": NOON - timedelta(days=30), **LACKS}
NOBODY_KNOWS: Row = {"patches_critical_missing": None}


def test_the_beginning_is_kept_from_refresh_to_refresh_until_the_breach() -> None:
    found = days(FakeLake(), *[LACKS] * 8)

    assert {row["since"] for row in found} == {NOON}
    assert [row["status"] for row in found] == ["due"] * 6 + ["breaching", "breached"]


def test_an_asset_nobody_sees_is_unknown_and_keeps_its_clock() -> None:
    found = days(FakeLake(), LACKS, UNSEEN, NOBODY_KNOWS, LACKS)

    assert [row["status"] for row in found] == ["due", "unknown", "unknown", "due"]
    assert {row["since"] for row in found} == {NOON}


def test_a_patched_asset_that_lacks_a_patch_again_starts_anew() -> None:
    found = days(FakeLake(), LACKS, {}, LACKS)

    assert [row["since"] for row in found] == [NOON, None, NOON + timedelta(days=2)]


def test_a_policy_that_is_renamed_does_not_restart_the_clock() -> None:
    lake = FakeLake()
    days(lake, LACKS)
    renamed = policy(name="other", selector=EVERYONE, source=VENDOR)

    [found] = days(lake, LACKS, estate=estate_of(renamed))

    assert (found["policy"], found["since"]) == ("other", NOON)


def test_two_policies_about_one_asset_make_two_promises_with_their_own_dates() -> None:
    within = PatchSla(patch_within={**PatchSla().patch_within, Severity.CRITICAL: timedelta(1)})
    second = policy(name="stricter", selector=EVERYONE, source=VENDOR, sla=within)

    lake = judged(fleet_of(machine(**LACKS)), estate_of(CRITICAL, second))

    assert {row["policy"]: row["due_at"] for row in lake.rows("patch_sla")} == {
        "maintenance": NOON + timedelta(days=7),
        "stricter": NOON + timedelta(days=1),
    }


def test_tenants_have_their_own_clocks_and_promises() -> None:
    own = policy(name="own", tenant="globex", selector=EVERYONE, source=VENDOR)
    rows = fleet_of(machine(), machine(owner="globex", **LACKS))
    before = {"tenant": "acme", "asset_key": rows["inventory"][0]["asset_key"], "policy": "own"}
    before |= {"measured_by": "critical_patches", "since": NOON - timedelta(days=99)}

    lake = judged(rows | {"patch_sla": [before]}, estate_of(own))

    assert lake.rows("patch_sla", "acme") == []
    [row] = lake.rows("patch_sla", "globex")
    assert (row["asset_key"], row["since"]) == (before["asset_key"], NOON)


def test_a_stopped_asset_keeps_its_row_and_does_not_count() -> None:
    lake = FakeLake()
    world = fake_world(lake=lake, estate=FakeEstate(estate_of(CRITICAL)))
    store(lake, "inventory", [machine(state="stopped", **LACKS), machine("i-2", **LACKS)])

    report = judge_patch_sla(world, [tenant(name) for name in TENANTS])

    assert [row["active"] for row in in_order(lake.rows("patch_sla"))] == [False, True]
    assert report.facts[TenantId("acme")] == {
        "policies": 1,
        "assets": 1,
        "promises": 1,
        "met": 0,
        "due": 1,
        "breaching": 0,
        "breached": 0,
        "unknown": 0,
        "soonest": "2026-11-08T12:00:00Z",
    }
    assert report.facts[TenantId("globex")]["promises"] == 0
    [shown] = report.preview[TenantId("acme")]
    assert (shown["asset"], shown["status"], shown["missing"]) == (
        "aws:111122223333:us-east-1:i-2",
        "due",
        2,
    )


def test_a_golden_image_policy_is_due_by_the_drift() -> None:
    since: datetime = NOON - timedelta(days=6)
    rows = fleet_of(machine(), drift_verdict="behind", drifted_since=since)

    [found] = judged(rows, estate_of(policy(selector=EVERYONE))).rows("patch_sla")

    assert (found["severity"], found["measured_by"]) == ("critical", "drift")
    assert (found["status"], found["since"]) == ("breaching", since)


def test_every_verdict_is_either_covered_lacking_or_unknown() -> None:
    rest = set(DriftVerdict) - set(COVERED_VERDICTS) - set(LACKING_VERDICTS)
    for verdict in DriftVerdict:
        rows = fleet_of(machine(), drift_verdict=str(verdict))
        [found] = judged(rows, estate_of(policy(selector=EVERYONE))).rows("patch_sla")
        known = "met" if verdict in COVERED_VERDICTS else "due"
        assert found["status"] == ("unknown" if verdict in rest else known)
