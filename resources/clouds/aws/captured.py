"""What an instance is, as JSON: all that is needed to bring it back, and no secret.

User data may hold secrets, so it is read from the old instance when it is needed, never kept.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from resources.clouds.aws.hands import Hands, Instance, state_of, tags_of
from resources.clouds.aws.refreshing import group_of

Captured = Mapping[str, Any]


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
        "target_groups": [] if group else _target_groups(hands, found),
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


def _target_groups(hands: Hands, found: Instance) -> list[dict[str, Any]]:
    mine = {"instance": found["InstanceId"], "ip": found.get("PrivateIpAddress")}
    memberships = []
    for group in hands.every("elbv2", "describe_target_groups", "TargetGroups"):
        if group.get("VpcId") != found.get("VpcId") or group.get("TargetType") not in mine:
            continue
        for target in targets_of(hands, group["TargetGroupArn"]):
            if target["Id"] == mine[group["TargetType"]]:
                memberships.append(
                    {
                        "arn": group["TargetGroupArn"],
                        "by": group["TargetType"],
                        "port": target.get("Port"),
                    }
                )
    return memberships


def targets_of(hands: Hands, arn: str) -> Sequence[Mapping[str, Any]]:
    """The targets of a target group, without those that are leaving it."""
    answer = hands.call("elbv2", "describe_target_health", TargetGroupArn=arn)
    return [
        item["Target"]
        for item in answer["TargetHealthDescriptions"]
        if item.get("TargetHealth", {}).get("State") != "draining"
    ]
