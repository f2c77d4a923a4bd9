"""What AWS itself says of an instance: its status, its agent, or a command run on it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.domain.operations import Health, HealthReport, Operation, OperationKind, Target
from resources.clouds.aws.commanding import STILL, invocation, ping_of, send
from resources.clouds.aws.hands import Hands, state_of
from resources.clouds.aws.hooking import shell
from resources.clouds.aws.moving import status_of

COMMENT = "qlrf check"
EXEC_SECONDS = 30.0
POLL_SECONDS = 1.0


def check_instance(
    hands: Hands,
    target: Target,
    check: Mapping[str, Any],
    *,
    pause: Callable[[float], None] = time.sleep,
) -> HealthReport:
    """One answer to one check; whatever keeps it away is the reason of an unknown."""
    try:
        if check.get("type") == "cloud-status":
            return _cloud_status(hands, target.id)
        if check.get("type") == "ssm-ping":
            return _ssm_ping(hands, target.id)
        if check.get("type") == "exec":
            return _exec(hands, target, check, pause)
    except QlrfError as error:
        return HealthReport(health=Health.UNKNOWN, why=str(error))
    return HealthReport(health=Health.UNKNOWN, why=f"AWS has no check {check.get('type')!r}.")


def _cloud_status(hands: Hands, name: str) -> HealthReport:
    state = state_of(hands.instance(name))
    if state != "running":
        return HealthReport(health=Health.UNHEALTHY, why=f"{name} is {state}.")
    found = status_of(hands, name)
    if found == ("ok", "ok"):
        return HealthReport(health=Health.HEALTHY, why=f"{name} passes both status checks.")
    if "impaired" in found or "initializing" in found:
        why = f"{name}: its status checks say {', '.join(found)}."
        return HealthReport(health=Health.UNHEALTHY, why=why)
    why = f"{name}: EC2 does not say whether its status checks pass."
    return HealthReport(health=Health.UNKNOWN, why=why)


def _ssm_ping(hands: Hands, name: str) -> HealthReport:
    ping = ping_of(hands, name)
    if ping is None:
        return HealthReport(health=Health.UNKNOWN, why=f"{name} is not managed by Systems Manager.")
    health = Health.HEALTHY if ping == "Online" else Health.UNHEALTHY
    return HealthReport(health=health, why=f"{name}: its agent is {ping}.")


def _exec(
    hands: Hands, target: Target, check: Mapping[str, Any], pause: Callable[[float], None]
) -> HealthReport:
    text = str(check.get("target") or check.get("command") or "")
    if not text:
        return HealthReport(health=Health.UNKNOWN, why="The exec check names no command.")
    document, parameters = shell(hands, target.id, text)
    asked = Operation(token=COMMENT, kind=OperationKind.HOOK, target=target)
    sent = send(hands, asked, document, parameters)
    left = float(check.get("timeout_seconds", EXEC_SECONDS))
    while True:
        found = invocation(hands, sent, target.id)
        status = str(found["Status"]) if found else "Pending"
        if status not in STILL or left <= 0:
            return _ran(target.id, sent, status)
        pause(POLL_SECONDS)
        left -= POLL_SECONDS


def _ran(name: str, sent: str, status: str) -> HealthReport:
    why = f"{name}: command {sent} is {status}."
    if status == "Success":
        return HealthReport(health=Health.HEALTHY, why=why)
    # Only a command that ran and failed is a verdict; one that never arrived is none.
    return HealthReport(health=Health.UNHEALTHY if status == "Failed" else Health.UNKNOWN, why=why)
