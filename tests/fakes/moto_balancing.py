"""Moto's target groups with the time that load balancers take, and a count of what changed.

A target is `initial` for as many looks as a test says, has what a test says of its health, and is
`draining` for a while when it leaves.
"""

from collections import Counter
from typing import Any

from moto.core.responses import ActionResult
from moto.elbv2.models import FakeHealthStatus
from moto.elbv2.responses import ELBV2Response

_CALLS = ("register_targets", "deregister_targets", "describe_target_health")
_ELB = {name: getattr(ELBV2Response, name) for name in _CALLS}
_Key = tuple[str, str]


class Balancers:
    """How load balancers judge, and what they were told in which order."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Targets that are healthy at once and gone at once."""
        self.joins = 0
        self.drains = 0
        self.health: dict[str, tuple[str, str, str]] = {}
        self.told: list[tuple[str, str]] = []
        self.joining: dict[_Key, int] = {}
        self.leaving: dict[_Key, tuple[int, Any]] = {}


def extend_moto_for_balancing(balancers: Balancers, effects: Counter[str]) -> None:
    """Let moto's own server take its time over targets."""

    def changed(self: Any, method: str) -> list[tuple[str, Any]]:
        effects[method] += 1
        arn = self._get_param("TargetGroupArn")
        given = self._get_param("Targets", [])
        balancers.told += [(method, target["Id"]) for target in given]
        return [(arn, target) for target in given]

    def register_targets(self: Any) -> Any:
        answer = _ELB["register_targets"](self)
        for arn, target in changed(self, "register_targets"):
            balancers.joining[arn, target["Id"]] = balancers.joins
            balancers.leaving.pop((arn, target["Id"]), None)
        return answer

    def deregister_targets(self: Any) -> Any:
        answer = _ELB["deregister_targets"](self)
        for arn, target in changed(self, "deregister_targets"):
            balancers.leaving[arn, target["Id"]] = (balancers.drains, target.get("Port", 80))
        return answer

    def describe_target_health(self: Any) -> ActionResult:
        arn = self._get_param("TargetGroupArn")
        found = _ELB["describe_target_health"](self).result["TargetHealthDescriptions"]
        said = [_judged(balancers, arn, status) for status in found]
        return ActionResult({"TargetHealthDescriptions": said + _draining(balancers, arn)})

    ELBV2Response.register_targets = register_targets
    ELBV2Response.deregister_targets = deregister_targets
    ELBV2Response.describe_target_health = describe_target_health


def _judged(balancers: Balancers, arn: str, status: FakeHealthStatus) -> FakeHealthStatus:
    name = status.instance_id
    left = balancers.joining.get((arn, name), 0)
    if left:
        balancers.joining[arn, name] = left - 1
        status.status, status.reason = "initial", "Elb.InitialHealthChecking"
    elif name in balancers.health and status.status == "healthy":
        status.status, status.reason, status.description = balancers.health[name]
    return status


def _draining(balancers: Balancers, arn: str) -> list[FakeHealthStatus]:
    found = []
    for (group, name), (left, port) in list(balancers.leaving.items()):
        if group != arn:
            continue
        if not left:
            del balancers.leaving[group, name]
            continue
        balancers.leaving[group, name] = (left - 1, port)
        reason = "Target.DeregistrationInProgress"
        found.append(FakeHealthStatus(name, port, None, "draining", reason))
    return found
