"""Moving what hangs on one instance to another, one call at a time, in either direction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qlrf_pipelines.domain.errors import NotFound, Unavailable
from qlrf_pipelines.domain.operations import Progress
from resources.clouds.aws.captured import Captured, targets_of
from resources.clouds.aws.hands import Hands, Instance, is_gone, state_of
from resources.clouds.aws.said import failed, under_way


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """From one instance, if it is still there, to another, by what was captured before."""

    hands: Hands
    before: Captured
    source: Instance | None
    goal: Instance

    @property
    def goal_id(self) -> str:
        """The instance that gets everything."""
        return str(self.goal["InstanceId"])

    @property
    def source_id(self) -> str | None:
        """The instance that gives everything away."""
        return str(self.source["InstanceId"]) if self.source else None


Step = Callable[[Move], Progress | None]


def walk(move: Move, steps: Sequence[Step]) -> Progress | None:
    """The first step that is not done yet, taken; None if all are done."""
    for step in steps:
        taken = step(move)
        if taken is not None:
            return taken
    return None


def goal_runs(move: Move) -> Progress | None:
    """The goal is started, and both of EC2's status checks are passed."""
    state = state_of(move.goal)
    if is_gone(move.goal):
        why = move.goal.get("StateReason", {}).get("Message", "no reason given")
        return failed(f"{move.goal_id} has ended: {why}.")
    if state == "stopped":
        move.hands.call("ec2", "start_instances", InstanceIds=[move.goal_id])
        return under_way(f"{move.goal_id} is started.")
    if state != "running":
        return under_way(f"{move.goal_id} is {state}.")
    return checks_passed(move.hands, move.goal_id)


def checks_passed(hands: Hands, instance_id: str) -> Progress | None:
    """Both of EC2's status checks of a running instance are passed."""
    found = status_of(hands, instance_id)
    if "impaired" in found:
        return failed(f"{instance_id} does not pass EC2's status checks: {', '.join(found)}.")
    if found != ("ok", "ok"):
        return under_way(f"{instance_id} runs; its status checks are not done.", seconds=10)
    return None


def status_of(hands: Hands, instance_id: str) -> tuple[str, ...]:
    """What EC2's two checks say: of the instance, and of the system below it."""
    answer = hands.call(
        "ec2", "describe_instance_status", InstanceIds=[instance_id], IncludeAllInstances=True
    )
    if not answer["InstanceStatuses"]:
        return ()
    found = answer["InstanceStatuses"][0]
    return found["InstanceStatus"]["Status"], found["SystemStatus"]["Status"]


def source_stopped(move: Move) -> Progress | None:
    """The source is stopped, or gone."""
    if move.source is None or is_gone(move.source) or state_of(move.source) == "stopped":
        return None
    if state_of(move.source) != "stopping":
        move.hands.call("ec2", "stop_instances", InstanceIds=[move.source_id])
    return under_way(f"{move.source_id} is being stopped.")


def volumes_moved(move: Move) -> Progress | None:
    """Every data volume is attached to the goal, at its own device."""
    wanted = [v for v in move.before["volumes"] if v["device"] != move.before["root_device"]]
    if not wanted:
        return None
    answer = move.hands.call("ec2", "describe_volumes", VolumeIds=[v["id"] for v in wanted])
    found = {item["VolumeId"]: item for item in answer["Volumes"]}
    for volume in wanted:
        taken = _volume(move, volume, found[volume["id"]])
        if taken is not None:
            return taken
    return None


def _volume(move: Move, volume: Mapping[str, Any], found: Mapping[str, Any]) -> Progress | None:
    attached = next(iter(found.get("Attachments", ())), None)
    name = volume["id"]
    if attached is None:
        move.hands.call(
            "ec2",
            "attach_volume",
            VolumeId=name,
            InstanceId=move.goal_id,
            Device=volume["device"],
        )
        return under_way(f"{name} is attached to {move.goal_id} at {volume['device']}.")
    if attached["State"] in ("attaching", "detaching", "busy"):
        return under_way(f"{name} is {attached['State']}.")
    if attached["InstanceId"] == move.goal_id:
        return None
    if attached["InstanceId"] != move.source_id:
        return failed(f"{name} was attached to {attached['InstanceId']} by somebody else.")
    move.hands.call("ec2", "detach_volume", VolumeId=name, InstanceId=attached["InstanceId"])
    return under_way(f"{name} is detached from {attached['InstanceId']}.")


