"""A new side of a stand-alone instance, beside the old one, which keeps its traffic.

Tags say what stands beside what and that it is idle, and RunInstances has the operation's token,
so a caller that died goes on where it was. Switching between the two is another operation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import FIRST_TRY, Operation, Progress
from resources.clouds.aws.captured import Captured, led_from_elsewhere
from resources.clouds.aws.hands import (
    BESIDE,
    IDLE,
    OPERATION,
    REPLACED_BY,
    Hands,
    Instance,
    found_instance,
    is_gone,
    state_of,
    tags_of,
)
from resources.clouds.aws.launching import launch
from resources.clouds.aws.moving import checks_passed
from resources.clouds.aws.said import failed, succeeded, under_way


def sides_of(hands: Hands, instance_id: str) -> Sequence[Instance]:
    """The new sides of an instance, also those that have ended."""
    return hands.tagged(BESIDE, instance_id)


def start_beside(hands: Hands, operation: Operation) -> Progress:
    """One step of starting a new side; the old one and its traffic are not touched."""
    # One listing tells our own side from another's: of two, the first may lag behind the second.
    sides = sides_of(hands, operation.before["id"])
    found = next((s for s in sides if tags_of(s).get(OPERATION) == operation.token), None)
    if found is None:
        return _begun(hands, operation, sides)
    new = str(found["InstanceId"])
    taken = side_runs(hands, found)
    if taken is not None:
        return replace(taken, asset_id=new)
    return succeeded(
        f"{new} of {operation.image} runs beside {operation.before['id']}, without traffic.",
        asset_id=new,
    )


def side_runs(hands: Hands, side: Instance) -> Progress | None:
    """The new side runs and passes its status checks. Whoever stopped it is not contradicted."""
    name, state = side["InstanceId"], state_of(side)
    if is_gone(side):
        why = side.get("StateReason", {}).get("Message", "no reason given")
        return failed(f"{name} has ended: {why}.")
    if state in ("stopping", "stopped"):
        return failed(f"{name} was stopped by somebody else; the new side must run.")
    if state != "running":
        return under_way(f"{name} is {state}.")
    return checks_passed(hands, name)


def _begun(hands: Hands, operation: Operation, sides: Sequence[Instance]) -> Progress:
    name = operation.before["id"]
    old = found_instance(hands, name)
    if old is None or is_gone(old):
        return failed(f"{name} is gone, and nothing was started beside it.")
    _possible(hands, operation, old)
    for side in sides:
        if not is_gone(side):
            return _earlier(hands, operation, side)
    reached = operation.before["public"] or operation.before["elastic_address"] is not None
    # Without the elastic address it needs another one, or it could not reach the internet.
    new = launch(hands, operation, public=reached, tags={BESIDE: name, IDLE: "true"})
    started = under_way(f"{new} of {operation.image} is started beside {name}.", seconds=10)
    return replace(started, asset_id=new)


def _earlier(hands: Hands, operation: Operation, side: Instance) -> Progress:
    """A retry ends what an earlier try started, and has no traffic; nobody else's is touched."""
    name, side_id = operation.before["id"], side["InstanceId"]
    if FIRST_TRY not in operation.parameters or IDLE not in tags_of(side):
        raise Rejected(
            f"{side_id} stands beside {name} already; restore or finalise the change that started "
            "it, or terminate it yourself."
        )
    hands.call("ec2", "terminate_instances", InstanceIds=[side_id])
    return under_way(f"{side_id}, which an earlier try started, is being terminated.")


def _possible(hands: Hands, operation: Operation, old: Instance) -> None:
    elsewhere = led_from_elsewhere(hands, old)
    reasons = {
        **_reasons(operation.before, old, operation.parameters),
        f"{', '.join(elsewhere)} of another network leads to its private address, and would not "
        "be switched; take it out of there first, or exclude it": bool(elsewhere),
    }
    for why, is_so in reasons.items():
        if is_so:
            raise Rejected(f"{operation.before['id']} cannot have a new side beside it: {why}.")


def _reasons(before: Captured, old: Instance, parameters: Mapping[str, str]) -> dict[str, bool]:
    volumes = [v["id"] for v in before["volumes"] if v["device"] != before["root_device"]]
    interfaces = [item["id"] for item in before["interfaces"]]
    other = tags_of(old).get(REPLACED_BY)
    return {
        f"it is {state_of(old)}; start it first, or exclude it": state_of(old) != "running",
        f"{other} has its traffic already; finish that change first, or end {old['InstanceId']} "
        "yourself": other is not None,
        f"both sides would need its data volumes ({', '.join(volumes)})": bool(volumes),
        f"its other network interfaces ({', '.join(interfaces)}) are where it is": bool(interfaces),
        "it has several addresses on its first interface, which stay where they are": (
            before["more_private_addresses"] > 0
        ),
        f"it is a {before['lifecycle']} instance, which AWS may end while it is the way back": (
            bool(before["lifecycle"])
        ),
        "its first private address cannot be on both sides": (
            parameters.get("private_address") == "keep"
        ),
        "no target group and no elastic address leads to it, so there is no traffic that could "
        "be switched; plan it with rolling or canary": (
            not before["target_groups"] and before["elastic_address"] is None
        ),
    }
