"""What a rollout writes as evidence, its listeners hear."""

import pytest

from qlrf_pipelines.domain.news import listeners
from qlrf_pipelines.services import planning_terms, rollouts
from resources.estate import FolderEstate
from sensors.notifications import Cursor, tell
from tests.services.notified import listening_house
from tests.services.rollout_house import ACME, as_engineer, minutes
from tests.tools.check import CONTRACTS


@pytest.mark.parametrize("name", ["critical-security", "kubernetes-rolling"])
def test_a_plan_keeps_who_its_policy_names(name: str) -> None:
    shipped = FolderEstate(CONTRACTS / "examples").load().patches
    policy = next(one for one in shipped if one.name == name)
    heard = planning_terms.notifications(policy)

    assert listeners({"notifications": list(heard)}) == policy.notifications
    assert planning_terms.notifications(None) == ()


def test_a_policy_s_listeners_hear_a_whole_rollout_once() -> None:
    house = listening_house("i-1", "i-2")
    notifier = house.world.notifier

    house.begin()
    came = tell(house.world, Cursor())
    rollouts.pause(house.world, ACME, house.id, **as_engineer(reason="lunch"))
    came = tell(house.world, came.cursor)
    rollouts.resume(house.world, ACME, house.id, **as_engineer())
    house.drive()
    for _ in range(3):
        came = tell(house.world, came.cursor)

    assert notifier.events == ["started", "paused", "completed"]
    begun_, paused, completed = [message for message, _, _ in notifier.taken]
    assert begun_.title == f"Rollout {house.id} of acme in staging has started"
    assert begun_.counts == "2 planned"
    assert paused.reason == "ann: lunch"
    assert completed.counts == "2 done"
    assert completed.look == f"qlrf rollouts show {house.id} --tenant acme"
    assert completed.digest == house.now.digest[:12]


def test_progress_is_told_once_in_each_span_while_it_runs() -> None:
    house = listening_house("i-1", "i-2")
    house.begin()
    cursor = Cursor()

    for _ in range(8):
        house.clock.moment += minutes(5)
        cursor = tell(house.world, cursor).cursor
    rollouts.pause(house.world, ACME, house.id, **as_engineer())
    for _ in range(8):
        house.clock.moment += minutes(5)
        cursor = tell(house.world, cursor).cursor

    assert house.world.notifier.events == ["started", "progress", "progress", "paused"]
    message = house.world.notifier.taken[1][0]
    assert message.says == "is running, phase 1 of 1"
    assert message.counts == "2 waiting"


def test_a_failed_rollout_is_not_told_twice_by_its_task() -> None:
    house = listening_house("i-1")
    house.hands.sick = {"i-1"}

    ended = house.go()
    tell(house.world, Cursor())

    assert ended.state == "rolled_back"
    assert house.world.notifier.events == ["started", "rollback", "rollback"]
