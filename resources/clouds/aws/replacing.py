"""Replacing a stand-alone instance with one of another image, and bringing the old one back.

The old instance is stopped and kept until `finalise`, so restoring is starting it again. Every
call first looks at what is there: tags say which instance replaces which, and RunInstances has
the operation's token, so a caller that died goes on where it was.
"""

from typing import Any

from qlrf_pipelines.domain.errors import NotFound, Rejected
from qlrf_pipelines.domain.operations import Operation, Progress
from resources.clouds.aws.captured import Captured
from resources.clouds.aws.hands import (
    OPERATION,
    REPLACED_BY,
    REPLACES,
    Hands,
    Instance,
    is_gone,
    state_of,
    tags_of,
)
from resources.clouds.aws.moving import (
    Move,
    address_moved,
    goal_runs,
    interfaces_moved,
    source_stopped,
    targets_moved,
    volumes_moved,
    walk,
)
from resources.clouds.aws.said import failed, succeeded, under_way

REPLACING = (
    goal_runs,
    source_stopped,
    volumes_moved,
    interfaces_moved,
    address_moved,
    targets_moved,
)
RESTORING = (
    source_stopped,
    volumes_moved,
    interfaces_moved,
    goal_runs,
    address_moved,
    targets_moved,
)
# Ours speak of one operation, and AWS refuses to let anybody write its own.
FOREIGN = ("aws:", "qlrf:")


def replace_instance(hands: Hands, operation: Operation) -> Progress:
    """One step of replacing the captured instance with one of the operation's image."""
    before = operation.before
    found = hands.tagged(OPERATION, operation.token)
    old = _instance(hands, before["id"])
    if not found:
        return _launch(hands, operation, old)
    move = Move(hands=hands, before=before, source=old, goal=found[0])
    taken = walk(move, REPLACING)
    if taken is not None:
        return taken
    new = move.goal_id
    if old is not None and not is_gone(old) and tags_of(old).get(REPLACED_BY) != new:
        hands.tag(before["id"], {REPLACED_BY: new})
    return succeeded(_replaced(before, found[0], operation), asset_id=new)


def restore_instance(hands: Hands, operation: Operation) -> Progress:
    """One step of bringing the captured instance back, with all that hung on it."""
    before = operation.before
    old = _instance(hands, before["id"])
    if old is None or is_gone(old):
        return failed(f"{before['id']} is gone; there is nothing to bring back.")
    new = _successor(hands, before["id"])
    if new is None and before["state"] == "stopped":
        return succeeded(f"{before['id']} is stopped, as it was.", asset_id=before["id"])
    move = Move(hands=hands, before=before, source=new, goal=old)
    taken = walk(move, RESTORING)
    if taken is not None:
        return taken
    if REPLACED_BY in tags_of(old):
        hands.call("ec2", "delete_tags", Resources=[before["id"]], Tags=[{"Key": REPLACED_BY}])
    if new is not None and operation.parameters.get("retain") != "true":
        hands.call("ec2", "terminate_instances", InstanceIds=[new["InstanceId"]])
        return under_way(f"{new['InstanceId']}, which replaced it, is being terminated.")
    return succeeded(f"{before['id']} runs again as it was.", asset_id=before["id"])


def finalise_instance(hands: Hands, operation: Operation) -> Progress:
    """Let the replaced instance go; from then on it cannot be restored."""
    before = operation.before
    old = _instance(hands, before["id"])
    if old is None or is_gone(old):
        return succeeded(f"{before['id']} is gone.")
    successor = tags_of(old).get(REPLACED_BY)
    if successor is None:
        return succeeded(f"{before['id']} was not replaced; it stays.")
    new = _instance(hands, successor)
    if new is None or state_of(new) != "running":
        return failed(f"{successor}, which replaced {before['id']}, does not run; it is kept.")
    if state_of(old) != "stopped":
        return failed(f"{before['id']} was replaced, yet is {state_of(old)}; look at it yourself.")
    hands.call("ec2", "terminate_instances", InstanceIds=[before["id"]])
    return under_way(f"{before['id']} is being terminated.")


def _successor(hands: Hands, instance_id: str) -> Instance | None:
    # An earlier one may have been retained, stopped, when it was restored from.
    found = [i for i in hands.tagged(REPLACES, instance_id) if not is_gone(i)]
    return max(found, key=lambda item: str(item["LaunchTime"]), default=None)


def _launch(hands: Hands, operation: Operation, old: Instance | None) -> Progress:
    before = operation.before
    if old is None or is_gone(old):
        return failed(f"{before['id']} is gone, and nothing that replaces it was started.")
    _possible(operation, old)
    image = _image(hands, operation)
    hands.call("ec2", "run_instances", **_description(hands, operation, image))
    return under_way(f"An instance of {operation.image} is started.", seconds=10)


def _possible(operation: Operation, old: Instance) -> None:
    before, name = operation.before, operation.before["id"]
    reasons = {
        f"{name} is {state_of(old)}; start it first, or exclude it": state_of(old) != "running",
        f"{name} has an instance-store root, which is lost when it stops": (
            before["root_type"] != "ebs"
        ),
        f"{name} is a {before['lifecycle']} instance, which cannot be kept stopped": bool(
            before["lifecycle"]
        ),
        f"{name} has several addresses on its first interface, which cannot be moved": (
            before["more_private_addresses"] > 0
        ),
        "its first private address cannot be kept while it is kept for restoring": (
            operation.parameters.get("private_address") == "keep"
        ),
    }
    for why, is_so in reasons.items():
        if is_so:
            raise Rejected(f"{name} cannot be replaced: {why}.")


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


def _description(hands: Hands, operation: Operation, image: dict[str, Any]) -> dict[str, Any]:
    before = operation.before
    user_data = hands.call(
        "ec2", "describe_instance_attribute", InstanceId=before["id"], Attribute="userData"
    ).get("UserData", {})
    interface = {
        "DeviceIndex": 0,
        "SubnetId": before["subnet"],
        "Groups": before["security_groups"],
        "AssociatePublicIpAddress": before["public"],
    }
    optional = {
        "KeyName": before["key_name"],
        "UserData": _decoded(user_data.get("Value")),
        "MetadataOptions": before["metadata"],
        "BlockDeviceMappings": _root(hands, before, image),
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
        "TagSpecifications": _tags(operation),
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


def _tags(operation: Operation) -> list[dict[str, Any]]:
    ours = {OPERATION: operation.token, REPLACES: operation.before["id"]}
    kept = {k: v for k, v in operation.before["tags"].items() if not k.startswith(FOREIGN)}
    made = [{"Key": key, "Value": value} for key, value in (kept | ours).items()]
    only = [{"Key": OPERATION, "Value": operation.token}]
    return [
        {"ResourceType": "instance", "Tags": made},
        {"ResourceType": "volume", "Tags": only},
        {"ResourceType": "network-interface", "Tags": only},
    ]


def _replaced(before: Captured, new: Instance, operation: Operation) -> str:
    return (
        f"{new['InstanceId']} of {operation.image} replaces {before['id']}, which is kept stopped "
        f"until it is finalised; its private address is {new.get('PrivateIpAddress')} instead of "
        f"{before['private_address']}."
    )


def _instance(hands: Hands, instance_id: str) -> Instance | None:
    try:
        return hands.instance(instance_id)
    except NotFound:
        return None
