"""Whoever asks dies at any request that changes something, and asks again with the same token."""

from itertools import count, pairwise

import pytest

from qlrf_pipelines.domain.operations import OperationKind, Status
from tests.fakes.kubernetes_change import Change
from tests.fakes.kubernetes_fleet import NEW, OLD, Fleet, carry_out, operation
from tests.fakes.kubernetes_watched import Death

pytestmark = [pytest.mark.real, pytest.mark.slow]
DEATHS = list(Death)


def dies_at_every_other_change(fleet: Fleet, death: Death, *, first: int) -> None:
    for change in range(first, 40, 2):
        fleet.watch.dies(change, death)


@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_an_update_a_restart_and_the_way_back_are_each_done_once(death: Death, kind: str) -> None:
    fleet = Fleet()
    target = fleet.deploy(kind=kind)
    before = fleet.operator().capture(target)
    images, generations = [], [fleet.get(target)["metadata"]["generation"]]
    numbers = count(1)

    for wanted in (OperationKind.ROLLING_UPDATE, OperationKind.REBOOT, OperationKind.RESTORE):
        fleet.watch.dies(0, death)
        progress = carry_out(
            fleet, operation(wanted, target, number=next(numbers), image=NEW, before=before)
        )
        assert progress.status is Status.SUCCEEDED, progress.detail
        images.append(fleet.image_of(target))
        generations.append(fleet.get(target)["metadata"]["generation"])

    assert images == [NEW, NEW, OLD]
    assert [b - a for a, b in pairwise(generations)] == [1, 1, 1]
    assert not fleet.watch.deaths


@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("first", [0, 1])
def test_a_blue_green_change_is_carried_to_its_end_once(death: Death, first: int) -> None:
    fleet = Fleet()
    target = fleet.deploy()
    fleet.service()
    fleet.service("inside", app="web")
    change = Change(fleet, target)
    dies_at_every_other_change(fleet, death, first=first)

    change.done(change.start())
    made = fleet.get(change.side)["metadata"]["uid"]
    change.done(change.switch())
    assert fleet.get(change.side)["metadata"]["uid"] == made
    assert fleet.revision(change.side) == 1
    change.done(change.finalise())

    change.is_all_there_is()
    assert fleet.revision(target) == 2


@pytest.mark.parametrize("death", DEATHS)
@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("switched", [False, True])
def test_a_blue_green_change_is_taken_back_whole(death: Death, first: int, switched: bool) -> None:
    fleet = Fleet()
    target = fleet.deploy()
    fleet.service()
    change = Change(fleet, target)
    change.done(change.start())
    if switched:
        change.done(change.switch())
    dies_at_every_other_change(fleet, death, first=first)

    change.done(change.restore())

    change.never_was()
    assert fleet.revision(target) == 1
    assert not fleet.there(change.side)


@pytest.mark.parametrize("asked", range(4))
def test_a_start_that_was_left_at_any_change_is_taken_back(asked: int) -> None:
    fleet = Fleet()
    target = fleet.deploy()
    fleet.service()
    change = Change(fleet, target)
    operator = fleet.operator()
    for _ in range(asked):
        operator.advance(change.start())

    change.done(change.restore())

    change.never_was()
    assert fleet.images_running() == {OLD}


@pytest.mark.parametrize("asked", range(4))
def test_a_switch_that_was_left_between_two_services_is_taken_back(asked: int) -> None:
    fleet = Fleet()
    target = fleet.deploy()
    fleet.service()
    fleet.service("inside", app="web")
    change = Change(fleet, target)
    change.done(change.start())
    operator = fleet.operator()
    for _ in range(asked):
        operator.advance(change.switch())

    change.done(change.restore())

    change.never_was()
    assert fleet.served("inside") == {OLD}


@pytest.mark.parametrize("changes", range(1, 4))
def test_a_finalising_that_was_left_can_still_be_taken_back_while_the_new_side_is_there(
    changes: int,
) -> None:
    fleet = Fleet()
    target = fleet.deploy()
    fleet.service()
    change = Change(fleet, target)
    change.done(change.start())
    change.done(change.switch())
    fleet.watch.dies(changes - 1, Death.AFTER)
    with pytest.raises(AssertionError, match="not done"):
        carry_out(fleet, change.finalise(), most=1)
    while len(fleet.watch.deaths):
        with pytest.raises(AssertionError, match="not done"):
            carry_out(fleet, change.finalise(), most=1)

    change.done(change.restore())

    change.never_was()
