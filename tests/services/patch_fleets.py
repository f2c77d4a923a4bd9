"""Random fleets under random patch policies, and what the rule for one asset says of theirs."""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from qlrf_pipelines.domain.estate import DriftRule, Estate, TenantId
from qlrf_pipelines.domain.patch_sla import (
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
    AssetState,
    DriftVerdict,
    Environment,
    Platform,
    Severity,
)
from qlrf_pipelines.services.patch_sla import judge_patch_sla
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.drifted import policy
from tests.fakes.estate import FakeEstate
from tests.fakes.fleet import asset, store, tenant
from tests.fakes.lake import FakeLake
from tests.fakes.world import fake_world

Row = dict[str, Any]
TENANTS = ("acme", "globex")
HOURS = {"acme": 24, "globex": 6}
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
