"""Replacing a stand-alone instance with one of another image, and bringing the old one back.

The old instance is stopped and kept until `finalise`, so restoring is starting it again. Every
call first looks at what is there: tags say which instance replaces which, and RunInstances has
the operation's token, so a caller that died goes on where it was.
"""

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import FIRST_TRY, Operation, Progress
from resources.clouds.aws.captured import (
    Captured,
    capture_instance,
    led_from_elsewhere,
    memberships,
)
from resources.clouds.aws.hands import (
    BESIDE,
    OPERATION,
    REPLACED_BY,
    REPLACES,
    Hands,
    Instance,
    found_instance,
    is_gone,
    state_of,
    tags_of,
)
from resources.clouds.aws.launching import launch
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
from resources.clouds.aws.volumes import shared_of, volumes_named

LIVE = ("pending", "running")
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


def replace_instance(hands: Hands, operation: Operation) -> Progress:
    """One step of replacing the captured instance with one of the operation's image."""
    before = operation.before
    found = hands.tagged(OPERATION, operation.token)
    old = found_instance(hands, before["id"])
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
    old = found_instance(hands, before["id"])
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
        hands.untag(before["id"], REPLACED_BY)
    if new is not None and operation.parameters.get("retain") != "true":
        hands.call("ec2", "terminate_instances", InstanceIds=[new["InstanceId"]])
        return under_way(f"{new['InstanceId']}, which replaced it, is being terminated.")
    return succeeded(f"{before['id']} runs again as it was.", asset_id=before["id"])


def finalise_instance(hands: Hands, operation: Operation) -> Progress:
    """Let the replaced instance go; from then on it cannot be restored."""
    before = operation.before
    old = found_instance(hands, before["id"])
    if old is None or is_gone(old):
        return succeeded(f"{before['id']} is gone.")
    successor = tags_of(old).get(REPLACED_BY)
    if successor is None:
        return succeeded(f"{before['id']} was not replaced; it stays.")
    new = found_instance(hands, successor)
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
    _possible(hands, operation, old)
    ended = _earlier_ended(hands, operation)
    if ended is not None:
        return ended
    launch(hands, operation)
    return under_way(f"An instance of {operation.image} is started.", seconds=10)


def _earlier_ended(hands: Hands, operation: Operation) -> Progress | None:
    """No other try's instance runs: it would run for ever, as restoring ends only the newest one.

    A retry ends what an earlier try started, if the old machine still has everything.
    """
    before = operation.before
    for other in hands.tagged(REPLACES, before["id"]):
        tags = tags_of(other)
        if state_of(other) not in LIVE or tags.get(OPERATION) == operation.token:
            continue
        ours = FIRST_TRY in operation.parameters and BESIDE not in tags
        if not ours or not _untouched(hands, before, other):
            raise Rejected(
                f"{other['InstanceId']}, which was started to replace {before['id']}, still runs; "
                "roll that back first, or end it yourself."
            )
        hands.call("ec2", "terminate_instances", InstanceIds=[other["InstanceId"]])
        return under_way(f"{other['InstanceId']}, of an earlier try, is being terminated.")
    return None


def _untouched(hands: Hands, before: Captured, other: Instance) -> bool:
    """Whether all that hung on the old machine does so now, and nothing leads to the other one."""
    now = capture_instance(hands, before["id"])
    return _hanging(before) <= _hanging(now) and not memberships(hands, other)


def _hanging(captured: Captured) -> set[tuple[str, object]]:
    address = captured["elastic_address"]
    return {
        *((item["id"], None) for item in (*captured["volumes"], *captured["interfaces"])),
        *((group["arn"], group["port"]) for group in captured["target_groups"]),
        *([(address, None)] if address else ()),
    }


def _possible(hands: Hands, operation: Operation, old: Instance) -> None:
    before, name = operation.before, operation.before["id"]
    shared, elsewhere = _shared(hands, before), led_from_elsewhere(hands, old)
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
        f"{', '.join(shared)} can be attached to several machines at once, and is not taken from "
        "one of them; detach it first": bool(shared),
        f"{', '.join(elsewhere)} of another network leads to its private address, which changes; "
        "take it out of there first, or exclude it": bool(elsewhere),
    }
    for why, is_so in reasons.items():
        if is_so:
            raise Rejected(f"{name} cannot be replaced: {why}.")


def _shared(hands: Hands, before: Captured) -> list[str]:
    moved = [v["id"] for v in before["volumes"] if v["device"] != before["root_device"]]
    return shared_of(volumes_named(hands, moved)) if moved else []


def _replaced(before: Captured, new: Instance, operation: Operation) -> str:
    return (
        f"{new['InstanceId']} of {operation.image} replaces {before['id']}, which is kept stopped "
        f"until it is finalised; its private address is {new.get('PrivateIpAddress')} instead of "
        f"{before['private_address']}."
    )
