"""Launching an instance of another image that is otherwise like the captured one.

RunInstances has the operation's token as its client token, and what it makes carries it as a tag:
so asking again finds the same instance.
"""

from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import Operation
from resources.clouds.aws.captured import Captured
from resources.clouds.aws.hands import OPERATION, REPLACES, Hands, tags_of
from resources.clouds.aws.volumes import like, volumes_named

# Ours speak of one operation, and AWS refuses to let anybody write its own.
FOREIGN = ("aws:", "qlrf:")


def launch(
    hands: Hands,
    operation: Operation,
    *,
    public: bool | None = None,
    tags: Mapping[str, str] | None = None,
) -> str:
    """Start an instance of the operation's image; its id. `public` is as captured if not given.

    Raises:
        Rejected: there is no such image; nothing was done.
        Unavailable: EC2 did not answer; asking again starts no second one.
    """
    image = _image(hands, operation)
    described = _description(hands, operation, image, public=public, tags=tags or {})
    answer = hands.call("ec2", "run_instances", **described)
    return str(answer["Instances"][0]["InstanceId"])


def _image(hands: Hands, operation: Operation) -> dict[str, Any]:
    if not operation.image:
        raise Rejected(f"{operation.target.key}: name the image to replace it with.")
    answer = hands.call(
        "ec2", "describe_images", Filters=[{"Name": "image-id", "Values": [operation.image]}]
    )
    images = [i for i in answer["Images"] if i.get("State", "available") == "available"]
    if not images:
        raise Rejected(f"There is no image {operation.image} in {hands.region}; share or copy it.")
    found: dict[str, Any] = images[0]
    return found


def _description(
    hands: Hands,
    operation: Operation,
    image: dict[str, Any],
    *,
    public: bool | None,
    tags: Mapping[str, str],
) -> dict[str, Any]:
    before = operation.before
    user_data = hands.call(
        "ec2", "describe_instance_attribute", InstanceId=before["id"], Attribute="userData"
    ).get("UserData", {})
    interface = {
        "DeviceIndex": 0,
        "SubnetId": before["subnet"],
        "Groups": before["security_groups"],
        "AssociatePublicIpAddress": before["public"] if public is None else public,
    }
    old_root, left_out = _old_root(hands, before), _left_out(before, image)
    optional = {
        "KeyName": before["key_name"],
        "UserData": _decoded(user_data.get("Value")),
        "MetadataOptions": before["metadata"],
        "BlockDeviceMappings": [*_root(old_root, image), *left_out],
        "IamInstanceProfile": before["profile"] and {"Arn": before["profile"]},
    }
    return {
        "ImageId": operation.image,
        "MinCount": 1,
        "MaxCount": 1,
        "ClientToken": operation.token,
        "InstanceType": before["type"],
        "NetworkInterfaces": [interface],
        "EbsOptimized": before["ebs_optimized"],
        "Monitoring": {"Enabled": before["monitoring"]},
        "TagSpecifications": _tags(operation, tags, _root_tags(old_root, image, left_out)),
        **{name: value for name, value in optional.items() if value},
    }


def _decoded(value: str | None) -> bytes | None:
    # EC2 gives it in base64 and the SDK writes base64: what is sent is what it was.
    import base64

    return base64.b64decode(value) if value else None


def _old_root(hands: Hands, before: Captured) -> Mapping[str, Any] | None:
    old = [v["id"] for v in before["volumes"] if v["device"] == before["root_device"]]
    return volumes_named(hands, old).get(old[0]) if old else None


def _root(old: Mapping[str, Any] | None, image: dict[str, Any]) -> list[dict[str, Any]]:
    device = image.get("RootDeviceName")
    if old is None or not device:
        return []
    ebs: dict[str, Any] = next(
        (m.get("Ebs", {}) for m in image["BlockDeviceMappings"] if m.get("DeviceName") == device),
        {},
    )
    root = like(old)
    root["VolumeSize"] = max(root.pop("Size"), int(ebs.get("VolumeSize") or 0))
    return [{"DeviceName": device, "Ebs": root | {"DeleteOnTermination": True}}]


def _left_out(before: Captured, image: dict[str, Any]) -> list[dict[str, Any]]:
    """The image's own volumes where a data volume of the old machine is to be attached."""
    taken = {v["device"] for v in before["volumes"] if v["device"] != before["root_device"]}
    brought = [m.get("DeviceName") for m in image["BlockDeviceMappings"]]
    return [
        {"DeviceName": device, "NoDevice": ""}
        for device in brought
        if device in taken and device != image.get("RootDeviceName")
    ]


def _root_tags(
    old: Mapping[str, Any] | None, image: dict[str, Any], left_out: list[dict[str, Any]]
) -> dict[str, str]:
    """The old root's own tags, unless other volumes are made: one set goes on all of them."""
    without = {image.get("RootDeviceName"), *(item["DeviceName"] for item in left_out)}
    more = [m for m in image["BlockDeviceMappings"] if m.get("DeviceName") not in without]
    return {} if old is None or any("Ebs" in m for m in more) else _kept(tags_of(old))


def _kept(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if not key.startswith(FOREIGN)}


def _tags(
    operation: Operation, more: Mapping[str, str], root: Mapping[str, str]
) -> list[dict[str, Any]]:
    only = {OPERATION: operation.token}
    ours = {**only, REPLACES: operation.before["id"], **more}
    return [
        {"ResourceType": "instance", "Tags": _written(_kept(operation.before["tags"]) | ours)},
        {"ResourceType": "volume", "Tags": _written({**root, **only})},
        {"ResourceType": "network-interface", "Tags": _written(only)},
    ]


def _written(tags: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
