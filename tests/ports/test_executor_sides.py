"""What every executor with two sides promises of them."""

from dataclasses import replace

import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import (
    NEW_SIDE,
    OperationKind,
    Status,
)
from tests.fakes.executor_worlds import (
    STARTED,
    WORLDS,
    ExecutorWorld,
    both_sides,
    carry_out,
    operation,
    wanted_of,
)


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> ExecutorWorld:
    made: ExecutorWorld = request.param()
    return made


def test_a_new_side_runs_the_image_beside_the_old_one_and_without_traffic(
    world: ExecutorWorld,
) -> None:
    old = world.machine()
    image = world.image_of(old)
    wanted = wanted_of(world, OperationKind.START_BESIDE, old)

    said = [carry_out(world.operator(), wanted), carry_out(world.operator(), wanted)]

    assert said[0].asset_id == said[1].asset_id
    new = replace(old, id=said[0].asset_id or "")
    assert new != old
    assert (world.image_of(old), world.image_of(new)) == (image, wanted.image)
    assert world.runs(old)
    assert world.runs(new)
    assert (world.serves(old), world.serves(new)) == (True, False)


def test_a_switch_gives_the_new_side_the_traffic_and_the_old_one_runs_on(
    world: ExecutorWorld,
) -> None:
    old, new, wanted = both_sides(world)

    progress = carry_out(world.operator(), wanted)

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert progress.asset_id == new.id
    assert (world.serves(old), world.serves(new)) == (False, True)
    assert world.runs(old)


def test_a_switch_to_what_was_not_started_beside_changes_nothing(world: ExecutorWorld) -> None:
    old, _, wanted = both_sides(world)
    other = world.machine()

    progress = carry_out(world.operator(), replace(wanted, parameters={NEW_SIDE: other.id}))

    assert progress.status is Status.FAILED
    assert world.serves(old)
    with pytest.raises(Rejected, match="new side"):
        world.operator().advance(replace(wanted, parameters={}))


@pytest.mark.parametrize("steps", range(6))
@pytest.mark.parametrize("killed_at", [(), (0, 2, 3, 5)], ids=str)
def test_from_the_middle_of_a_switch_the_old_side_is_brought_back_also_through_kills(
    world: ExecutorWorld, steps: int, killed_at: tuple[int, ...]
) -> None:
    old, new, wanted = both_sides(world)
    for _ in range(steps):
        world.operator().advance(wanted)
        wanted = replace(wanted, begun=True)

    back = operation(OperationKind.RESTORE, old, number=2, before=wanted.before, parameters=STARTED)
    progress = carry_out(world.operator(), back, killed_at=killed_at)

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert (progress.asset_id or old.id) == old.id
    assert world.serves(old)
    assert world.runs(old)
    assert not world.serves(new)
    assert not world.runs(new)


def test_finalising_a_switch_leaves_one_side_of_the_new_image_and_before_it_nothing_changes(
    world: ExecutorWorld,
) -> None:
    old, new, wanted = both_sides(world)
    images = [world.image_of(side) for side in (old, new)]
    last = operation(
        OperationKind.FINALISE, old, number=3, before=wanted.before, parameters=STARTED
    )

    early = carry_out(world.operator(), last)
    was_running = world.runs(old)
    carry_out(world.operator(), wanted)
    done = carry_out(world.operator(), replace(last, token=f"{4:064x}"))

    left = replace(new, id=done.asset_id or new.id)
    (ended,) = {old, new} - {left}
    assert early.status is Status.FAILED
    assert was_running
    assert done.status is Status.SUCCEEDED, done.detail
    assert world.image_of(left) == images[1]
    assert world.runs(left)
    assert world.serves(left)
    assert not world.runs(ended)


def test_after_finalising_the_old_image_is_brought_back_really_or_not_at_all(
    world: ExecutorWorld,
) -> None:
    old, _, wanted = both_sides(world)
    image = world.image_of(old)
    last = operation(
        OperationKind.FINALISE, old, number=3, before=wanted.before, parameters=STARTED
    )
    carry_out(world.operator(), wanted)
    carry_out(world.operator(), last)

    late = replace(last, kind=OperationKind.RESTORE, token=f"{5:064x}")
    progress = carry_out(world.operator(), late)

    if progress.status is not Status.FAILED:
        assert progress.status is Status.SUCCEEDED
        assert world.image_of(old) == image
        assert world.runs(old)
        assert world.serves(old)
