"""Moto's volumes with contents, and with the refusals of EC2 that moto does not know.

What is written to a machine is on its volumes, a snapshot has what its volume had, and a volume
made from it has that again: so a test sees whether what was there is really back.
"""

from collections import Counter
from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.exceptions import EC2ClientError
from moto.ec2.models import ec2_backends
from moto.ec2.responses import EC2Response

_CALLS = (
    "create_snapshots",
    "describe_snapshots",
    "create_volume",
    "attach_volume",
    "detach_volume",
)
_EC2 = {name: getattr(EC2Response, name) for name in _CALLS}


class Disks:
    """What is written where, and how EC2 is to behave."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Empty volumes everywhere, and snapshots that are complete at once."""
        self.contents: dict[str, list[str]] = {}
        self.snapshots: dict[str, list[str]] = {}
        self.made: dict[str, Any] = {}
        self.polls = 0
        self.state = "completed"

    def write(self, account: str, region: str, instance_id: str, what: str) -> None:
        """Write something to every volume of a machine."""
        instance = ec2_backends[account][region].get_instance(instance_id)
        for disk in instance.block_device_mapping.values():
            self.contents[disk.volume_id] = [*self.contents.get(disk.volume_id, ()), what]


def extend_moto_for_snapshots(disks: Disks, effects: Counter[str]) -> None:
    """Let moto's own server keep contents, count what is made, and refuse what EC2 refuses."""
    _extend_snapshots(disks, effects)
    _extend_volumes(disks, effects)
    EC2Response.attach_volume = _attach_volume
    EC2Response.detach_volume = _detach_volume


def _extend_snapshots(disks: Disks, effects: Counter[str]) -> None:
    def create_snapshots(self: Any) -> Any:
        effects["create_snapshots"] += 1
        result = _EC2["create_snapshots"](self)
        for snapshot in result.result["Snapshots"]:
            disks.snapshots[snapshot.id] = list(disks.contents.get(snapshot.volume.id, ()))
        return result

    def describe_snapshots(self: Any) -> Any:
        result = _EC2["describe_snapshots"](self)
        ours = [found for found in result.result["Snapshots"] if found.id in disks.snapshots]
        disks.polls -= bool(ours)
        for found in ours:
            found.status = "pending" if disks.polls >= 0 else disks.state
        return result

    EC2Response.create_snapshots = create_snapshots
    EC2Response.describe_snapshots = describe_snapshots


def _extend_volumes(disks: Disks, effects: Counter[str]) -> None:
    def create_volume(self: Any) -> Any:
        token, snapshot = self._get_param("ClientToken"), self._get_param("SnapshotId")
        if token and token in disks.made:
            return ActionResult(disks.made[token])
        result = _EC2["create_volume"](self)
        effects["create_volume"] += 1
        disks.contents[result.result.id] = list(disks.snapshots.get(snapshot, ()))
        if token:
            disks.made[token] = result.result
        return result

    EC2Response.create_volume = create_volume


def _attach_volume(self: Any) -> Any:
    volume = self.ec2_backend.get_volume(self._get_param("VolumeId"))
    instance = self.ec2_backend.get_instance(self._get_param("InstanceId"))
    device = self._get_param("Device")
    if volume.attachment:
        raise EC2ClientError("VolumeInUse", f"{volume.id} is already attached")
    if device in instance.block_device_mapping:
        raise EC2ClientError("InvalidParameterValue", f"{device} is already in use")
    if volume.zone.name != instance._placement.zone:
        raise EC2ClientError("InvalidVolume.ZoneMismatch", f"{volume.id} is elsewhere")
    return _EC2["attach_volume"](self)


def _detach_volume(self: Any) -> Any:
    held = self.ec2_backend.get_volume(self._get_param("VolumeId")).attachment
    is_root = held and held.device == held.instance.root_device_name
    if is_root and held.instance._state.name != "stopped":
        raise EC2ClientError("OperationNotPermitted", "the root of a machine that runs")
    return _EC2["detach_volume"](self)
