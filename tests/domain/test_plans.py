"""Plans: phases partition the assets, no phase exceeds its bound, and ids come from content."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.plans import (
    Action,
    Operation,
    Pace,
    Plan,
    Stage,
    image_diff,
    make_phases,
    phase_bound,
    plan_digest,
)
from qlrf_pipelines.domain.schedules import Span
from qlrf_pipelines.domain.vocabulary import Environment, Platform, RiskLevel

WAIT = timedelta(minutes=5)
SHARES = st.floats(0.01, 1)
PACES = st.builds(
    Pace,
    steps=st.lists(st.builds(Stage, share=SHARES, wait=st.just(WAIT)), min_size=1, max_size=5).map(
        tuple
    ),
    batch_share=SHARES,
    phase_share=SHARES,
    canary=st.booleans(),
)


def stages(*shares: float) -> tuple[Stage, ...]:
    return tuple(Stage(share=share, wait=WAIT) for share in shares)


def actions(count: int) -> list[Action]:
    return [
        Action(
            asset=f"aws:1:us-east-1:i-{number:04}",
            name=f"web-{number}",
            platform=Platform.AWS,
            operation=Operation.REPLACE_WITH_IMAGE,
            why="behind",
            family="ql-base-linux",
            from_version="1.6.3" if number % 3 else None,
            to_version="1.6.4",
            image="ami-0aaaaaaaaaaaaaaa1",
        )
        for number in range(count)
    ]


def a_plan(count: int = 10, **parts: Any) -> Plan:
    pace = Pace(steps=stages(0.1, 1.0), batch_share=0.5, phase_share=1, canary=True)
    usual: dict[str, Any] = {
        "tenant": "acme",
        "type": "drift_plan",
        "environment": Environment.PRODUCTION,
        "policy": None,
        "requested_by": "dana",
        "cause": {"kind": "drift", "detail": "behind"},
        "summary": "Change ten production assets.",
        "risk_score": 30.0,
        "risk_level": RiskLevel.MEDIUM,
        "risk_factors": (),
        "phases": make_phases(actions(count), pace, production=True),
        "fleet": 40,
        "critical_assets": 1,
        "dependents": None,
        "health_checks": ({"type": "cloud-status"},),
        "rollback_triggers": (),
        "audited": True,
        "frameworks": (),
        "evidence": True,
        "approval": True,
        "quorum": 1,
        "roles": ("engineer",),
        "mode": Mode.APPROVE_ALL,
        "risk_threshold": 30.0,
        "two_approvers": False,
        "window": None,
        "timezone": "UTC",
        "strategy": {"type": "canary"},
    }
    return Plan(**(usual | parts))


def sizes(count: int, pace: Pace, *, production: bool = True) -> list[int]:
    return [len(p.actions) for p in make_phases(actions(count), pace, production=production)]


@given(count=st.integers(1, 300), pace=PACES, production=st.booleans())
def test_phases_hold_every_asset_exactly_once_in_order(
    count: int, pace: Pace, production: bool
) -> None:
    chosen = actions(count)

    phases = make_phases(chosen, pace, production=production)

    assert [action for phase in phases for action in phase.actions] == chosen
    assert all(batch.actions for phase in phases for batch in phase.batches)
    assert len({phase.name for phase in phases}) == len(phases)


@given(count=st.integers(1, 300), pace=PACES, production=st.booleans())
def test_no_phase_and_no_batch_exceeds_its_bound(count: int, pace: Pace, production: bool) -> None:
    share = min(pace.phase_share, 0.2) if production else pace.phase_share

    for phase in make_phases(actions(count), pace, production=production):
        assert len(phase.actions) <= max(1, int(count * share))
        for batch in phase.batches:
            assert len(batch.actions) <= max(1, int(count * pace.batch_share))


@given(count=st.integers(1, 300), pace=PACES)
def test_only_the_first_phase_is_a_canary(count: int, pace: Pace) -> None:
    phases = make_phases(actions(count), pace, production=True)

    assert [phase.canary for phase in phases] == [pace.canary] + [False] * (len(phases) - 1)


@pytest.mark.parametrize(("count", "expected"), [(1, [1]), (3, [1, 1, 1]), (4, [1, 1, 1, 1])])
def test_a_small_production_fleet_moves_one_by_one(count: int, expected: Sequence[int]) -> None:
    pace = Pace(steps=stages(0.1, 1.0), batch_share=0.5, phase_share=1, canary=True)

    assert sizes(count, pace) == expected


def test_a_step_too_large_for_production_becomes_several_phases() -> None:
    pace = Pace(steps=stages(0.05, 0.25, 0.5, 1.0), batch_share=0.5, phase_share=1, canary=True)

    assert sizes(100, pace) == [5, 20, 20, 5, 20, 20, 10]
    assert sizes(100, pace, production=False) == [5, 20, 25, 50]


@pytest.mark.parametrize(("total", "share", "expected"), [(0, 0.2, 1), (4, 0.2, 1), (10, 0.2, 2)])
def test_a_bound_is_a_share_and_at_least_one(total: int, share: float, expected: int) -> None:
    assert phase_bound(total, share) == expected


def test_ids_are_made_of_the_content() -> None:
    first, same, other = a_plan(), a_plan(), a_plan(requested_by="erin")

    assert first.document() == same.document()
    assert first.document()["id"] != other.document()["id"]
    assert first.document()["id"].startswith("p-")


def test_the_digest_covers_the_plan_and_what_it_was_made_from() -> None:
    document, context = a_plan().document(), {"policy_bundle": "a", "inventory": "b"}
    known = plan_digest(document, context)

    assert plan_digest(document, context) == known
    assert plan_digest(document, context | {"inventory": "c"}) != known
    assert plan_digest(document | {"summary": "something else"}, context) != known


def test_the_window_is_the_only_moment_in_the_document() -> None:
    start = datetime(2026, 11, 7, 7, tzinfo=UTC)
    window = Span(opens_at=start, closes_at=start + timedelta(hours=6))

    document = replace(a_plan(), window=window, timezone="America/New_York").document()

    assert document.pop("window")["opens_at"] == "2026-11-07T07:00:00Z"
    assert "2026-" not in str({k: v for k, v in document.items() if k not in ("id", "task")})


def test_an_unknown_version_is_called_unknown() -> None:
    diff = image_diff(actions(4))

    assert [(d["from_version"], d["assets"]) for d in diff] == [("1.6.3", 2), ("unknown", 2)]


def test_the_blast_radius_is_that_of_the_phases() -> None:
    radius = a_plan().document()["blast_radius"]

    assert radius == {"assets": 10, "percent": 25.0, "max_at_once": 2, "critical_assets": 1}


def test_the_predicted_time_holds_every_batch_and_every_wait() -> None:
    plan = a_plan(10)  # 1, then five phases of at most two

    waits, operations = len(plan.phases) * WAIT, len(plan.phases) * timedelta(minutes=15)
    assert plan.predicted == waits + operations


@given(
    st.lists(st.integers(1, 6), min_size=1, max_size=8),
    PACES,
    st.booleans(),
)
def test_what_can_only_be_changed_together_is_never_parted(
    sizes: list[int], pace: Pace, production: bool
) -> None:
    chosen = [
        replace(action, parameters={"together": f"group-{number}"} if number % 2 else {})
        for number, size in enumerate(sizes)
        for action in [replace(a, asset=f"{a.asset}-{number}") for a in actions(size)]
    ]

    phases = make_phases(chosen, pace, production=production)

    placed = [action.asset for phase in phases for action in phase.actions]
    assert sorted(placed) == sorted(action.asset for action in chosen)
    batches = [batch.actions for phase in phases for batch in phase.batches]
    for name in {a.parameters["together"] for a in chosen if a.parameters}:
        having = [b for b in batches if any(a.parameters.get("together") == name for a in b)]
        assert len(having) == 1
