"""Random fleets and estates, and what the rule for one asset says of each of theirs."""

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from qlrf_pipelines.domain.drift import Drift, Observed, judge
from qlrf_pipelines.domain.estate import DriftRule, Estate, Selector
from qlrf_pipelines.domain.vocabulary import (
    AssetState,
    DriftVerdict,
    Environment,
    ImageStatus,
    Platform,
)
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.drift import score_drift
from qlrf_pipelines.services.images import refresh_golden_images
from tests.fakes.clock import NOON
from tests.fakes.estate import FakeEstate
from tests.fakes.fleet import asset, exemption, image, release, store, tenant
from tests.fakes.lake import FakeLake
from tests.fakes.world import fake_world

TENANTS = ("acme", "globex")
VERSIONS = ("1.0.0", "1.1.0-rc.1", "1.1.0", "1.2.0", "1.10.0", "2.0.0", "1.2.0+b7", "latest")
REFS = ("ami-1", "ami-2", "ami-3", "ami-4")
REGIONS = ("us-east-1", "eu-west-1")
CLUSTERS = ("one", "two")
# The same words under another digest, without one, without a tag, and what claims nothing.
PINS = ("", f"@sha256:{'a' * 64}", f"@sha256:{'b' * 64}")
CONTAINERS = (
    *(f"web:1.{n}.0{pin}" for n in range(3) for pin in PINS),
    f"web{PINS[1]}",
    f"web{PINS[2]}",
    "docker.io/library/web:v1.1.0",
    "web",
    "registry:5000/shop/web:1.1.0",
    "no reference",
)


