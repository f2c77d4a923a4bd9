"""Judging a fleet's patch SLA says of every asset what the rule says of one, and remembers."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.estate import DriftRule, Estate, TenantId
from qlrf_pipelines.domain.patch_sla import (
    LACKING_VERDICTS,
    PatchFacts,
    Promise,
    Standing,
    concerns,
    judge,
    promises_of,
)
from qlrf_pipelines.domain.patching import (
    PatchPolicy,
    PatchSelector,
    PatchSla,
    PatchSource,
    SourceType,
)
from qlrf_pipelines.domain.vocabulary import (
    COVERED_VERDICTS,
    AssetState,
    DriftVerdict,
    Environment,
    Platform,
    Severity,
)
from qlrf_pipelines.services.patch_sla import judge_patch_sla
from qlrf_pipelines.services.planning_facts import look
from qlrf_pipelines.services.planning_targets import selected
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.drifted import policy
from tests.fakes.estate import FakeEstate
from tests.fakes.fleet import asset, store, tenant
from tests.fakes.lake import FakeLake
from tests.fakes.world import fake_world

Row = dict[str, Any]
TENANTS = ("acme", "globex")
HOURS = {"acme": 24, "globex": 6}
VENDOR = PatchSource(type=SourceType.OS_VENDOR, severity=(Severity.CRITICAL,))
EVERYONE = PatchSelector()


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values, values, values)


ages = st.sampled_from([timedelta(hours=h) for h in (-1, 0, 5, 7, 25, 75, 168, 200)])
moments = ages.map(lambda age: NOON - age)
counts = optional(st.sampled_from([0, 0, 3]))
tags = st.dictionaries(st.sampled_from(["team", "ring"]), st.sampled_from(["a", "b"]))
facts = st.fixed_dictionaries(
    {
        "owner": st.sampled_from(TENANTS),
        "platform": optional(st.sampled_from(["aws", "azure"])),
        "region": optional(st.sampled_from(["us-east-1", "eu-west-1"])),
        "environment": optional(st.sampled_from([str(e) for e in Environment])),
        "state": optional(st.sampled_from([str(s) for s in AssetState])),
        "last_seen": optional(moments),
        "patch_scanned_at": optional(moments),
        "patches_missing": counts,
        "patches_failed": counts,
        "patches_critical_missing": counts,
        "patches_security_missing": counts,
        "tags": optional(tags.map(lambda found: sorted(found.items()))),
        "tombstoned_at": st.sampled_from([None, None, None, NOON]),
    }
)
drifts = optional(
    st.fixed_dictionaries(
        {
            "family": optional(st.sampled_from(["base", "db"])),
            "drift_verdict": st.sampled_from([str(v) for v in DriftVerdict]),
            "drifted_since": optional(moments),
        }
    )
)
selectors = st.builds(
    PatchSelector,
    platforms=st.lists(st.sampled_from([Platform.AWS, Platform.AZURE]), max_size=1).map(tuple),
    environments=st.lists(st.sampled_from(Environment), max_size=3, unique=True).map(tuple),
    regions=st.lists(st.just("us-east-1"), max_size=1).map(tuple),
    families=st.lists(st.just("base"), max_size=1).map(tuple),
    tags=tags,
    exclude_tags=tags,
    exclude_assets=st.lists(st.sampled_from(["i-0", "aws:111122223333:us-east-1:i-1"])).map(tuple),
)
severities = st.lists(st.sampled_from(Severity), min_size=1, unique=True).map(tuple)
sources = st.builds(
    PatchSource,
    type=st.sampled_from(SourceType),
    family=optional(st.just("base")),
    severity=severities,
    classifications=st.sampled_from([("security",), ("security", "bugfix")]),
)
slas = st.dictionaries(
    st.sampled_from(Severity),
    st.sampled_from([timedelta(), timedelta(hours=100), timedelta(days=9), timedelta(days=99_999)]),
).map(lambda given: PatchSla(patch_within={**PatchSla().patch_within, **given}))
policies = st.builds(
    lambda selector, source, sla, name, owner: policy(
        name=name, tenant=owner, selector=selector, source=source, sla=sla
    ),
    st.one_of(st.just(EVERYONE), selectors),
    sources,
    slas,
    st.sampled_from(["one", "two", "three"]),
    optional(st.sampled_from(TENANTS)),
)


@st.composite
def estates(draw: st.DrawFn) -> Estate:
    found = draw(st.lists(policies, max_size=4, unique_by=lambda p: (p.name, p.tenant)))
    tenants = [tenant(name, drift=DriftRule(stale_after_hours=HOURS[name])) for name in TENANTS]
    return Estate(tenants=tuple(tenants), patches=tuple(found))


@st.composite
def fleets(draw: st.DrawFn) -> dict[str, list[Row]]:
    found = draw(st.lists(facts, max_size=8))
    fleet = [asset(f"i-{number}", **given) for number, given in enumerate(found)]
    rows: dict[str, list[Row]] = {"inventory": fleet, "drift": [], "patch_sla": []}
    for row in fleet:
        key = {"tenant": row["tenant"], "asset_key": row["asset_key"]}
        drift = draw(drifts)
        if drift is not None:
            rows["drift"].append(key | drift)
        for name in draw(st.lists(st.sampled_from(["critical_patches", "drift"]), max_size=2)):
            before = {"policy": "old", "measured_by": name, "since": draw(optional(moments))}
            rows["patch_sla"].append(key | before)
    return rows


def judged(
    rows: Mapping[str, list[Row]], estate: Estate, lake: FakeLake | None = None, **how: Any
) -> FakeLake:
    lake = lake or FakeLake()
    clock = FakeClock(how.pop("now", NOON))
    world = fake_world(lake=lake, estate=FakeEstate(estate), clock=clock)
    for name, found in rows.items():
        store(lake, name, found, *TENANTS)
    judge_patch_sla(world, estate.tenants, **how)
    return lake


def facts_of(row: Row, rows: Mapping[str, list[Row]]) -> PatchFacts:
    drift = next((r for r in rows["drift"] if r["asset_key"] == row["asset_key"]), {})
    return PatchFacts(
        key=row["asset_key"],
        id=row["asset_id"],
        platform=row["platform"] and Platform(row["platform"]),
        region=row["region"],
        environment=row["environment"] and Environment(row["environment"]),
        family=drift.get("family"),
        tags=None if row["tags"] is None else dict(row["tags"]),
        state=row["state"] and AssetState(row["state"]),
        last_seen=row["last_seen"],
        scanned_at=row["patch_scanned_at"],
        critical=row["patches_critical_missing"],
        security=row["patches_security_missing"],
        missing=row["patches_missing"],
        failed=row["patches_failed"],
        verdict=drift.get("drift_verdict") and DriftVerdict(drift["drift_verdict"]),
        drifted_since=drift.get("drifted_since"),
    )


def expected(rows: Mapping[str, list[Row]], estate: Estate) -> list[Row]:
    found = []
    for row in rows["inventory"]:
        known = facts_of(row, rows)
        for item in estate.patches_of(TenantId(row["tenant"])):
            if row["tombstoned_at"] is not None or not concerns(item, known):
                continue
            for promise in promises_of(item):
                before = [
                    r["since"]
                    for r in rows["patch_sla"]
                    if (r["asset_key"], r["measured_by"]) == (known.key, promise.measure)
                ]
                standing = judge(
                    known,
                    promise,
                    stale_after_hours=HOURS[row["tenant"]],
                    now=NOON,
                    since=min((since for since in before if since is not None), default=None),
                )
                found.append(as_row(row, item, promise, standing))
    return found


def as_row(row: Row, item: PatchPolicy, promise: Promise, standing: Standing) -> Row:
    return {
        "tenant": row["tenant"],
        "asset_key": row["asset_key"],
        "policy": item.name,
        "severity": str(promise.severity),
        "measured_by": str(promise.measure),
        "active": row["state"] in (None, "running", "pending"),
        "status": str(standing.status),
        "missing": standing.missing,
        "since": standing.since,
        "within_seconds": int(promise.within.total_seconds()),
        "due_at": standing.due_at,
        "reason": standing.reason,
        "as_of": NOON,
    }


def in_order(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    return sorted(rows, key=lambda row: (row["asset_key"], row["policy"], row["severity"]))


@settings(deadline=None, max_examples=120, suppress_health_check=[HealthCheck.too_slow])
@given(rows=fleets(), estate=estates(), most=st.sampled_from([1, 1_000_000]))
def test_a_fleet_is_judged_as_each_of_its_assets_would_be(
    rows: dict[str, list[Row]], estate: Estate, most: int
) -> None:
    lake = judged(rows, estate, most_rows=most)

    assert in_order(lake.rows("patch_sla")) == in_order(expected(rows, estate))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
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
