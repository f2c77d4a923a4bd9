"""What an instance is, as JSON: all that is needed to bring it back, and no secret.

User data may hold secrets, so it is read from the old instance when it is needed, never kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from resources.clouds.aws.hands import Hands, Instance, state_of, tags_of
from resources.clouds.aws.refreshing import group_of

Captured = Mapping[str, Any]
LEAST_PATIENCE = 300


def capture_instance(hands: Hands, instance_id: str) -> Captured:
    """An instance, what hangs on it, and the group it belongs to.

    Raises:
        NotFound: there is no such instance.
        Unavailable: AWS did not answer.
    """
    found = hands.instance(instance_id)
    group = group_of(hands, instance_id)
    return {
        **_machine(found),
        **_network(hands, found),
        "volumes": _volumes(found),
        "tags": tags_of(found),
        "target_groups": [] if group else memberships(hands, found),
        "group": group,
    }


def _machine(found: Instance) -> dict[str, Any]:
    return {
        "id": found["InstanceId"],
        "state": state_of(found),
        "image": found["ImageId"],
        "type": found["InstanceType"],
        "key_name": found.get("KeyName"),
        "profile": found.get("IamInstanceProfile", {}).get("Arn"),
        "monitoring": found.get("Monitoring", {}).get("State") in ("enabled", "pending"),
        "ebs_optimized": bool(found.get("EbsOptimized")),
        "metadata": _metadata(found.get("MetadataOptions", {})),
        "root_device": found.get("RootDeviceName"),
        "root_type": found.get("RootDeviceType"),
        "lifecycle": found.get("InstanceLifecycle"),
        "zone": found["Placement"]["AvailabilityZone"],
    }


def _metadata(options: Mapping[str, Any]) -> dict[str, Any]:
    names = ("HttpTokens", "HttpPutResponseHopLimit", "HttpEndpoint", "InstanceMetadataTags")
    return {name: options[name] for name in names if options.get(name)}


def _network(hands: Hands, found: Instance) -> dict[str, Any]:
    interfaces = sorted(
        found.get("NetworkInterfaces", ()), key=lambda item: item["Attachment"]["DeviceIndex"]
    )
    addresses = hands.call(
        "ec2",
        "describe_addresses",
        Filters=[{"Name": "instance-id", "Values": [found["InstanceId"]]}],
    )["Addresses"]
    elastic = [a for a in addresses if a.get("PrivateIpAddress") == found.get("PrivateIpAddress")]
    first = interfaces[0] if interfaces else {}
    return {
        "subnet": found.get("SubnetId"),
        "security_groups": [group["GroupId"] for group in found.get("SecurityGroups", ())],
        "private_address": found.get("PrivateIpAddress"),
        "more_private_addresses": len(first.get("PrivateIpAddresses", ())) - 1,
        "public": bool(found.get("PublicIpAddress")) and not elastic,
        "elastic_address": elastic[0].get("AllocationId") if elastic else None,
        "interfaces": [
            {"id": item["NetworkInterfaceId"], "index": item["Attachment"]["DeviceIndex"]}
            for item in interfaces[1:]
        ],
    }


def _volumes(found: Instance) -> list[dict[str, Any]]:
    return [
        {"id": item["Ebs"]["VolumeId"], "device": item["DeviceName"]}
        for item in found.get("BlockDeviceMappings", ())
    ]


def memberships(hands: Hands, found: Instance) -> list[dict[str, Any]]:
    """What every target group of its network says of an instance, without those it is leaving.

    Raises:
        Unavailable: a group could not be read.
    """
    mine = {"instance": found["InstanceId"], "ip": found.get("PrivateIpAddress")}
    there = []
    for group in hands.every("elbv2", "describe_target_groups", "TargetGroups"):
        if group.get("VpcId") != found.get("VpcId") or group.get("TargetType") not in mine:
            continue
        for item in target_health(hands, group["TargetGroupArn"]):
            if item["Target"]["Id"] == mine[group["TargetType"]] and not _leaves(item):
                there.append(_membership(group, item))
    return there


def led_from_elsewhere(hands: Hands, found: Instance) -> list[str]:
    """The target groups of other networks that lead to an instance by its address.

    They are not captured: what they would have to be told of its replacement is theirs to know.

    Raises:
        Unavailable: a group could not be read.
    """
    mine = found.get("PrivateIpAddress")
    if mine is None:
        return []
    there = []
    for group in hands.every("elbv2", "describe_target_groups", "TargetGroups"):
        if group.get("TargetType") != "ip" or group["VpcId"] == found.get("VpcId"):
            continue
        known = [t["Id"] for t in targets_of(hands, group["TargetGroupArn"])]
        if mine in known and not _is_there_too(hands, group["VpcId"], mine):
            there.append(str(group["TargetGroupArn"]))
    return there


def _is_there_too(hands: Hands, network: str, address: str) -> bool:
    # Networks may have the same addresses: the one of the group's own machine is meant then.
    wanted = {"vpc-id": network, "addresses.private-ip-address": address}
    filters = [{"Name": name, "Values": [value]} for name, value in wanted.items()]
    found = hands.call("ec2", "describe_network_interfaces", Filters=filters)
    return bool(found["NetworkInterfaces"])


def _membership(group: Mapping[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "arn": group["TargetGroupArn"],
        "by": group["TargetType"],
        "port": item["Target"].get("Port"),
        "zone": item["Target"].get("AvailabilityZone"),
        "health": item.get("TargetHealth", {}).get("State"),
        "patience": _patience(group),
    }


def _patience(group: Mapping[str, Any]) -> int:
    """The seconds in which a group has judged a target twice over, at the least five minutes."""
    looks = sum(int(group.get(f"{way}ThresholdCount", 5)) for way in ("Healthy", "Unhealthy"))
    return max(LEAST_PATIENCE, 2 * looks * int(group.get("HealthCheckIntervalSeconds", 30)))


def target_health(hands: Hands, arn: str) -> Sequence[Mapping[str, Any]]:
    """Every target of a target group with its health, also those that are leaving it."""
    answer = hands.call("elbv2", "describe_target_health", TargetGroupArn=arn)
    found: Sequence[Mapping[str, Any]] = answer["TargetHealthDescriptions"]
    return found


def targets_of(hands: Hands, arn: str) -> Sequence[Mapping[str, Any]]:
    """The targets of a target group, without those that are leaving it."""
    return [item["Target"] for item in target_health(hands, arn) if not _leaves(item)]


def _leaves(item: Mapping[str, Any]) -> bool:
    return bool(item.get("TargetHealth", {}).get("State") == "draining")
