"""Hooks that run on or beside an asset, and its reboot: everything that must happen once."""

import json
from collections.abc import Callable

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import Operation, Progress
from resources.clouds.aws.commanding import SHELL_DOCUMENT, Parameters, command
from resources.clouds.aws.hands import Hands, Instance
from resources.clouds.aws.moving import Move, goal_runs
from resources.clouds.aws.once import Claim, claim_on, do_once, looks_again
from resources.clouds.aws.said import failed, succeeded, under_way, unknown

WINDOWS_SHELL_DOCUMENT = "AWS-RunPowerShellScript"
OWN_PARAMETERS = ("type", "target", "timeout_seconds")
OK = "ok"


def hook(hands: Hands, operation: Operation) -> Progress:
    """One step of an asset's hook, whose `type` and `target` are among its parameters."""
    kind, target = operation.parameters.get("type"), operation.parameters.get("target")
    if not target:
        raise Rejected(f"The hook of {operation.target.key} names no target.")
    if kind == "ssm-document":
        given = {k: [v] for k, v in operation.parameters.items() if k not in OWN_PARAMETERS}
        return command(hands, operation, target, given)
    if kind == "script":
        document, parameters = shell(
            hands, operation.target.id, target, operation.parameters.get("timeout_seconds")
        )
        return command(hands, operation, document, parameters)
    if kind == "lambda":
        return _lambda(hands, operation, target)
    raise Rejected(f"A hook on AWS is an ssm-document, a script or a lambda, not {kind!r}.")


def shell(
    hands: Hands, instance_id: str, text: str, seconds: str | None = None
) -> tuple[str, Parameters]:
    """The document that runs a script on an instance, and its parameters."""
    return script(text, windows=is_windows(hands.instance(instance_id)), seconds=seconds)


def is_windows(instance: Instance) -> bool:
    """Whether an instance is asked by PowerShell."""
    return str(instance.get("Platform", "")).lower() == "windows"


def script(text: str, *, windows: bool, seconds: str | None = None) -> tuple[str, Parameters]:
    """The document that runs a script on such an instance, and its parameters."""
    parameters = {"commands": text.splitlines()}
    if seconds:
        parameters["executionTimeout"] = [seconds]
    return WINDOWS_SHELL_DOCUMENT if windows else SHELL_DOCUMENT, parameters


def reboot(hands: Hands, operation: Operation) -> Progress:
    """One step of rebooting an instance once, until both status checks pass."""

    def ask() -> str:
        hands.once("ec2", "reboot_instances", InstanceIds=[operation.target.id])
        return OK

    claim, _ = claim_on(hands, operation)
    if claim is not Claim.DONE:
        return _once(hands, operation, claim, ask, what="The reboot")
    found = hands.instance(operation.target.id)
    move = Move(hands=hands, before=operation.before, source=None, goal=found)
    taken = goal_runs(move)
    return taken or succeeded(f"{operation.target.id} was rebooted and passes its status checks.")


def _lambda(hands: Hands, operation: Operation, function: str) -> Progress:
    def ask() -> str:
        answer = hands.once(
            "lambda",
            "invoke",
            FunctionName=function,
            InvocationType="RequestResponse",
            Payload=json.dumps({"token": operation.token, "asset": operation.target.key}).encode(),
        )
        return str(answer.get("FunctionError") or OK)

    claim, note = claim_on(hands, operation)
    if claim is not Claim.DONE:
        return _once(hands, operation, claim, ask, what=f"Function {function}")
    if note == OK:
        return succeeded(f"Function {function} answered.")
    return failed(f"Function {function} failed ({note}); look at its log.")


def _once(
    hands: Hands, operation: Operation, claim: Claim, ask: Callable[[], str], *, what: str
) -> Progress:
    if claim is Claim.ASKED:
        name = operation.target.id
        return unknown(f"{what} may or may not have been asked for on {name}; not asked again.")
    again = looks_again(operation)
    if again is not None:
        return again
    do_once(hands, operation, ask)
    return under_way(f"{what} is asked for.", seconds=10)
