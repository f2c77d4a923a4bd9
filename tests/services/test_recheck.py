"""What an approval relied upon, computed again: vanishing shrinks, anything else goes back."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.change_risk import ChangeHistory, Factor, PastChanges, RiskRule
from qlrf_pipelines.domain.errors import Rejected, Unavailable
from qlrf_pipelines.domain.estate import Estate, TenantId
from qlrf_pipelines.domain.patching import (
    PatchSelector,
    PatchSource,
    PolicyWindow,
    SourceType,
    Strategy,
    StrategyType,
)
from qlrf_pipelines.domain.schedules import WeeklyWindow, clock_time
from qlrf_pipelines.domain.tasks import Document
from qlrf_pipelines.domain.vocabulary import Environment, Platform
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.hands import Hands
from qlrf_pipelines.services.planning import make_plan
from qlrf_pipelines.services.planning_request import PlanRequest
from qlrf_pipelines.services.recheck import Changed, Rechecked, Shrunk, Unchanged, recheck
from tests.examples import examples
from tests.fakes.drifted import AT_REST, drifted, fleet, machine, policy, release, rules, world_of
from tests.fakes.estate import FakeEstate
from tests.fakes.observations import observed
from tests.fakes.policy import DownPolicies, FakePolicies

ACME = TenantId("acme")
COUNT = 6
Rows = list[dict[str, Any]]


def approved(world: World, hands: Hands | None = None, **parts: Any) -> Document:
    chosen = parts or {"families": ("ql-base-linux",)}
    request = PlanRequest(tenant=ACME, requested_by="dana", **chosen)
    made = make_plan(
        world, request, engine=world.policy, contract=world.plan_contract, hands=hands or Hands()
    )
    return Document(
        revision=1,
        digest=made.digest,
        content=made.document,
        context=made.context,
        made_by="dana",
        made_at=world.clock.now(),
    )


def seen(world: World, assets: Rows, drift: Rows | None = None) -> None:
    """Another refresh."""
    rows = [drifted(asset) for asset in assets] if drift is None else drift
    observed(world.lake, "acme", assets, drift=rows)


def found(assets: Rows, now: Rows, drift: Rows | None = None, **parts: Any) -> Rechecked:
    """What is found after a plan for `assets` was approved and the world became `now`."""
    world = world_of(*assets, **parts)
    document = approved(world)
    seen(world, now, drift)
    return recheck(world, document)


def text(came: Rechecked) -> str:
    assert isinstance(came, Changed), came
    return "; ".join(came.reasons)


def test_nothing_changed_is_unchanged_at_any_later_time() -> None:
    assets = fleet(COUNT)
    world = world_of(*assets)
    document = approved(world)
    world.clock.advance(days=40)  # type: ignore[attr-defined]
    seen(world, assets)

    assert recheck(world, document) == Unchanged()


GONE: Mapping[str, Callable[[dict[str, Any]], dict[str, Any]]] = {
    "tombstoned": lambda a: (
        a | {"tombstoned_at": a["last_seen"], "tombstone_reason": "missed_twice", "fresh": False}
    ),
    "terminated": lambda a: a | {"state": "terminated"},
    "stopped": lambda a: a | {"state": "stopped"},
}


@pytest.mark.parametrize("how", GONE)
def test_an_asset_proven_gone_shrinks_the_plan_and_says_why(how: str) -> None:
    assets = fleet(COUNT)
    now = [GONE[how](assets[0]), *assets[1:]]
    drift = [drifted(assets[0], active=False), *(drifted(a) for a in assets[1:])]

    came = found(assets, now, drift)

    assert isinstance(came, Shrunk)
    assert list(came.gone) == [assets[0]["asset_key"]]
    assert how in came.gone[assets[0]["asset_key"]] or "missed_twice" in str(came.gone)
    assert not came.all_gone


def test_when_all_are_gone_it_is_said() -> None:
    assets = fleet(2)
    drift = [drifted(asset, active=False) for asset in assets]

    came = found(assets, [GONE["terminated"](asset) for asset in assets], drift)

    assert isinstance(came, Shrunk)
    assert came.all_gone


@pytest.mark.parametrize("how", ["terminated", "stopped"])
def test_an_end_that_nobody_saw_freshly_is_no_end(how: str) -> None:
    assets = fleet(2)
    now = [GONE[how](assets[0]) | {"fresh": False}, assets[1]]
    drift = [drifted(assets[0], active=False), drifted(assets[1])]

    assert "was not seen by the last refresh" in text(found(assets, now, drift))


def test_an_asset_the_inventory_has_forgotten_is_not_gone() -> None:
    assets = fleet(2)

    assert "unknown to the inventory" in text(found(assets, assets[1:]))


FACTS: Mapping[str, list[Any]] = {
    "image_ref": ["ami-0bbbbbbbbbbbbbbb9", None],
    "tags": [sorted({**AT_REST, "team": "web"}.items()), [], None],
    "state": ["pending", "unknown", None],
    "fresh": [False, None],
    "environment": ["staging", None],
    "region": ["eu-west-1", None],
}
JUDGED: Mapping[str, list[Any]] = {
    "family": ["other", None],
    "version": ["1.6.2", None],
    "drift_verdict": ["stale", "unknown", "current", "exempt", "retired", "unmanaged"],
    "approved_version": ["1.7.0", None],
    "days_behind": [None, 2],
    "active": [False, None],
}


@settings(max_examples=examples(40, thorough=120), deadline=None)
@given(
    environment=st.sampled_from(["production", "staging", "development"]),
    which=st.integers(0, COUNT - 1),
    change=st.one_of(
        [st.tuples(st.just(0), st.just(n), st.sampled_from(v)) for n, v in FACTS.items()]
        + [st.tuples(st.just(1), st.just(n), st.sampled_from(v)) for n, v in JUDGED.items()]
    ),
    gone=st.booleans(),
    days=st.integers(0, 30),
)
def test_no_fact_of_any_asset_changes_or_is_lost_unnoticed(
    environment: str, which: int, change: tuple[int, str, Any], gone: bool, days: int
) -> None:
    assets = fleet(COUNT, environment)
    table, name, value = change
    assume((name, value) != ("environment", environment))
    world = world_of(*assets)
    document = approved(world)
    world.clock.advance(days=days)  # type: ignore[attr-defined]
    now = [dict(asset) for asset in assets]
    drift = [drifted(asset) for asset in now]
    (drift if table else now)[which][name] = value
    if gone:
        other = (which + 1) % COUNT
        now[other] = GONE["terminated"](now[other])
        drift[other]["active"] = False
    seen(world, now, drift)

    assert isinstance(recheck(world, document), Changed)


@settings(max_examples=examples(20, thorough=40), deadline=None)
@given(lost=st.sets(st.integers(0, COUNT - 1)), rows=st.sampled_from(["both", "drift", "all"]))
def test_rows_that_are_lost_never_let_anything_go(lost: set[int], rows: str) -> None:
    assume(lost or rows == "all")
    assets = fleet(COUNT)
    drift = [drifted(a) for n, a in enumerate(assets) if n not in lost and rows != "all"]
    now = [a for n, a in enumerate(assets) if rows == "drift" or n not in lost]

    came = found(assets, [] if rows == "all" else now, drift)

    assert isinstance(came, Changed)


@settings(max_examples=examples(20, thorough=30), deadline=None)
@given(gone=st.sets(st.integers(0, COUNT - 1), max_size=COUNT), more=st.integers(0, 1))
def test_any_assets_may_vanish_and_the_rest_may_go(gone: set[int], more: int) -> None:
    assets = fleet(COUNT, "staging")
    now = [GONE["tombstoned"](a) if n in gone else a for n, a in enumerate(assets)]
    now += [machine(100 + n, "staging") for n in range(more)]
    drift = [drifted(a, active=n not in gone) for n, a in enumerate(now)]

    came = found(assets, now, drift)

    if gone:
        assert isinstance(came, Shrunk)
        assert set(came.gone) == {assets[n]["asset_key"] for n in gone}
    else:
        assert came == Unchanged()


def test_the_fleet_may_grow_until_a_factor_has_another_score() -> None:
    assets = fleet(6)
    few, many = ([*assets, *(machine(50 + n) for n in range(more))] for more in (4, 20))
    same = [drifted(a, "behind" if n < 6 else "current") for n, a in enumerate(few)]
    other = [drifted(a, "behind" if n < 6 else "current") for n, a in enumerate(many)]

    assert found(assets, few, same) == Unchanged()
    assert "the risk of scope" in text(found(assets, many, other))


def test_other_policies_or_another_executor_are_another_thing_to_approve() -> None:
    world = world_of(*fleet(2))
    document = approved(world)

    other = replace(world, policy=FakePolicies(digest="others"))

    assert "policies are others" in text(recheck(other, document))
    aws = Hands(executors={Platform.AWS: "2"})
    assert "another executor: aws 2" in text(recheck(world, document, hands=aws))


def test_the_executor_a_plan_was_made_for_is_part_of_what_is_approved() -> None:
    world, aws = world_of(*fleet(2)), Hands(executors={Platform.AWS: "2"})

    document = approved(world, aws)

    assert document.context["executor"] == "aws 2"
    assert recheck(world, document, hands=aws) == Unchanged()
    assert "another executor: none" in text(recheck(world, document))


def test_policies_that_cannot_be_asked_let_nothing_go() -> None:
    world = world_of(*fleet(2))
    document = approved(world)

    with pytest.raises(Unavailable):
        recheck(replace(world, policy=DownPolicies()), document)


def test_a_lost_digest_of_facts_is_a_change() -> None:
    world = world_of(*fleet(1))
    document = approved(world)
    content = dict(document.content)
    [phase] = content["phases"]
    [action] = phase["actions"]
    bare = {k: v for k, v in action.items() if k != "facts"}
    content["phases"] = [phase | {"actions": [bare]}]

    assert isinstance(recheck(world, replace(document, content=content)), Changed)


def test_a_document_that_is_no_plan_is_rejected() -> None:
    world = world_of(*fleet(1))

    with pytest.raises(Rejected, match="no plan"):
        recheck(world, replace(approved(world), content={"port": 443}))


def test_a_release_that_was_withdrawn_or_moved_is_a_change() -> None:
    for other in (
        release(status="deprecated"),
        release(coordinates=[{"platform": "aws", "region": "us-east-1", "image_ref": "ami-9"}]),
    ):
        world = world_of(*fleet(2))
        document = approved(world)
        changed = world_of(*fleet(2), releases=[other])

        assert "another change now" in text(recheck(changed, document))


def test_a_policy_that_is_gone_or_excludes_an_asset_now_is_a_change() -> None:
    world = world_of(*fleet(2), policies=(policy(),))
    document = approved(world, policy="maintenance")
    spares = policy(selector=PatchSelector(exclude_assets=("i-0001",)))

    assert recheck(world, document) == Unchanged()
    assert "no patch policy" in text(recheck(world_of(*fleet(2)), document))
    again = world_of(*fleet(2), policies=(spares,))
    assert "i-0001 would get another change now" in text(recheck(again, document))


def of(world: World, **changes: Any) -> World:
    """The same world, its tenant under other rules."""
    estate = world.estate.load()
    [tenant] = estate.tenants
    other = replace(tenant, changes=replace(tenant.changes, **changes))
    return replace(world, estate=FakeEstate(Estate(tenants=(other,), patches=estate.patches)))


def test_a_tenant_that_asks_for_more_people_or_allows_less_gets_its_way() -> None:
    world = world_of(*fleet(2, "staging"), changes=rules(Mode.RISK_BASED))
    document = approved(world)
    two = rules(Mode.RISK_BASED, require_two_approvers=True).autonomy
    less = rules(Mode.PLAN_ONLY).autonomy
    more = rules(Mode.FULL_AUTO).autonomy

    assert "2 approvals now" in text(recheck(of(world, autonomy=two), document))
    assert "no more than plan_only" in text(recheck(of(world, autonomy=less), document))
    assert recheck(of(world, autonomy=more), document) == Unchanged()


def test_risks_weighed_otherwise_are_other_risks() -> None:
    world = world_of(*fleet(2))
    document = approved(world)
    heavier = RiskRule(weights={Factor.TIMING: 0.9})

    assert "weighed otherwise" in text(recheck(of(world, risk=heavier), document))


NIGHTLY = Strategy(
    type=StrategyType.MAINTENANCE_WINDOW,
    windows=(
        PolicyWindow(window=WeeklyWindow(start=clock_time("02:00"), lasts=timedelta(hours=2))),
    ),
)


def test_a_window_that_has_passed_since_is_still_the_window_of_the_plan() -> None:
    world = world_of(*fleet(2), policies=(policy(strategy=NIGHTLY),))
    document = approved(world, policy="maintenance")
    world.clock.advance(days=3)  # type: ignore[attr-defined]

    assert recheck(world, document) == Unchanged()


def test_a_window_its_policy_moved_is_a_change() -> None:
    world = world_of(*fleet(2), policies=(policy(strategy=NIGHTLY),))
    document = approved(world, policy="maintenance")
    later = WeeklyWindow(start=clock_time("03:00"), lasts=timedelta(hours=2))
    moved = policy(strategy=replace(NIGHTLY, windows=(PolicyWindow(window=later),)))

    came = recheck(world_of(*fleet(2), policies=(moved,)), document)

    assert "the risk of timing" in text(came) or "window" in text(came)


def test_what_may_go_by_itself_goes_back_to_people_after_another_change() -> None:
    calm = Hands(past=lambda *_: PastChanges())
    world = world_of(*fleet(2, "development"), changes=rules(Mode.RISK_BASED, risk_threshold=90))
    document = approved(world, calm)
    assert document.content["approvals"]["required"] is False

    just_now = PastChanges(last_at=world.clock.now() - timedelta(minutes=1))

    assert recheck(world, document, hands=calm) == Unchanged()
    came = recheck(world, document, hands=Hands(past=lambda *_: just_now))
    assert "needs approval now" in text(came)


def test_a_failure_since_is_a_worse_history_and_a_longer_calm_is_not() -> None:
    def past(rate: float, days: float) -> Hands:
        history = ChangeHistory(failure_rate=rate, days_since_failure=days, success_streak=1)
        return Hands(past=lambda *_: PastChanges(last_at=None, history=history))

    world = world_of(*fleet(2))
    document = approved(world, past(0.2, 10))

    assert recheck(world, document, hands=past(0.2, 40)) == Unchanged()
    assert "the risk of history" in text(recheck(world, document, hands=past(0.2, 1)))
    assert "the risk of history" in text(recheck(world, document))


@pytest.mark.parametrize(("missing", "same"), [(1, True), (900, True), (0, False), (None, False)])
def test_patches_are_a_matter_of_some_none_or_unknown(missing: int | None, same: bool) -> None:
    vendor = policy(source=PatchSource(type=SourceType.OS_VENDOR))
    asset = machine(1, patches_critical_missing=2, patches_security_missing=0)
    world = world_of(asset, drift=[drifted(asset, "current")], policies=(vendor,))
    document = approved(world, policy="maintenance", environments=(Environment.PRODUCTION,))

    seen(world, [asset | {"patches_critical_missing": missing}], [drifted(asset, "current")])

    assert isinstance(recheck(world, document), Unchanged if same else Changed)
