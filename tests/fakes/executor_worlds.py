"""Fleets as the promises of executors need them: in memory, on moto, and on a real cluster."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

import pytest

from qlrf_pipelines.domain.estate import Connector
from qlrf_pipelines.domain.operations import (
    NEW_SIDE,
    Operation,
    OperationKind,
    Progress,
    Status,
    Target,
    target_of,
)
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.executors import Executor, Operator
from tests.fakes.executor import FakeExecutor
from tests.fakes.kubernetes_fleet import CLUSTER, NEW, Fleet, Patient
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
    """A fleet, its executor, what really happened, how it renews an image, and what it lacks."""

    executor: Executor
    renews = OperationKind.REPLACE_WITH_IMAGE
    lacks: Collection[OperationKind] = ()

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


class KubernetesWorld(ExecutorWorld):
    """Deployments; an update and a restart each make a revision."""

    renews = OperationKind.ROLLING_UPDATE
    lacks = (OperationKind.PATCH_IN_PLACE,)

    def __init__(self) -> None:
        self.fleet = Fleet()
        self.executor = self.fleet.executor
        self._deployed: list[Target] = []

    def connector(self) -> Connector:
        return self.fleet.connector()

    def operator(self) -> Operator:
        return Patient(self.fleet, self.executor.operator(self.connector(), CLUSTER))

    def machine(self) -> Target:
        name = f"web-{len(self._deployed)}"
        self._deployed.append(self.fleet.deploy(name, replicas=1))
        self.fleet.service(name)
        return self._deployed[-1]

    def image(self) -> str:
        return NEW

    def image_of(self, target: Target) -> str:
        return self.fleet.image_of(target)

    def runs(self, target: Target) -> bool:
        return self.fleet.there(target) and self.fleet.is_ready(target)

    def patched(self, target: Target) -> bool:
        return False

    def serves(self, target: Target) -> bool:
        return any(self.fleet.slices(one) & self.fleet.pods_of(target) for one in self._names())

    def effects(self, kind: OperationKind) -> int:
        if kind is OperationKind.START_BESIDE:
            return sum(self.fleet.revision(side) for side in self.fleet.sides())
        if kind is OperationKind.SWITCH:
            return sum(self.serves(side) for side in self.fleet.sides())
        return sum(self.fleet.revision(target) - 1 for target in self._deployed)

    def _names(self) -> list[str]:
        return [target.id.removeprefix("deployment/") for target in self._deployed]


WORLDS = [FakeWorld, MotoWorld, pytest.param(KubernetesWorld, marks=pytest.mark.real)]


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
    if kind in world.lacks:
        pytest.skip(f"nothing is done by {kind} there")
    image = world.image() if kind in LAUNCHES else None
    kind = world.renews if kind is OperationKind.REPLACE_WITH_IMAGE else kind
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


def gone_from(world: ExecutorWorld) -> Target:
    there = world.machine()
    return replace(there, id=f"{there.id[:-1]}{'0' * 16}")
