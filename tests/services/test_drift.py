"""Scoring a fleet says of every asset what the rule says of one."""

from dataclasses import replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.datasets import DRIFT
from qlrf_pipelines.domain.drift import status_of
from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.estate import Estate, GoldenImage, Selector
from qlrf_pipelines.domain.vocabulary import (
    COVERED_VERDICTS,
    DriftVerdict,
)
from qlrf_pipelines.services.drift import score_drift
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.fleet import asset, exemption, image, release, store, tenant
from tests.fakes.lake import FakeLake
from tests.services.drift_fleets import (
    TENANTS,
    estates,
    expected,
    fleets,
    scored,
)


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(fleet=fleets(), estate=estates())
def test_a_fleet_is_scored_as_each_of_its_assets_would_be(
    fleet: list[dict[str, Any]], estate: Estate
) -> None:
    _, lake = scored(fleet, estate)

    live = [expected(row, estate) for row in fleet if row["tombstoned_at"] is None]
    assert sorted(lake.rows("drift"), key=lambda r: str(r["asset_key"])) == sorted(
        live, key=lambda r: str(r["asset_key"])
    )


LOSSES: dict[str, dict[str, Any]] = {
    "platform": {"platform": None},
    "account": {"account": None},
    "region": {"region": None},
    "site": {"site": None},
    "environment": {"environment": None},
    "image reference": {"image_ref": None},
    "image version": {"image_version": None},
    "readability": {"image_readable": None},
    # An image without a family tag is a fact; its tags are lost when it was not read.
    "image": {"image_family": None, "image_version": None, "image_readable": None},
    "state": {"state": None},
    "last sight": {"last_seen": None},
    "tags": {"tags": None},
}


def badness(row: dict[str, Any]) -> tuple[int, float]:
    return list(DriftVerdict).index(row["drift_verdict"]), row["drift_score"]


def coverage(rows: list[dict[str, Any]]) -> float:
    active = [row for row in rows if row["active"]]
    covered = [row for row in active if row["drift_verdict"] in COVERED_VERDICTS]
    return len(covered) / len(active) if active else 0


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(fleet=fleets(), estate=estates(), lost=st.sampled_from(sorted(LOSSES)), data=st.data())
def test_losing_an_observation_never_improves_verdict_score_or_coverage(
    fleet: list[dict[str, Any]], estate: Estate, lost: str, data: st.DataObject
) -> None:
    assume(fleet)
    victim = data.draw(st.integers(0, len(fleet) - 1))
    poorer = [row | LOSSES[lost] if n == victim else row for n, row in enumerate(fleet)]

    before = [expected(row, estate) for row in fleet]
    after = [expected(row, estate) for row in poorer]

    assert badness(after[victim]) >= badness(before[victim])
    assert coverage(after) <= coverage(before)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(fleet=fleets(), estate=estates())
def test_losing_every_promotion_date_never_improves_anything_judged(
    fleet: list[dict[str, Any]], estate: Estate
) -> None:
    plain = replace(estate, exemptions=())
    undated = replace(plain, images=tuple(without_dates(family) for family in plain.images))

    before = [expected(row, plain) for row in fleet]
    after = [expected(row, undated) for row in fleet]

    for old, new in zip(before, after, strict=True):
        assert badness(new) >= badness(old)


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(fleet=fleets(), estate=estates(), data=st.data())
def test_losing_an_exemption_never_improves_anything(
    fleet: list[dict[str, Any]], estate: Estate, data: st.DataObject
) -> None:
    assume(estate.exemptions)
    gone = data.draw(st.sampled_from(estate.exemptions))
    fewer = replace(estate, exemptions=tuple(x for x in estate.exemptions if x is not gone))

    for row in fleet:
        assert badness(expected(row, fewer)) >= badness(expected(row, estate))


@settings(deadline=None, max_examples=80, suppress_health_check=[HealthCheck.too_slow])
@given(fleet=fleets(), estate=estates(), whole=st.booleans())
def test_losing_a_coordinate_or_a_family_never_makes_an_uncovered_asset_covered(
    fleet: list[dict[str, Any]], estate: Estate, whole: bool
) -> None:
    # Without tags to fall back on: an image whose own tags say otherwise is a contract to correct.
    plain = replace(estate, exemptions=())
    poorer = replace(
        plain, images=() if whole else tuple(without_places(family) for family in plain.images)
    )

    for row in ({**row, "image_family": None} for row in fleet):
        before, after = expected(row, plain), expected(row, poorer)
        assert after["drift_verdict"] not in COVERED_VERDICTS
        # What was unknown for want of an approved version is now known to be unmanaged.
        assert badness(after) >= badness(before) or before["drift_verdict"] == "unknown"


