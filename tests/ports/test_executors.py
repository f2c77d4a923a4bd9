"""What every executor promises, on the fake fleet and on AWS's adapter over moto."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.errors import NotFound, Rejected
from qlrf_pipelines.domain.estate import Connector
from qlrf_pipelines.domain.operations import (
    NEW_SIDE,
    RESTORE_SNAPSHOT,
    ROLLBACK,
    Health,
    Operation,
    OperationKind,
    Progress,
    Status,
    Target,
    target_of,
)
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.executors import Executor, Operator
from tests.fakes.executor import FakeExecutor, Trouble
from tests.fakes.moto_aws import OWN, aws_connector, aws_executor, moto_aws

MOST_CALLS = 60
DONE = (Status.SUCCEEDED, Status.FAILED, Status.UNKNOWN)
ONCE = {
    OperationKind.REPLACE_WITH_IMAGE: "run_instances",
    OperationKind.PATCH_IN_PLACE: "send_command",
    OperationKind.REBOOT: "reboot_instances",
    OperationKind.START_BESIDE: "run_instances",
    OperationKind.SWITCH: "register_targets",
}
LAUNCHES = (OperationKind.REPLACE_WITH_IMAGE, OperationKind.START_BESIDE)
STARTED = {"operation": str(OperationKind.START_BESIDE)}


class ExecutorWorld(ABC):
    """A fleet, an executor of it, and what really happened there."""

    executor: Executor

    @abstractmethod
    def machine(self) -> Target:
        """Start an asset."""

    @abstractmethod
    def image(self) -> str:
        """Another image."""

    @abstractmethod
    def image_of(self, target: Target) -> str:
        """The image an asset really runs."""

    @abstractmethod
    def runs(self, target: Target) -> bool:
        """Whether an asset really runs."""

    @abstractmethod
    def patched(self, target: Target) -> bool:
        """Whether patches are really on an asset."""

    @abstractmethod
    def serves(self, target: Target) -> bool:
        """Whether traffic is really led to an asset."""

    @abstractmethod
    def effects(self, kind: OperationKind) -> int:
        """How often this kind of thing was really done in this world."""

    def connector(self) -> Connector:
        """A connector into the fleet's account."""
        return aws_connector("http://127.0.0.1:1")

    def operator(self) -> Operator:
        """The hands in it."""
        return self.executor.operator(self.connector(), OWN)


class FakeWorld(ExecutorWorld):
    def __init__(self) -> None:
        self.executor = self.fake = FakeExecutor()
        self.fake.fleet.calls = 3

    def machine(self) -> Target:
        key = f"aws:{OWN}:us-east-1:i-{len(self.fake.fleet.assets)}"
        self.fake.fleet.add(key)
        return target_of(key)

    def image(self) -> str:
        return "image-new"

    def image_of(self, target: Target) -> str:
        return self.fake.fleet.assets[target.key].image

    def runs(self, target: Target) -> bool:
        return self.fake.fleet.assets[target.key].state == "running"

    def patched(self, target: Target) -> bool:
        return self.fake.fleet.assets[target.key].patched

    def serves(self, target: Target) -> bool:
        return self.fake.fleet.assets[target.key].serves

    def effects(self, kind: OperationKind) -> int:
        return sum(done is kind for _, done, _ in self.fake.fleet.log)


