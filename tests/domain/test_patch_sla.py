"""What a patch SLA promises on one asset."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.patch_sla import (
    KEPT,
    Measure,
    PatchFacts,
    Promise,
    SlaStatus,
    Standing,
    concerns,
    judge,
    promises_of,
    status_at,
)
from qlrf_pipelines.domain.patching import PatchSelector, PatchSla, PatchSource, SourceType
from qlrf_pipelines.domain.vocabulary import (
    AssetState,
    DriftVerdict,
    Environment,
    Platform,
    Severity,
)
from tests.fakes.clock import NOON
from tests.fakes.drifted import policy

WEEK = timedelta(days=7)
MACHINE = PatchFacts(
    key="aws:1:us-east-1:i-1",
    id="i-1",
    platform=Platform.AWS,
    region="us-east-1",
    environment=Environment.PRODUCTION,
    family="base",
    tags={"team": "web"},
    state=AssetState.RUNNING,
    last_seen=NOON,
    scanned_at=NOON,
    critical=0,
    security=0,
    missing=0,
    failed=0,
    verdict=DriftVerdict.CURRENT,
    drifted_since=None,
)
BEHIND: dict[str, Any] = {"verdict": DriftVerdict.BEHIND, "drifted_since": NOON}
LACKING: dict[str, Any] = {"critical": 1, "security": 1, "missing": 1, **BEHIND}
measures = st.sampled_from(Measure)
spans = st.integers(0, 120 * 86_400).map(lambda seconds: timedelta(seconds=seconds))


def promise(measure: Measure = Measure.CRITICAL_PATCHES, within: timedelta = WEEK) -> Promise:
    return Promise(severity=Severity.CRITICAL, measure=measure, within=within)


def stands(
    asset: PatchFacts, given_promise: Promise, at: timedelta = timedelta(), **how: Any
) -> Standing:
    """Seen and scanned at that moment, unless the facts say otherwise."""
    now = NOON + at
    seen = replace(
        asset,
        last_seen=asset.last_seen and asset.last_seen + at,
        scanned_at=asset.scanned_at and asset.scanned_at + at,
    )
    return judge(seen, given_promise, stale_after_hours=24, now=now, **how)


@pytest.mark.parametrize(
    ("days", "status"),
    [
        (0, SlaStatus.DUE),
        (5.25, SlaStatus.DUE),  # exactly a quarter of the week is left
        (5.26, SlaStatus.BREACHING),
        (6.99, SlaStatus.BREACHING),
        (7, SlaStatus.BREACHED),
        (300, SlaStatus.BREACHED),
    ],
)
def test_what_is_missing_is_due_then_breaching_then_breached(
    days: float, status: SlaStatus
) -> None:
    found = stands(replace(MACHINE, critical=2), promise(), timedelta(days=days), since=NOON)

    assert (found.status, found.missing, found.due_at) == (status, 2, NOON + WEEK)


@given(measure=measures, within=spans, early=spans, later=spans)
def test_time_alone_never_improves_a_status(
    measure: Measure, within: timedelta, early: timedelta, later: timedelta
) -> None:
    asset, asked = replace(MACHINE, **LACKING), promise(measure, within)
    ranks = list(SlaStatus)

    before = stands(asset, asked, early, since=NOON)
    after = stands(asset, asked, early + later, since=before.since)

    assert after.since == before.since
    assert ranks.index(after.status) >= ranks.index(before.status)


def test_nothing_missing_is_met_and_has_no_date() -> None:
    for measure in Measure:
        found = stands(MACHINE, promise(measure), since=NOON - WEEK)
        assert (found.status, found.since, found.due_at) == (SlaStatus.MET, None, None)


UNKNOWN: list[dict[str, Any]] = [
    {"state": None},
    {"last_seen": None},
    {"last_seen": NOON - timedelta(hours=25)},
]
UNCOUNTED: list[dict[str, Any]] = [
    {"scanned_at": None},
    {"scanned_at": NOON - timedelta(days=8)},
    {"scanned_at": NOON + timedelta(minutes=1)},
    {"critical": None, "security": None, "missing": None},
    {"critical": None, "security": None, "failed": None},
]
UNJUDGED = [DriftVerdict.AHEAD, DriftVerdict.UNMANAGED, DriftVerdict.STALE, DriftVerdict.UNKNOWN]


@pytest.mark.parametrize("lost", [*UNKNOWN, *UNCOUNTED])
@pytest.mark.parametrize("measure", [m for m in Measure if m is not Measure.DRIFT])
def test_a_patch_state_nobody_knows_is_unknown_and_its_clock_runs(
    measure: Measure, lost: dict[str, Any]
) -> None:
    found = stands(replace(MACHINE, **lost), promise(measure), since=NOON - WEEK)

    assert (found.status, found.missing) == (SlaStatus.UNKNOWN, None)
    assert (found.since, found.due_at) == (NOON - WEEK, NOON)


@pytest.mark.parametrize("lost", [*UNKNOWN, *({"verdict": v} for v in [*UNJUDGED, None])])
def test_an_image_nobody_can_judge_is_unknown_and_its_clock_runs(lost: dict[str, Any]) -> None:
    found = stands(replace(MACHINE, **lost), promise(Measure.DRIFT))

    assert (found.status, found.since) == (SlaStatus.UNKNOWN, NOON)


facts = st.fixed_dictionaries(
    {
        "state": st.sampled_from([None, AssetState.RUNNING]),
        "last_seen": st.sampled_from([None, NOON, NOON - timedelta(hours=30)]),
        "scanned_at": st.sampled_from([None, NOON, NOON - timedelta(days=9)]),
        **{name: st.sampled_from([None, 0, 2]) for name in ("critical", "security")},
        **{name: st.sampled_from([None, 0, 2]) for name in ("missing", "failed")},
        "verdict": st.sampled_from([None, *DriftVerdict]),
    }
)
sinces = st.sampled_from([None, NOON - timedelta(days=6), NOON - timedelta(days=30)])


@given(measure=measures, given_facts=facts, since=sinces, data=st.data())
def test_losing_a_fact_never_improves_a_status_nor_puts_off_its_date(
    measure: Measure, given_facts: dict[str, Any], since: Any, data: st.DataObject
) -> None:
    asset = replace(MACHINE, **given_facts)
    lost = data.draw(st.sampled_from(sorted(given_facts)))
    ranks = list(SlaStatus)

    before = stands(asset, promise(measure), since=since)
    after = stands(replace(asset, **{lost: None}), promise(measure), since=since)

    assert ranks.index(after.status) >= ranks.index(before.status)
    if before.since is not None:
        assert after.since is not None
        assert after.since <= before.since


@given(
    measure=measures,
    seen=st.lists(st.sampled_from(["lacking", "unseen", "uncounted"]), min_size=1, max_size=8),
)
def test_a_gap_in_observation_does_not_restart_the_clock(measure: Measure, seen: list[str]) -> None:
    gaps = {"lacking": {}, "unseen": {"last_seen": None}, "uncounted": {"scanned_at": None}}
    since = None
    for day, what in enumerate(seen):
        asset = replace(MACHINE, **LACKING | gaps[what])
        since = stands(asset, promise(measure), timedelta(days=day), since=since).since

    assert since == NOON


@pytest.mark.parametrize("measure", Measure)
def test_a_patched_asset_that_lacks_patches_again_starts_anew(measure: Measure) -> None:
    lacking, days = replace(MACHINE, **LACKING), timedelta(days=1)
    first = stands(lacking, promise(measure))
    patched = stands(MACHINE, promise(measure), days, since=first.since)
    again = replace(lacking, drifted_since=NOON + 2 * days)

    assert stands(again, promise(measure), 2 * days, since=patched.since).since == NOON + 2 * days


def test_a_golden_image_policy_counts_from_when_the_drift_began() -> None:
    asset = replace(MACHINE, **BEHIND | {"drifted_since": NOON - timedelta(days=6)})

    found = stands(asset, promise(Measure.DRIFT))

    assert (found.status, found.since) == (SlaStatus.BREACHING, NOON - timedelta(days=6))


def test_a_golden_image_policy_promises_once_the_least_of_its_severities() -> None:
    days = {
        severity: timedelta(days=n) for severity, n in zip(Severity, (9, 3, 30, 3), strict=True)
    }
    source = PatchSource(type=SourceType.GOLDEN_IMAGE, severity=tuple(Severity))

    [found] = promises_of(policy(source=source, sla=PatchSla(patch_within=days)))

    assert (found.severity, found.measure, found.within) == (
        Severity.HIGH,
        Measure.DRIFT,
        timedelta(days=3),
    )


@pytest.mark.parametrize(
    ("classes", "high"),
    [
        (("security",), Measure.SECURITY_PATCHES),
        (("security", "bugfix"), Measure.PATCHES),
    ],
)
def test_each_severity_is_measured_by_the_narrowest_count_that_leaves_none_out(
    classes: tuple[str, ...], high: Measure
) -> None:
    source = PatchSource(
        type=SourceType.OS_VENDOR, severity=tuple(reversed(Severity)), classifications=classes
    )

    found = promises_of(policy(source=source))

    assert [(one.severity, one.measure, one.within.days) for one in found] == [
        (Severity.CRITICAL, Measure.CRITICAL_PATCHES, 7),
        (Severity.HIGH, high, 14),
        (Severity.MEDIUM, Measure.PATCHES, 30),
        (Severity.LOW, Measure.PATCHES, 90),
    ]


SELECTORS = [
    PatchSelector(platforms=(Platform.AZURE,)),
    PatchSelector(environments=(Environment.STAGING,)),
    PatchSelector(regions=("eu-west-1",)),
    PatchSelector(families=("db",)),
    PatchSelector(tags={"team": "db"}),
]


@pytest.mark.parametrize("selector", SELECTORS)
def test_what_is_not_known_of_an_asset_takes_it_out_of_no_promise(selector: PatchSelector) -> None:
    names = ("platform", "environment", "region", "family", "tags")
    blank = replace(MACHINE, **dict.fromkeys(names))

    assert concerns(policy(selector=PatchSelector()), MACHINE)
    assert not concerns(policy(selector=selector), MACHINE)
    assert concerns(policy(selector=selector), blank)


@pytest.mark.parametrize(
    "selector",
    [
        PatchSelector(exclude_tags={"team": "web"}),
        PatchSelector(exclude_assets=("i-1",)),
        PatchSelector(exclude_assets=("aws:1:us-east-1:i-1",)),
    ],
)
def test_what_a_policy_excludes_it_promises_nothing_about(selector: PatchSelector) -> None:
    assert not concerns(policy(selector=selector), MACHINE)


def test_an_image_policy_of_another_family_is_not_about_the_asset() -> None:
    other = PatchSource(type=SourceType.GOLDEN_IMAGE, family="db")

    assert not concerns(policy(selector=PatchSelector(), source=other), MACHINE)
    assert concerns(policy(selector=PatchSelector(), source=other), replace(MACHINE, family=None))


def test_only_what_is_met_or_not_yet_due_is_kept() -> None:
    assert set(SlaStatus) - set(KEPT) == {SlaStatus.BREACHED, SlaStatus.UNKNOWN}
    assert status_at(NOON, timedelta(), now=NOON) is SlaStatus.BREACHED
