"""Commands over Systems Manager: patches, documents and scripts, on the asset, never on our host.

SendCommand knows no repetition, so a command carries the operation's token as its comment, by
which it is found again, and the asset carries the claim that it was about to be sent.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from qlrf_pipelines.domain.errors import NotFound, Rejected
from qlrf_pipelines.domain.operations import (
    RESTORE_SNAPSHOT,
    ROLLBACK,
    Operation,
    Progress,
)
from resources.clouds.aws.hands import PATCHED, Hands
from resources.clouds.aws.once import Claim, claim_on, do_once, looks_again
from resources.clouds.aws.said import failed, succeeded, under_way, unknown
from resources.clouds.aws.snapshotting import snapshots_taken

PATCH_DOCUMENT = "AWS-RunPatchBaseline"
SHELL_DOCUMENT = "AWS-RunShellScript"
REBOOTS = ("RebootIfNeeded", "NoReboot")
DELIVERY_SECONDS = 600
STILL = ("Pending", "InProgress", "Delayed", "Cancelling")
Parameters = Mapping[str, Sequence[str]]


def patch(hands: Hands, operation: Operation) -> Progress:
    """One step of installing what the instance's patch baseline approves.

    With `rollback: restore-snapshot` its volumes have complete snapshots before anything is sent.
    """
    reboot = operation.parameters.get("reboot", REBOOTS[0])
    if reboot not in REBOOTS:
        raise Rejected(f"reboot is {reboot!r}; it is one of {', '.join(REBOOTS)}.")
    back = operation.parameters.get(ROLLBACK)
    if back not in (None, RESTORE_SNAPSHOT):
        raise Rejected(f"{ROLLBACK} is {back!r}; a patch knows only {RESTORE_SNAPSHOT}.")
    if back and "command" not in operation.checkpoint:
        taken = snapshots_taken(hands, operation)
        if taken is not None:
            return taken
    return command(
        hands,
        operation,
        PATCH_DOCUMENT,
        {"Operation": ["Install"], "RebootOption": [reboot]},
        tags={PATCHED: operation.token},
    )


def command(
    hands: Hands,
    operation: Operation,
    document: str,
    parameters: Parameters,
    *,
    tags: Mapping[str, str] | None = None,
) -> Progress:
    """One step of running a document on the operation's target, once."""
    command_id = operation.checkpoint.get("command") or _found(hands, operation)
    if command_id:
        return _followed(hands, operation, str(command_id))
    claim, noted = claim_on(hands, operation)
    if claim is Claim.DONE:
        return _followed(hands, operation, noted)
    if claim is Claim.ASKED:
        return _lost(operation, document)
    again = looks_again(operation)
    if again is not None:
        return again
    sent = do_once(
        hands, operation, lambda: send(hands, operation, document, parameters), tags=tags
    )
    return _sent(document, sent)


def send(hands: Hands, operation: Operation, document: str, parameters: Parameters) -> str:
    """Send a document to the target; the id of the command."""
    return send_to(hands, operation.target.id, document, parameters, comment=operation.token)


def send_to(
    hands: Hands,
    instance_id: str,
    document: str,
    parameters: Parameters,
    *,
    comment: str,
    delivery_seconds: int = DELIVERY_SECONDS,
) -> str:
    """Send a document to an instance, which must take it within a time; the id of the command."""
    answer = hands.once(
        "ssm",
        "send_command",
        DocumentName=document,
        InstanceIds=[instance_id],
        Parameters={name: list(values) for name, values in parameters.items()},
        Comment=comment,
        TimeoutSeconds=delivery_seconds,
    )
    return str(answer["Command"]["CommandId"])


def invocation(hands: Hands, command_id: str, instance_id: str) -> Mapping[str, Any] | None:
    """How a command stands on an instance; None if Systems Manager cannot say yet."""
    try:
        return hands.call(
            "ssm", "get_command_invocation", CommandId=command_id, InstanceId=instance_id
        )
    except NotFound:
        return None


def ping_of(hands: Hands, instance_id: str) -> str | None:
    """How an instance's agent last answered; None if Systems Manager does not know it."""
    answer = hands.call(
        "ssm",
        "describe_instance_information",
        Filters=[{"Key": "InstanceIds", "Values": [instance_id]}],
    )
    rows = answer["InstanceInformationList"]
    return next((str(i["PingStatus"]) for i in rows if i["InstanceId"] == instance_id), None)


def _found(hands: Hands, operation: Operation) -> str | None:
    if not operation.begun:
        return None
    for item in hands.every("ssm", "list_commands", "Commands", InstanceId=operation.target.id):
        if item.get("Comment") == operation.token:
            return str(item["CommandId"])
    return None


def _followed(hands: Hands, operation: Operation, command_id: str) -> Progress:
    found = invocation(hands, command_id, operation.target.id)
    status = str(found["StatusDetails"]).replace(" ", "") if found else "Pending"
    checkpoint = {"command": command_id}
    if status == "Success":
        return succeeded(f"Command {command_id} succeeded on {operation.target.id}.")
    if status in STILL:
        return under_way(f"Command {command_id} is {status}.", seconds=15, checkpoint=checkpoint)
    said = str((found or {}).get("StandardErrorContent") or "").strip()[-300:]
    return failed(
        f"Command {command_id} ended as {status} on {operation.target.id}. {said}".strip()
    )


def _sent(document: str, command_id: str) -> Progress:
    return under_way(
        f"{document} is sent as command {command_id}.",
        seconds=15,
        checkpoint={"command": command_id},
    )


def _lost(operation: Operation, document: str) -> Progress:
    looked = int(operation.checkpoint.get("looked", 0))
    if looked < 2:
        return under_way(
            f"{document} may have been sent; it is looked for.",
            seconds=15,
            checkpoint={"looked": looked + 1},
        )
    return unknown(
        f"{document} may or may not have been sent to {operation.target.id}; look at Run Command "
        "there. It is not sent again."
    )
