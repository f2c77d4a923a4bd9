"""What every executor promises: on the fake fleet, on AWS over moto, and on a real cluster."""

from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.errors import NotFound, Rejected
from qlrf_pipelines.domain.operations import (
    RESTORE_SNAPSHOT,
    ROLLBACK,
    Health,
    OperationKind,
    Status,
)
from tests.fakes.executor import Trouble
from tests.fakes.executor_worlds import (
    LAUNCHES,
    ONCE,
    WORLDS,
    ExecutorWorld,
    FakeWorld,
    carry_out,
    gone_from,
    operation,
    wanted_of,
)


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> ExecutorWorld:
    made: ExecutorWorld = request.param()
    return made


@pytest.mark.parametrize("kind", list(ONCE))
def test_an_operation_is_done_once(world: ExecutorWorld, kind: OperationKind) -> None:
    target = world.machine()

    progress = carry_out(world.operator(), wanted_of(world, kind, target))

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert world.effects(kind) == 1


@pytest.mark.parametrize("kind", list(ONCE))
def test_who_asks_again_after_it_is_done_hears_the_same(
    world: ExecutorWorld, kind: OperationKind
) -> None:
    wanted = wanted_of(world, kind, world.machine())
    carry_out(world.operator(), wanted)

    again = carry_out(world.operator(), replace(wanted, begun=True))

    assert again.status is Status.SUCCEEDED, again.detail
    assert world.effects(kind) == 1


@pytest.mark.parametrize("kind", list(ONCE))
@pytest.mark.parametrize("made", WORLDS)
@settings(
    max_examples=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(killed_at=st.sets(st.integers(min_value=0, max_value=8), max_size=4))
def test_who_is_killed_between_any_two_calls_never_does_it_twice(
    made: type[ExecutorWorld], kind: OperationKind, killed_at: set[int]
) -> None:
    world = made()
    wanted = wanted_of(world, kind, world.machine())

    progress = carry_out(world.operator(), wanted, killed_at=killed_at)

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert world.effects(kind) == 1


def test_two_tokens_are_two_operations(world: ExecutorWorld) -> None:
    target = world.machine()

    for number in (1, 2):
        carry_out(world.operator(), operation(OperationKind.REBOOT, target, number=number))

    assert world.effects(OperationKind.REBOOT) == 2


def test_a_replaced_asset_runs_the_image_and_says_where_it_is(world: ExecutorWorld) -> None:
    target = world.machine()
    wanted = wanted_of(world, OperationKind.REPLACE_WITH_IMAGE, target)

    progress = carry_out(world.operator(), wanted)

    there = replace(target, id=progress.asset_id or target.id)
    assert world.image_of(there) == wanted.image
    assert world.runs(there)


def test_restoring_brings_back_what_was_there(world: ExecutorWorld) -> None:
    target = world.machine()
    old = world.image_of(target)
    wanted = wanted_of(world, OperationKind.REPLACE_WITH_IMAGE, target)
    carry_out(world.operator(), wanted)

    back = operation(OperationKind.RESTORE, target, number=2, before=wanted.before)
    progress = carry_out(world.operator(), back)

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert (progress.asset_id or target.id) == target.id
    assert world.image_of(target) == old
    assert world.runs(target)


@pytest.mark.parametrize("made", WORLDS)
@settings(max_examples=8, deadline=None, derandomize=True)
@given(
    steps=st.integers(min_value=1, max_value=6),
    killed_at=st.sets(st.integers(min_value=0, max_value=8), max_size=4),
)
def test_restoring_works_from_the_middle_of_a_replacement_and_through_kills(
    made: type[ExecutorWorld], steps: int, killed_at: set[int]
) -> None:
    world = made()
    target = world.machine()
    old = world.image_of(target)
    wanted = wanted_of(world, OperationKind.REPLACE_WITH_IMAGE, target)
    for _ in range(steps):
        world.operator().advance(wanted)
        wanted = replace(wanted, begun=True)

    back = operation(OperationKind.RESTORE, target, number=2, before=wanted.before)
    progress = carry_out(world.operator(), back, killed_at=killed_at)

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert world.image_of(target) == old
    assert world.runs(target)


@pytest.mark.parametrize("killed_at", [(), (0, 2, 5), (1, 3, 4)], ids=str)
def test_a_patch_with_snapshots_is_taken_back_also_through_kills(
    world: ExecutorWorld, killed_at: tuple[int, ...]
) -> None:
    target = world.machine()
    wanted = replace(
        wanted_of(world, OperationKind.PATCH_IN_PLACE, target),
        parameters={ROLLBACK: RESTORE_SNAPSHOT},
    )
    done = carry_out(world.operator(), wanted, killed_at=killed_at)
    was_patched = world.patched(target)

    back = operation(OperationKind.RESTORE, target, number=2, before=wanted.before)
    progress = carry_out(world.operator(), back, killed_at=killed_at)

    assert done.status is progress.status is Status.SUCCEEDED, progress.detail
    assert was_patched
    assert not world.patched(target)
    assert world.runs(target)
    assert world.effects(OperationKind.PATCH_IN_PLACE) == 1


def test_an_asset_that_is_not_there_is_not_found(world: ExecutorWorld) -> None:
    gone = gone_from(world)

    with pytest.raises(NotFound):
        world.operator().capture(gone)


@pytest.mark.parametrize("kind", LAUNCHES)
def test_a_launch_without_an_image_is_rejected(world: ExecutorWorld, kind: OperationKind) -> None:
    target = world.machine()
    wanted = wanted_of(world, kind, target)

    with pytest.raises(Rejected, match="image"):
        world.operator().advance(replace(wanted, image=None))


def test_a_restore_of_nothing_captured_is_rejected(world: ExecutorWorld) -> None:
    with pytest.raises(Rejected, match="captur"):
        world.operator().advance(operation(OperationKind.RESTORE, world.machine()))


def test_a_check_of_what_is_not_there_is_unknown(world: ExecutorWorld) -> None:
    gone = gone_from(world)

    report = world.operator().check(gone, {"type": "cloud-status"})

    assert report.health is Health.UNKNOWN


def test_an_asset_says_how_it_is_and_where_it_can_be_reached(world: ExecutorWorld) -> None:
    target = world.machine()

    report = world.operator().check(target, {"type": "cloud-status"})

    assert report.health is Health.HEALTHY
    assert world.operator().address(target)


def test_the_fake_can_do_it_and_not_say_so() -> None:
    world = FakeWorld()
    target = world.machine()
    world.fake.fleet.trouble(target.key, Trouble.UNKNOWN)
    wanted = operation(OperationKind.REBOOT, target)

    first = world.operator().advance(wanted)
    again = world.operator().advance(replace(wanted, begun=True))

    assert first.status is again.status is Status.UNKNOWN
    assert world.effects(OperationKind.REBOOT) == 1
