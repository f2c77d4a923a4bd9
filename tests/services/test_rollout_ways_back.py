"""How a policy wants to be taken back is how it is: by itself, by people, from snapshots."""

from typing import Any

import pytest

from qlrf_pipelines.domain.operations import FIRST_TRY, Operation, Progress, Status
from qlrf_pipelines.services import rollouts
from tests.services.rollout_house import ACME, Hands, House, as_engineer, key, phase, plan

NAMES = ["i-1", "i-2"]
SNAPSHOTS = {"rollback": "restore-snapshot"}


def patches(*, strategy: dict[str, str] | None = None, **parts: Any) -> dict[str, Any]:
    actions = [
        {"asset": key(name), "operation": "patch_in_place", "parameters": SNAPSHOTS}
        for name in NAMES
    ]
    return plan(phase("wave-1", [NAMES], actions=actions, **parts), strategy=strategy or {})


def asked(hands: Hands) -> list[Operation]:
    """Every operation the fleet is asked for from now on."""
    seen: list[Operation] = []
    hands.on_call = seen.append
    return seen


@pytest.mark.parametrize(
    "strategy", [{"rollback": "manual"}, {"rollback_automatic": "no"}], ids=["manual", "not auto"]
)
def test_a_policy_that_leaves_it_to_people_is_held_and_never_taken_back_by_itself(
    strategy: dict[str, str],
) -> None:
    house = House(patches(strategy=strategy), hands := Hands(NAMES))
    hands.sick = set(NAMES)

    held = house.go(hold_seconds=0)
    house.drive(hold_seconds=0)

    assert held.state == house.now.state == "held"
    assert "failure_share is 100%" in held.reason
    assert "its policy takes nothing back by itself" in held.reason
    assert hands.changed() == set(NAMES)


def test_people_may_still_take_it_back() -> None:
    house = House(patches(strategy={"rollback": "manual"}), hands := Hands(NAMES))
    hands.sick = set(NAMES)
    house.go(hold_seconds=0)

    rollouts.rollback(house.world, ACME, house.id, **as_engineer(reason="they are down"))
    ended = house.drive()

    assert ended.state == "rolled_back"
    assert hands.changed() == set()


@pytest.mark.parametrize("sick", [set(), set(NAMES)], ids=["completed", "rolled back"])
def test_snapshots_are_let_go_once_nothing_can_need_them(sick: set[str]) -> None:
    house = House(patches(), hands := Hands(NAMES))
    hands.sick = sick

    ended = house.go()

    assert ended.state == ("rolled_back" if sick else "completed")
    last = hands.order[-len(NAMES) :]
    assert sorted(last) == [("finalise", name) for name in NAMES]


def test_while_an_asset_could_not_be_brought_back_no_snapshot_is_let_go() -> None:
    house = House(patches(), hands := Hands(NAMES))
    hands.sick = set(NAMES)
    no = Progress(status=Status.FAILED, detail="its snapshot is gone")
    hands.script = lambda o: no if (o.kind, o.target.id) == ("restore", "i-2") else None

    stuck = house.go(hold_seconds=0)

    assert stuck.state == "stuck"
    assert "its snapshot is gone" in stuck.reason
    assert [kind for kind, _ in hands.order if kind == "finalise"] == []


def test_patches_without_snapshots_have_nothing_to_let_go() -> None:
    actions = [{"asset": key(name), "operation": "patch_in_place"} for name in NAMES]
    house = House(plan(phase("wave-1", [NAMES], actions=actions)), hands := Hands(NAMES))

    assert house.go().state == "completed"
    assert {kind for kind, _ in hands.order} == {"patch_in_place"}


def test_a_retry_and_its_way_back_name_the_first_try() -> None:
    house = House(patches(rollback_triggers=[]), hands := Hands(NAMES))
    failed = Progress(status=Status.FAILED, detail="the disk is full")
    hands.script = lambda o: failed if o.target.id == "i-2" else None
    seen = asked(hands)
    house.go()
    (first,) = {o.token for o in seen if o.target.id == "i-2"}
    hands.script = lambda o: None
    seen.clear()

    rollouts.retry(house.world, ACME, house.id, **as_engineer())
    house.drive()

    again = [o for o in seen if o.target.id == "i-2"]
    assert {str(o.kind) for o in again} == {"patch_in_place", "finalise"}
    assert {o.parameters[FIRST_TRY] for o in again} == {first}
    assert first not in {o.token for o in again}
    assert all(
        FIRST_TRY not in o.parameters
        for o in seen
        if o.kind == "patch_in_place" and o.target.id == "i-1"
    )