class MotoWorld(ExecutorWorld):
    def __init__(self) -> None:
        self.moto = moto_aws()
        self.moto.reset()
        self.executor = aws_executor()
        self._started = 0
        vpc = self.moto.client("ec2").describe_subnets()["Subnets"][0]["VpcId"]
        self._elb = self.moto.client("elbv2")
        self._group = self._elb.create_target_group(
            Name="web", Protocol="HTTP", Port=80, VpcId=vpc, TargetType="instance"
        )["TargetGroups"][0]["TargetGroupArn"]

    def connector(self) -> Connector:
        return aws_connector(self.moto.url)

    def machine(self) -> Target:
        (made,) = self.moto.run()
        self._elb.register_targets(TargetGroupArn=self._group, Targets=[{"Id": made}])
        self._started += 1
        return Target(platform=Platform.AWS, account=OWN, region="us-east-1", id=made)

    def image(self) -> str:
        return self.moto.image()

    def image_of(self, target: Target) -> str:
        return str(self._instance(target)["ImageId"])

    def runs(self, target: Target) -> bool:
        return bool(self._instance(target)["State"]["Name"] == "running")

    def patched(self, target: Target) -> bool:
        disks = [item["Ebs"]["VolumeId"] for item in self._instance(target)["BlockDeviceMappings"]]
        return any("patched" in self.moto.execution.disks.contents[disk] for disk in disks)

    def serves(self, target: Target) -> bool:
        answer = self._elb.describe_target_health(TargetGroupArn=self._group)
        return target.id in {item["Target"]["Id"] for item in answer["TargetHealthDescriptions"]}

    def effects(self, kind: OperationKind) -> int:
        done = self.moto.execution.effects[ONCE[kind]]
        return done - self._started if kind in (*LAUNCHES, OperationKind.SWITCH) else done

    def _instance(self, target: Target) -> Mapping[str, Any]:
        answer = self.moto.client("ec2").describe_instances(InstanceIds=[target.id])
        found: Mapping[str, Any] = answer["Reservations"][0]["Instances"][0]
        return found


WORLDS = [FakeWorld, MotoWorld]


@pytest.fixture(params=WORLDS)
def world(request: pytest.FixtureRequest) -> ExecutorWorld:
    made: ExecutorWorld = request.param()
    return made


def operation(kind: OperationKind, target: Target, *, number: int = 1, **fields: Any) -> Operation:
    return Operation(token=f"{number:064x}", kind=kind, target=target, **fields)


def carry_out(
    operator: Operator, wanted: Operation, *, killed_at: Collection[int] = ()
) -> Progress:
    """Ask until it is done; whoever asked is killed after these calls, before noting the answer."""
    for call in range(MOST_CALLS):
        progress = operator.advance(wanted)
        if call in killed_at:
            wanted = replace(wanted, begun=True)
            continue
        if progress.status in DONE:
            return progress
        wanted = replace(wanted, begun=True, checkpoint=progress.checkpoint)
    raise AssertionError(f"not done after {MOST_CALLS} calls: {progress.detail}")


def wanted_of(world: ExecutorWorld, kind: OperationKind, target: Target) -> Operation:
    """An operation of a kind; what has to be there for it is made first."""
    image = world.image() if kind in LAUNCHES else None
    before = world.operator().capture(target)
    wanted = operation(kind, target, image=image, before=before)
    if kind is not OperationKind.SWITCH:
        return wanted
    started = replace(wanted_of(world, OperationKind.START_BESIDE, target), token=f"{8:064x}")
    new = carry_out(world.operator(), started).asset_id
    return replace(wanted, parameters={NEW_SIDE: str(new)})


def both_sides(world: ExecutorWorld) -> tuple[Target, Target, Operation]:
    """An asset, the new side started beside it, and the switch to that."""
    old = world.machine()
    wanted = wanted_of(world, OperationKind.SWITCH, old)
    return old, replace(old, id=wanted.parameters[NEW_SIDE]), wanted


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


def test_finalising_a_switch_ends_the_old_side_and_before_it_nothing(world: ExecutorWorld) -> None:
    old, new, wanted = both_sides(world)
    last = operation(
        OperationKind.FINALISE, old, number=3, before=wanted.before, parameters=STARTED
    )

    early = carry_out(world.operator(), last)
    was_running = world.runs(old)
    carry_out(world.operator(), wanted)
    done = carry_out(world.operator(), replace(last, token=f"{4:064x}"))

    assert early.status is Status.FAILED
    assert was_running
    assert done.status is Status.SUCCEEDED, done.detail
    assert not world.runs(old)
    assert world.runs(new)
    assert world.serves(new)
    late = replace(last, kind=OperationKind.RESTORE, token=f"{5:064x}")
    assert carry_out(world.operator(), late).status is Status.FAILED


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
    gone = replace(world.machine(), id="i-0123456789abcdef0")

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
    gone = replace(world.machine(), id="i-0123456789abcdef0")

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