def without_dates(family: GoldenImage) -> GoldenImage:
    return replace(family, versions=tuple(replace(v, promoted_at=None) for v in family.versions))


def without_places(family: GoldenImage) -> GoldenImage:
    return replace(family, versions=tuple(replace(v, coordinates=()) for v in family.versions))


OLD, GOOD = "ami-1", "ami-2"
ESTATE = Estate(
    tenants=(tenant("acme"), tenant("globex")),
    images=(image(release("2.0.0", GOOD), release("1.0.0", OLD)),),
)


def daily(lake: FakeLake, scope_type: str, owner: str = "acme") -> dict[str, dict[str, Any]]:
    rows = lake.rows("drift_daily", owner)
    return {str(r["scope_value"]): r for r in rows if r["scope_type"] == scope_type}


def test_only_active_machines_count_above_and_below_the_line() -> None:
    fleet = [asset("i-1"), asset("i-2", image_ref=OLD), asset("i-3", state="pending")]
    fleet += [asset("i-4", state="stopped"), asset("i-5", state="terminated", image_ref=OLD)]

    _, lake = scored(fleet, ESTATE)

    whole = daily(lake, "tenant")["acme"]
    assert (whole["total"], whole["current"], whole["drifted"]) == (3, 2, 1)
    assert whole["coverage"] == pytest.approx(2 / 3)
    assert whole["status"] == "critical"
    assert len(lake.rows("drift")) == 5


def test_a_tenant_without_assets_has_no_data_never_full_coverage() -> None:
    _, lake = scored([asset("i-1")], ESTATE)

    [empty] = lake.rows("drift_daily", "globex")
    assert (empty["scope_type"], empty["total"], empty["coverage"], empty["managed"]) == (
        "tenant",
        0,
        None,
        None,
    )
    assert (empty["status"], empty["mean_score"]) == ("no_data", None)


def test_unmanaged_stale_and_unknown_stay_in_the_denominator() -> None:
    fleet = [
        asset("i-1"),
        asset("i-2", image_ref="ami-else"),
        asset("i-3", last_seen=None),
        asset("i-4", image_ref=None),
    ]

    _, lake = scored(fleet, ESTATE)

    whole = daily(lake, "tenant")["acme"]
    assert (whole["total"], whole["coverage"], whole["managed"]) == (4, 0.25, 0.5)
    assert whole["mean_score"] == pytest.approx((0 + 90 + 95 + 100) / 4)


def test_each_scope_is_counted_by_its_own_column() -> None:
    fleet = [
        asset("i-1", site="oslo"),
        asset("i-2", site="bergen", environment="dr", image_ref=OLD),
        asset("i-3", site=None, image_ref="ami-else"),
    ]

    _, lake = scored(fleet, ESTATE)

    assert {k: r["current"] for k, r in daily(lake, "site").items()} == {
        "oslo": 1,
        "bergen": 0,
        "(none)": 0,
    }
    assert {k: r["status"] for k, r in daily(lake, "environment").items()} == {
        "production": "critical",
        "dr": "critical",
    }
    assert {k: r["total"] for k, r in daily(lake, "family").items()} == {"base": 2, "(none)": 1}
    assert set(daily(lake, "region")) == {"us-east-1"}
    assert set(daily(lake, "platform")) == {"aws"}


@settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(fleet=fleets(), estate=estates())
def test_every_daily_row_says_what_its_assets_say(
    fleet: list[dict[str, Any]], estate: Estate
) -> None:
    _, lake = scored(fleet, estate)

    place = {row["asset_key"]: row for row in fleet}
    for found in lake.rows("drift_daily"):
        kind = str(found["scope_type"])
        mine = [
            row
            for row in lake.rows("drift", str(found["tenant"]))
            if row["active"]
            and (row if kind == "family" else place[row["asset_key"]]).get(kind)
            == (None if found["scope_value"] == "(none)" else found["scope_value"])
        ]
        assert found["total"] == len(mine)
        assert found["coverage"] == (coverage(mine) if mine else None)
        assert found["status"] == status_of(found["coverage"])  # type: ignore[arg-type]