def interfaces_moved(move: Move) -> Progress | None:
    """Every network interface but the first, which AWS never lets go, is attached to the goal."""
    wanted = move.before["interfaces"]
    if not wanted:
        return None
    answer = move.hands.call(
        "ec2", "describe_network_interfaces", NetworkInterfaceIds=[item["id"] for item in wanted]
    )
    found = {item["NetworkInterfaceId"]: item for item in answer["NetworkInterfaces"]}
    for interface in wanted:
        taken = _interface(move, interface, found[interface["id"]].get("Attachment") or {})
        if taken is not None:
            return taken
    return None


def _interface(
    move: Move, interface: Mapping[str, Any], attached: Mapping[str, Any]
) -> Progress | None:
    name, holder = interface["id"], attached.get("InstanceId")
    if not attached or attached.get("Status") == "detached":
        move.hands.call(
            "ec2",
            "attach_network_interface",
            NetworkInterfaceId=name,
            InstanceId=move.goal_id,
            DeviceIndex=interface["index"],
        )
        return under_way(f"{name} is attached to {move.goal_id}.")
    if attached.get("Status") in ("attaching", "detaching"):
        return under_way(f"{name} is {attached['Status']}.")
    if holder == move.goal_id:
        return None
    if holder != move.source_id:
        return failed(f"{name} was attached to {holder} by somebody else.")
    try:
        move.hands.call("ec2", "detach_network_interface", AttachmentId=attached["AttachmentId"])
    except NotFound:
        # Detached already: the answer was lost, and the SDK asked again.
        return under_way(f"{name} is not at {holder} any more; it is looked at again.", seconds=2)
    return under_way(f"{name} is detached from {holder}.")


def address_moved(move: Move) -> Progress | None:
    """The elastic address leads to the goal."""
    wanted = move.before["elastic_address"]
    if wanted is None:
        return None
    answer = move.hands.call("ec2", "describe_addresses", AllocationIds=[wanted])
    holder = answer["Addresses"][0].get("InstanceId")
    if holder == move.goal_id:
        return None
    if holder not in (None, "", move.source_id):
        return failed(f"{wanted} was associated with {holder} by somebody else.")
    lead_address(move.hands, wanted, move.goal)
    return under_way(f"{wanted} leads to {move.goal_id}.")


def lead_address(hands: Hands, allocation: str, instance: Instance) -> None:
    """Let an elastic address lead to an instance; doing it twice is doing it once.

    By its first interface, where the address was: EC2 takes an instance only if it has no other.

    Raises:
        Unavailable: EC2 does not show the interface yet, or did not answer.
    """
    first = next(
        (
            item["NetworkInterfaceId"]
            for item in instance.get("NetworkInterfaces", ())
            if item["Attachment"]["DeviceIndex"] == 0
        ),
        None,
    )
    if first is None:
        name = instance["InstanceId"]
        raise Unavailable(f"EC2 shows no first interface of {name}; it is asked again later.")
    hands.call(
        "ec2",
        "associate_address",
        AllocationId=allocation,
        NetworkInterfaceId=first,
        AllowReassociation=True,
    )


def targets_moved(move: Move) -> Progress | None:
    """The goal is in every target group the instance was in, and the source in none of them."""
    for group in move.before["target_groups"]:
        there = {(t["Id"], t.get("Port")) for t in targets_of(move.hands, group["arn"])}
        goal, source = target_in(group, move.goal), move.source and target_in(group, move.source)
        if goal not in there:
            change_target(move.hands, "register_targets", group, goal)
            return under_way(f"{move.goal_id} joins {group['arn']}.")
        if source and source in there:
            change_target(move.hands, "deregister_targets", group, source)
            return under_way(f"{move.source_id} leaves {group['arn']}.")
    return None


def target_in(group: Mapping[str, Any], instance: Instance) -> tuple[str, int | None]:
    """What an instance is in a captured target group: by its id or its address, with the port."""
    by_id = group["by"] == "instance"
    name = instance["InstanceId"] if by_id else instance.get("PrivateIpAddress")
    return str(name), group["port"]


def change_target(
    hands: Hands, method: str, group: Mapping[str, Any], target: tuple[str, int | None]
) -> None:
    """Register a target, or deregister it; doing it twice is doing it once."""
    name, port = target
    given = {"Id": name} | ({"Port": port} if port else {})
    # The goal is in the same subnet. Only addresses have one, and one from outside must have it.
    if group["by"] == "ip" and group.get("zone"):
        given["AvailabilityZone"] = group["zone"]
    hands.call("elbv2", method, TargetGroupArn=group["arn"], Targets=[given])
