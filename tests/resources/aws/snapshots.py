"""Machines patched with snapshots first, and what is then on their volumes."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qlrf_pipelines.domain.operations import (
    RESTORE_SNAPSHOT,
    ROLLBACK,
    Operation,
    OperationKind,
    Progress,
)
from qlrf_pipelines.ports.executors import Operator
from tests.fakes.moto_aws import OWN, MotoAws
from tests.resources.aws.machines import REGION, Machine, described, operation, well_equipped

WITH_SNAPSHOTS = {ROLLBACK: RESTORE_SNAPSHOT}
ROOT, DATA = "/dev/sda1", "/dev/sdf"
BOTH_OURS = {ROOT: ["ours"], DATA: ["ours"]}
BOTH_PATCHED = {ROOT: ["ours", "patched"], DATA: ["ours", "patched"]}


def equipped(moto: MotoAws) -> Machine:
    """A machine with a fast data volume, and something written to both of its volumes."""
    made = well_equipped(moto)
    ec2 = moto.client("ec2")
    ec2.modify_volume(VolumeId=made.data_volume, VolumeType="io1", Iops=500, Size=5)
    ec2.create_tags(Resources=[made.data_volume], Tags=[{"Key": "Name", "Value": "data"}])
    moto.execution.disks.write(OWN, REGION, made.target.id, "ours")
    return made


def patch(operator: Operator, machine: Machine, **fields: Any) -> Operation:
    """A patch of a machine with snapshots first."""
    return operation(
        OperationKind.PATCH_IN_PLACE,
        machine.target,
        before=operator.capture(machine.target),
        parameters=WITH_SNAPSHOTS,
        **fields,
    )


def way_back(patched: Operation, **fields: Any) -> Operation:
    """The restore of a patch."""
    return operation(
        OperationKind.RESTORE, patched.target, number=2, before=patched.before, **fields
    )


def last(patched: Operation) -> Operation:
    """The finalising of a patch."""
    return operation(OperationKind.FINALISE, patched.target, number=3, before=patched.before)


def snapshots(moto: MotoAws, machine: Machine) -> list[Mapping[str, Any]]:
    """The snapshots of a machine from before any patch."""
    found: list[Mapping[str, Any]] = moto.client("ec2").describe_snapshots(
        Filters=[{"Name": "tag:qlrf:before", "Values": [machine.target.id]}]
    )["Snapshots"]
    return found


def disks(moto: MotoAws, machine: Machine) -> dict[str, str]:
    """The volume at each device of a machine."""
    found = described(moto, machine.target.id)["BlockDeviceMappings"]
    return {item["DeviceName"]: item["Ebs"]["VolumeId"] for item in found}


def contents(moto: MotoAws, machine: Machine) -> dict[str, list[str]]:
    """What is on the volume at each device."""
    return {
        device: moto.execution.disks.contents[volume]
        for device, volume in disks(moto, machine).items()
    }


def volume(moto: MotoAws, name: str) -> dict[str, Any]:
    """A volume as EC2 describes it."""
    found: dict[str, Any] = moto.client("ec2").describe_volumes(VolumeIds=[name])["Volumes"][0]
    return found


def state(moto: MotoAws, machine: Machine) -> str:
    """The state of a machine."""
    return str(described(moto, machine.target.id)["State"]["Name"])


def tags_of(row: Mapping[str, Any]) -> dict[str, str]:
    """The tags of anything EC2 describes."""
    return {tag["Key"]: tag["Value"] for tag in row.get("Tags", ())}


def advanced(operator: Operator, wanted: Operation, calls: int) -> tuple[Operation, Progress]:
    """An operation after some calls, and what the last of them said."""
    for _ in range(calls):
        progress = operator.advance(wanted)
        wanted = replace(wanted, begun=True, checkpoint=progress.checkpoint)
    return wanted, progress