def test_the_last_refresh_of_a_day_replaces_its_scores_and_the_next_day_adds_to_them() -> None:
    world, lake = scored([asset("i-1")], ESTATE)
    clock = world.clock
    assert isinstance(clock, FakeClock)

    clock.advance(hours=2)
    score_drift(world, ESTATE.tenants)
    clock.advance(days=1)
    score_drift(world, ESTATE.tenants)

    whole = [row for row in lake.rows("drift_daily", "acme") if row["scope_type"] == "tenant"]
    assert [(row["day"], row["status"]) for row in whole] == [
        (date(2026, 11, 1), "healthy"),
        (date(2026, 11, 2), "critical"),
    ]
    assert [row["as_of"] for row in whole] == [
        NOON + timedelta(hours=2),
        NOON + timedelta(hours=26),
    ]


def test_drift_age_runs_from_the_first_sighting_not_from_the_last_sync() -> None:
    world, lake = scored([asset("i-1"), asset("i-2", image_ref=OLD)], ESTATE)
    clock = world.clock
    assert isinstance(clock, FakeClock)

    clock.advance(hours=1)
    score_drift(world, ESTATE.tenants)
    later = {row["asset_key"][-3:]: row["drifted_since"] for row in lake.rows("drift")}  # type: ignore[index]
    store(lake, "inventory", [asset("i-2", last_seen=clock.now())])
    score_drift(world, ESTATE.tenants)

    assert later == {"i-1": None, "i-2": NOON}
    assert [row["drifted_since"] for row in lake.rows("drift")] == [None]


def test_two_tenants_sharing_an_account_keep_their_own_verdicts_and_ages() -> None:
    fleet = [asset("i-1", "acme", image_ref=OLD), asset("i-1", "globex")]
    accepted = exemption(DriftVerdict.BEHIND, owner="globex")

    _, lake = scored(fleet, replace(ESTATE, exemptions=(accepted,)))

    assert [row["drift_verdict"] for row in lake.rows("drift", "acme")] == ["behind"]
    assert [row["drift_verdict"] for row in lake.rows("drift", "globex")] == ["current"]


def ordered(lake: FakeLake, name: str, *keys: str) -> list[dict[str, object]]:
    return sorted(lake.rows(name), key=lambda row: [str(row[k]) for k in ("tenant", *keys)])


def test_batches_of_any_size_come_to_the_same() -> None:
    fleet = [asset(f"i-{n}", owner, image_ref=OLD) for n in range(3) for owner in TENANTS]

    _, whole = scored(fleet, ESTATE)
    _, split = scored(fleet, ESTATE, most_rows=1)

    for name, key in (("drift", "asset_key"), ("drift_daily", "scope_type")):
        assert ordered(split, name, key) == ordered(whole, name, key)


def test_the_report_has_the_numbers_operators_look_for() -> None:
    accepted = exemption(DriftVerdict.BEHIND, selector=Selector(assets=("i-2",)))
    over = exemption(DriftVerdict.BEHIND, name="over", expires_at=NOON)
    fleet = [
        asset("i-1"),
        asset("i-2", image_ref=OLD),
        asset("i-3", image_ref=OLD),
        asset("i-4", state="stopped"),
    ]
    world, _ = scored(fleet, replace(ESTATE, exemptions=(accepted, over)))

    report = score_drift(world, ESTATE.tenants)

    facts = report.facts[ESTATE.tenants[0].name]
    assert facts | {"coverage": 2 / 3} == facts
    assert (facts["assets"], facts["active"], facts["managed"]) == (4, 3, 1.0)
    assert (facts["current"], facts["exempt"], facts["behind"]) == (1, 1, 1)
    assert (facts["exemptions_applied"], facts["exemptions_expired"]) == (1, 1)
    [worst] = report.preview[ESTATE.tenants[0].name]
    assert (worst["verdict"], worst["score"], worst["alike"]) == ("behind", 45.0, 1)
    assert report.facts[ESTATE.tenants[1].name]["status"] == "no_data"
    assert report.version is not None


def test_a_full_disk_leaves_the_verdicts_of_before() -> None:
    world, lake = scored([asset("i-1")], ESTATE)
    lake.failing[DRIFT.name] = Unavailable("The disk is full; free some space.")
    before = lake.rows("drift")

    with pytest.raises(Unavailable):
        score_drift(world, ESTATE.tenants)

    assert lake.rows("drift") == before
