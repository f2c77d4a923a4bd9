"""Kill the driver at any point, start the next one: nothing is lost, nothing is done twice."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.evidence import verify_chain
from tests.services.rollout_house import ACME, Hands, House, phase, plan

NAMES = [f"i-{n}" for n in range(1, 7)]


class Killed(BaseException):
    """The process is gone: nobody handles this."""


class Killer:
    """Raises at the moments it is told, counted over every call to the outside."""

    def __init__(self, moments: set[int]) -> None:
        self.moments = moments
        self.count = 0

    def __call__(self, *ignored: object) -> None:
        self.count += 1
        if self.count in self.moments:
            raise Killed


def document() -> dict[str, object]:
    hooks = [
        {
            "when": when,
            "type": "script",
            "target": "drain",
            "timeout_seconds": 60,
            "fail_policy": "abort",
        }
        for when in ("preRollout", "prePatch", "postPatch", "onFailure")
    ]
    canary = phase("canary", [["i-1"]], wait=60)
    return plan(canary, phase("wave-1", [NAMES[1:4], NAMES[4:]], wait=60), hooks=hooks)


def drive_through(house: House, killer: Killer) -> None:
    """Start drivers until one comes to an end; each may be killed."""
    house.hands.on_call = killer
    house.world.rollouts.before_keep = killer  # type: ignore[attr-defined]
    for _ in range(60):
        try:
            house.begin()
            if house.drive(parallel=3).state in ("completed", "rolled_back"):
                return
        except Killed:
            house.clock.advance(seconds=30)
    raise AssertionError(f"never came to an end: {house.now}")


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(1, 120), max_size=12), st.integers(1, 3))
def test_a_rollout_killed_anywhere_changes_every_asset_exactly_once(
    moments: set[int], calls: int
) -> None:
    house = House(document(), hands := Hands(NAMES, calls=calls))

    drive_through(house, Killer(moments))

    assert house.now.state == "completed"
    assert hands.changed() == set(NAMES)
    assert set(hands.effects.values()) == {1}
    changes = [name for kind, name in hands.order if kind == "replace_with_image"]
    assert sorted(changes) == NAMES
    assert verify_chain(house.world.ledger.entries(ACME)) > 0


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(1, 120), max_size=12), st.integers(1, 3))
def test_a_rollback_killed_anywhere_brings_everything_back_exactly_once(
    moments: set[int], calls: int
) -> None:
    house = House(document(), hands := Hands(NAMES, calls=calls))
    hands.sick = {"i-3", "i-4"}

    drive_through(house, Killer(moments))

    assert house.now.state == "rolled_back"
    assert hands.changed() == set()
    assert set(hands.effects.values()) == {1}
    restored = [name for kind, name in hands.order if kind == "restore"]
    assert len(restored) == len(set(restored))
    assert "i-1" in restored


@settings(max_examples=30, deadline=None)
@given(st.sets(st.integers(1, 40), max_size=20))
def test_a_cloud_that_does_not_answer_now_and_then_costs_time_and_nothing_else(
    moments: set[int],
) -> None:
    house = House(document(), hands := Hands(NAMES))
    calls = iter(range(1, 10_000))

    def away(operation: object) -> None:
        if next(calls) in moments:
            raise Unavailable("the cloud is away")

    hands.on_call = away

    ended = house.go(parallel=3)

    assert ended.state == "completed"
    assert set(hands.effects.values()) == {1}


def test_a_driver_that_dies_with_the_last_failure_kept_does_not_save_it_from_being_taken_back() -> (
    None
):
    house = House(plan(phase("wave-1", [["i-1"]])), hands := Hands(NAMES))
    hands.sick = {"i-1"}
    house.begin()
    real, kept = house.world.rollouts.amend, []

    def amend(tenant: Any, named: str, step: Any, **parts: Any) -> Any:
        after = real(tenant, named, step, **parts)
        if all(state == "failed" for state in house.states().values()) and not kept:
            kept.append(after.state.value)
            raise Killed
        return after

    house.world.rollouts.amend = amend  # type: ignore[method-assign]
    with pytest.raises(Killed):
        house.drive()

    assert kept == ["running"]
    assert house.drive().state == "rolled_back"
    assert hands.changed() == set()
