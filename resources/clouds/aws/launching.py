"""Launching an instance of another image that is otherwise like the captured one.

RunInstances has the operation's token as its client token, and what it makes carries it as a tag:
so asking again finds the same instance.
"""

from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import Operation
from resources.clouds.aws.captured import Captured
from resources.clouds.aws.hands import OPERATION, REPLACES, Hands

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
    optional = {
        "KeyName": before["key_name"],
        "UserData": _decoded(user_data.get("Value")),
        "MetadataOptions": before["metadata"],
        "BlockDeviceMappings": [*_root(hands, before, image), *_left_out(before, image)],
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
        "TagSpecifications": _tags(operation, tags),
        **{name: value for name, value in optional.items() if value},
    }


def _decoded(value: str | None) -> bytes | None:
    # EC2 gives it in base64 and the SDK writes base64: what is sent is what it was.
    import base64

    return base64.b64decode(value) if value else None


def _root(hands: Hands, before: Captured, image: dict[str, Any]) -> list[dict[str, Any]]:
    old = next((v for v in before["volumes"] if v["device"] == before["root_device"]), None)
    device = image.get("RootDeviceName")
    if old is None or not device:
        return []
    found = hands.call("ec2", "describe_volumes", VolumeIds=[old["id"]])["Volumes"][0]
    ebs: dict[str, Any] = next(
        (m.get("Ebs", {}) for m in image["BlockDeviceMappings"] if m.get("DeviceName") == device),
        {},
    )
    root = {
        "VolumeSize": max(int(found["Size"]), int(ebs.get("VolumeSize") or 0)),
        "VolumeType": found["VolumeType"],
        "DeleteOnTermination": True,
    }
    if found.get("Encrypted"):
        root["Encrypted"] = True
        if found.get("KmsKeyId"):
            root["KmsKeyId"] = found["KmsKeyId"]
    return [{"DeviceName": device, "Ebs": root}]


def _left_out(before: Captured, image: dict[str, Any]) -> list[dict[str, Any]]:
    """The image's own volumes where a data volume of the old machine is to be attached."""
    taken = {v["device"] for v in before["volumes"] if v["device"] != before["root_device"]}
    brought = [m.get("DeviceName") for m in image["BlockDeviceMappings"]]
    return [
        {"DeviceName": device, "NoDevice": ""}
        for device in brought
        if device in taken and device != image.get("RootDeviceName")
    ]


def _tags(operation: Operation, more: Mapping[str, str]) -> list[dict[str, Any]]:
    ours = {OPERATION: operation.token, REPLACES: operation.before["id"], **more}
    kept = {k: v for k, v in operation.before["tags"].items() if not k.startswith(FOREIGN)}
    made = [{"Key": key, "Value": value} for key, value in (kept | ours).items()]
    only = [{"Key": OPERATION, "Value": operation.token}]
    return [
        {"ResourceType": "instance", "Tags": made},
        {"ResourceType": "volume", "Tags": only},
        {"ResourceType": "network-interface", "Tags": only},
    ]