def optional(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(st.none(), values, values, values)


moments = st.sampled_from(
    [timedelta(days=d, hours=h) for d in (-1, 0, 3, 7, 14, 30, 200) for h in (0, 1)]
).map(lambda age: NOON - age)
releases = st.builds(
    release,
    st.sampled_from(VERSIONS[:-1]),
    st.sampled_from(REFS),
    status=st.sampled_from([*ImageStatus, ImageStatus.PRODUCTION, ImageStatus.PRODUCTION]),
    promoted_at=optional(moments),
    environments=st.lists(st.sampled_from(Environment), unique=True).map(tuple),
    region=st.sampled_from(REGIONS),
)
containers = st.builds(
    release,
    st.sampled_from(VERSIONS[:-1]),
    st.sampled_from(CONTAINERS),
    st.sampled_from(CONTAINERS),
    platform=st.just(Platform.KUBERNETES),
    region=st.sampled_from(CLUSTERS),
)
images = st.builds(
    lambda versions, family, owner: image(*versions, family=family, owner=owner),
    st.lists(st.one_of(releases, containers), max_size=6, unique_by=lambda item: item.version),
    st.sampled_from(["base", "db"]),
    optional(st.sampled_from(TENANTS)),
)
tags = st.dictionaries(st.sampled_from(["exempt", "team"]), st.sampled_from(["yes", "no"]))
selectors = st.builds(
    Selector,
    tags=tags,
    families=st.lists(st.sampled_from(["base", "db"]), max_size=1).map(tuple),
    environments=st.lists(st.sampled_from(Environment), unique=True).map(tuple),
    assets=st.lists(st.sampled_from(["i-0", "i-1", asset("i-2")["asset_key"]]), max_size=1).map(
        tuple
    ),
)
exemptions = st.builds(
    exemption,
    st.sampled_from(DriftVerdict),
    st.sampled_from(DriftVerdict),
    name=st.sampled_from(["a", "b", "c"]),
    owner=st.sampled_from(TENANTS),
    expires_at=st.sampled_from([NOON - timedelta(1), NOON, NOON + timedelta(1)]),
    selector=selectors,
)
rules = st.builds(
    DriftRule,
    grace_days=st.dictionaries(st.sampled_from(Environment), st.sampled_from([0, 3.5, 7])),
    default_grace_days=st.sampled_from([0, 14]),
    stale_after_hours=st.sampled_from([1, 24]),
)
facts = st.fixed_dictionaries(
    {
        "owner": st.sampled_from(TENANTS),
        "platform": optional(st.sampled_from(["aws", "kubernetes"])),
        "account": optional(st.sampled_from(CLUSTERS)),
        "region": optional(st.sampled_from(REGIONS)),
        "environment": optional(st.sampled_from([str(e) for e in Environment])),
        "site": optional(st.sampled_from(["oslo", "bergen"])),
        "image_ref": optional(st.sampled_from([*REFS, "ami-{9}", *CONTAINERS])),
        "image_family": optional(st.sampled_from(["base", "db", "other"])),
        "image_version": optional(st.sampled_from(VERSIONS)),
        "image_readable": st.sampled_from([None, False, True, True]),
        "state": optional(st.sampled_from([str(s) for s in AssetState])),
        "last_seen": optional(moments),
        "tags": optional(tags.map(lambda found: sorted(found.items()))),
        "tombstoned_at": st.sampled_from([None, None, None, NOON]),
    }
)


@st.composite
def fleets(draw: st.DrawFn) -> list[dict[str, Any]]:
    found = draw(st.lists(facts, max_size=12))
    return [asset(f"i-{number}", **given_facts) for number, given_facts in enumerate(found)]


@st.composite
def estates(draw: st.DrawFn) -> Estate:
    families = draw(st.lists(images, max_size=4, unique_by=lambda item: (item.family, item.tenant)))
    return Estate(
        tenants=tuple(tenant(name, drift=draw(rules)) for name in TENANTS),
        images=tuple(families),
        exemptions=tuple(
            draw(st.lists(exemptions, max_size=3, unique_by=lambda x: (x.name, x.tenant)))
        ),
    )


def scored(fleet: list[dict[str, Any]], estate: Estate, **how: Any) -> tuple[World, FakeLake]:
    lake = FakeLake()
    world = fake_world(lake=lake, estate=FakeEstate(estate))
    store(lake, "inventory", fleet, *(t.name for t in estate.tenants))
    refresh_golden_images(world, estate.tenants)
    score_drift(world, estate.tenants, **how)
    return world, lake


def observed(row: dict[str, Any]) -> Observed:
    return Observed(
        asset_id=row["asset_id"],
        asset_key=row["asset_key"],
        platform=row["platform"] and Platform(row["platform"]),
        account=row["account"],
        region=row["region"],
        environment=row["environment"] and Environment(row["environment"]),
        image_ref=row["image_ref"],
        image_family=row.get("image_family"),
        image_version=row.get("image_version"),
        image_readable=row["image_readable"],
        state=row["state"] and AssetState(row["state"]),
        last_seen=row["last_seen"],
        tags=None if row["tags"] is None else dict(row["tags"]),
    )


def expected(row: dict[str, Any], estate: Estate) -> dict[str, Any]:
    owner = next(t for t in estate.tenants if t.name == row["tenant"])
    drift = judge(
        observed(row),
        images=estate.images_of(owner.name),
        rule=owner.drift,
        exemptions=estate.exemptions_of(owner.name),
        now=NOON,
    )
    return as_row(row, drift)


def as_row(row: dict[str, Any], drift: Drift) -> dict[str, Any]:
    return {
        "tenant": row["tenant"],
        "asset_key": row["asset_key"],
        "active": drift.active,
        "family": drift.family,
        "version": drift.version,
        "resolution": str(drift.resolution),
        "drift_verdict": str(drift.verdict),
        "judged_verdict": str(drift.judged),
        "exemption": drift.exemption,
        "drift_score": drift.score,
        "versions_behind": drift.versions_behind,
        "days_behind": drift.days_behind,
        "approved_version": drift.approved_version,
        "reason": drift.reason,
        "drifted_since": drift.drifted_since,
        "as_of": NOON,
    }
