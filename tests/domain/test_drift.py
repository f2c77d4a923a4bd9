"""What the drift rule promises for one asset."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.drift import (
    FIXED_SCORES,
    Drift,
    Observed,
    judge,
    score,
    status_of,
)
from qlrf_pipelines.domain.estate import DriftRule, Exemption, GoldenImage, Selector
from qlrf_pipelines.domain.vocabulary import (
    AssetState,
    DriftVerdict,
    Environment,
    Health,
    ImageStatus,
    Platform,
    Resolution,
)
from tests.fakes.clock import NOON
from tests.fakes.fleet import exemption, image, release

BASE = image(
    release("1.8.0", "ami-new", environments=(Environment.DEVELOPMENT,)),
    release("1.7.0-rc.1", "ami-rc", status=ImageStatus.TESTING),
    release("1.6.4", "ami-good"),
    release("1.6.3", "ami-old", status=ImageStatus.DEPRECATED),
    release("1.6.0", "ami-older", status=ImageStatus.PRODUCTION),
    release("1.5.0", "ami-retired", status=ImageStatus.RETIRED),
)
MACHINE = Observed(
    asset_id="i-1",
    asset_key="aws:111122223333:us-east-1:i-1",
    platform=Platform.AWS,
    account="111122223333",
    region="us-east-1",
    environment=Environment.PRODUCTION,
    image_ref="ami-good",
    image_family=None,
    image_version=None,
    image_readable=True,
    state=AssetState.RUNNING,
    last_seen=NOON,
    tags={"exempt": "yes"},
)


def judged(
    *,
    images: tuple[GoldenImage, ...] = (BASE,),
    exemptions: tuple[Exemption, ...] = (),
    **facts: Any,
) -> Drift:
    rule = facts.pop("rule", DriftRule())
    since = facts.pop("since", None)
    return judge(
        replace(MACHINE, **facts),
        images=images,
        rule=rule,
        exemptions=exemptions,
        now=NOON,
        drifted_since=since,
    )


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        ({}, DriftVerdict.CURRENT),
        ({"image_ref": "ami-rc"}, DriftVerdict.AHEAD),
        ({"image_ref": "ami-old"}, DriftVerdict.BEHIND),
        ({"image_ref": "ami-older"}, DriftVerdict.BEHIND),
        ({"image_ref": "ami-retired"}, DriftVerdict.RETIRED),
        ({"image_ref": "ami-else"}, DriftVerdict.UNMANAGED),
        ({"last_seen": NOON - timedelta(hours=24, microseconds=1)}, DriftVerdict.STALE),
        ({"last_seen": NOON - timedelta(hours=24)}, DriftVerdict.CURRENT),
        ({"last_seen": None}, DriftVerdict.STALE),
        ({"image_ref": None}, DriftVerdict.UNKNOWN),
        ({"image_ref": None, "last_seen": None}, DriftVerdict.UNKNOWN),
        ({"image_ref": "ami-else", "image_readable": None}, DriftVerdict.UNKNOWN),
        ({"image_ref": "ami-else", "image_readable": False}, DriftVerdict.UNKNOWN),
        ({"image_ref": "ami-good", "image_readable": False}, DriftVerdict.CURRENT),
        ({"environment": None}, DriftVerdict.UNKNOWN),
        ({"environment": Environment.DEVELOPMENT}, DriftVerdict.BEHIND),
    ],
)
def test_each_verdict_has_its_cause(facts: dict[str, Any], verdict: DriftVerdict) -> None:
    found = judged(**facts)

    assert found.verdict is verdict
    assert found.reason.endswith(".")


def test_every_coordinate_of_a_version_counts_not_one_per_family() -> None:
    european = release("1.6.4", "ami-eu", region="eu-west-1")
    both = replace(european, coordinates=BASE.versions[2].coordinates + european.coordinates)
    images = (image(both),)

    assert judged(images=images).verdict is DriftVerdict.CURRENT
    assert judged(images=images, image_ref="ami-eu", region="eu-west-1").score == 0
    assert judged(images=images, image_ref="ami-eu").verdict is DriftVerdict.UNMANAGED


def test_versions_are_compared_as_semantic_versions_not_as_text() -> None:
    images = (image(release("1.10.0", "ami-ten"), release("1.9.0", "ami-nine")),)

    assert judged(images=images, image_ref="ami-nine").verdict is DriftVerdict.BEHIND
    assert judged(images=images, image_ref="ami-ten").verdict is DriftVerdict.CURRENT


def test_no_baseline_is_unknown_never_compliant() -> None:
    found = judged(images=(image(release("1.0.0", "ami-good", status=ImageStatus.TESTING)),))

    assert (found.verdict, found.family, found.approved_version) == (
        DriftVerdict.UNKNOWN,
        "base",
        None,
    )


def test_an_unknown_reference_never_falls_back_to_some_family() -> None:
    found = judged(image_ref="ami-else")

    assert (found.family, found.resolution) == (None, Resolution.NONE)


def test_tags_resolve_what_no_contract_lists() -> None:
    found = judged(image_ref="ami-else", image_family="base", image_version="1.6.3-hotfix.1")

    assert (found.resolution, found.verdict) == (Resolution.TAG, DriftVerdict.BEHIND)
    assert found.versions_behind == 2


def test_a_coordinate_is_believed_before_tags() -> None:
    found = judged(image_ref="ami-old", image_family="base", image_version="1.6.4")

    assert (found.version, found.resolution) == ("1.6.3", Resolution.COORDINATE)


def test_tags_that_name_no_semantic_version_are_unknown() -> None:
    found = judged(image_ref="ami-else", image_family="base", image_version="latest")

    assert (found.verdict, found.family, found.score) == (DriftVerdict.UNKNOWN, "base", 100)


def test_tags_naming_an_unknown_family_are_unmanaged() -> None:
    found = judged(image_ref="ami-else", image_family="other", image_version="1.0.0")

    assert found.verdict is DriftVerdict.UNMANAGED


def test_the_highest_production_version_of_the_environment_is_the_approved_one() -> None:
    assert judged().approved_version == "1.6.4"
    assert judged(environment=Environment.DEVELOPMENT).approved_version == "1.8.0"


def test_behind_counts_releases_of_any_status_up_to_the_approved_one() -> None:
    found = judged(image_ref="ami-older")

    assert (found.versions_behind, found.days_behind) == (2, 30)
    assert found.score == 20 + 10 * 2 + 0.5 * 30


def test_grace_is_of_the_environment_and_starts_at_the_promotion() -> None:
    promoted = NOON - timedelta(days=7)
    images = (image(release("2.0.0", promoted_at=promoted), release("1.0.0", "ami-good")),)
    week = DriftRule(grace_days={Environment.PRODUCTION: 7}, default_grace_days=14)

    assert judged(images=images, rule=week).verdict is DriftVerdict.BEHIND
    staging = judged(images=images, rule=week, environment=Environment.STAGING)
    assert (staging.verdict, staging.score) == (DriftVerdict.BEHIND_IN_GRACE, 10)


def test_a_release_without_a_date_gives_no_grace_and_the_highest_score() -> None:
    images = (image(release("2.0.0", promoted_at=None), release("1.0.0", "ami-good")),)

    found = judged(images=images)

    assert (found.verdict, found.score, found.days_behind) == (DriftVerdict.BEHIND, 80, None)


def test_a_release_dated_in_the_future_is_zero_days_old() -> None:
    later = NOON + timedelta(days=3)
    images = (image(release("2.0.0", promoted_at=later), release("1.0.0", "ami-good")),)

    assert judged(images=images).days_behind == 0


def test_an_exemption_applies_to_the_verdicts_it_lists_alone() -> None:
    accepted = exemption(DriftVerdict.BEHIND)

    found = judged(image_ref="ami-old", exemptions=(accepted,))
    other = judged(image_ref="ami-retired", exemptions=(accepted,))

    assert (found.verdict, found.judged, found.exemption, found.score) == (
        DriftVerdict.EXEMPT,
        DriftVerdict.BEHIND,
        "accepted",
        0,
    )
    assert (other.verdict, other.exemption) == (DriftVerdict.RETIRED, None)


@pytest.mark.parametrize("past", [timedelta(0), timedelta(days=1)])
def test_an_expired_exemption_is_not_applied(past: timedelta) -> None:
    over = exemption(DriftVerdict.BEHIND, expires_at=NOON - past)

    assert judged(image_ref="ami-old", exemptions=(over,)).verdict is DriftVerdict.BEHIND


@pytest.mark.parametrize(
    ("selector", "applies"),
    [
        (Selector(tags={"exempt": "yes"}), True),
        (Selector(tags={"exempt": "no"}), False),
        (Selector(tags={"exempt": "yes", "team": "db"}), False),
        (Selector(families=("base",), environments=(Environment.PRODUCTION,)), True),
        (Selector(families=("base",), environments=(Environment.DR,)), False),
        (Selector(families=("other",)), False),
        (Selector(assets=("i-1", "i-2")), True),
        (Selector(assets=("i-2",)), False),
        (Selector(assets=("aws:111122223333:us-east-1:i-1",)), True),
        (Selector(assets=("aws:111122223333:eu-west-1:i-1",)), False),
    ],
)
def test_all_given_parts_of_a_selector_must_match(selector: Selector, applies: bool) -> None:
    accepted = exemption(DriftVerdict.BEHIND, selector=selector)

    found = judged(image_ref="ami-old", exemptions=(accepted,))

    assert (found.verdict is DriftVerdict.EXEMPT) is applies


def test_of_several_exemptions_the_longest_lasting_is_named() -> None:
    short = exemption(DriftVerdict.BEHIND, name="z-short", expires_at=NOON + timedelta(days=1))
    long = exemption(DriftVerdict.BEHIND, name="a-long", expires_at=NOON + timedelta(days=9))

    found = judged(image_ref="ami-old", exemptions=(short, long))

    assert found.exemption == "a-long"


@pytest.mark.parametrize("facts", [{"last_seen": None}, {"image_ref": None}])
def test_nobody_can_accept_what_nobody_saw(facts: dict[str, Any]) -> None:
    accepted = exemption(DriftVerdict.STALE, DriftVerdict.UNKNOWN)

    assert judged(exemptions=(accepted,), **facts).score >= 95


def test_drift_age_is_carried_from_the_first_sighting_and_forgotten_when_covered() -> None:
    first = NOON - timedelta(days=40)

    assert judged(image_ref="ami-old").drifted_since == NOON
    assert judged(image_ref="ami-old", since=first).drifted_since == first
    assert judged(since=first).drifted_since is None


@pytest.mark.parametrize("state", AssetState)
def test_running_and_pending_machines_count(state: AssetState) -> None:
    assert judged(state=state).active is (state in ("running", "pending"))


def test_a_machine_of_unread_state_counts_as_unknown() -> None:
    found = judged(state=None)

    assert (found.active, found.verdict) == (True, DriftVerdict.UNKNOWN)


def test_the_order_of_verdicts_is_the_order_of_their_scores() -> None:
    scores = [score(verdict, 1, 30) for verdict in DriftVerdict]

    assert scores == sorted(scores)
    assert FIXED_SCORES[DriftVerdict.UNKNOWN] == 100


@given(st.integers(0, 50), st.integers(0, 4000))
def test_behind_is_never_worse_than_its_maximum_and_rises_with_both_terms(
    versions: int, days: int
) -> None:
    found = score(DriftVerdict.BEHIND, versions, days)

    assert 20 <= found <= 80
    assert found <= score(DriftVerdict.BEHIND, versions + 1, days)
    assert found <= score(DriftVerdict.BEHIND, versions, days + 1)
    assert (
        score(DriftVerdict.BEHIND, None, days) == score(DriftVerdict.BEHIND, versions, None) == 80
    )


@pytest.mark.parametrize(
    ("coverage", "status"),
    [
        (1.0, Health.HEALTHY),
        (0.9, Health.HEALTHY),
        (0.8999, Health.WARNING),
        (0.7, Health.WARNING),
        (0.6999, Health.CRITICAL),
        (0.0, Health.CRITICAL),
        (None, Health.NO_DATA),
    ],
)
def test_a_scope_stands_by_its_coverage_and_an_empty_one_has_no_data(
    coverage: float | None, status: Health
) -> None:
    assert status_of(coverage) is status
