"""Traffic handed over: what a group is told, of machines that are in it with several ports."""

from dataclasses import replace
from typing import Any, ClassVar

from qlrf_pipelines.domain.operations import Progress, Status
from resources.clouds.aws.captured import memberships
from resources.clouds.aws.moving import change_target, target_in
from resources.clouds.aws.traffic import Handover, Step, joined, left, walk

ARN = "arn:aws:elasticloadbalancing:us-east-1:123456789012:targetgroup/web/1"
OLD, NEW = {"InstanceId": "i-old"}, {"InstanceId": "i-new"}
PORTS = (8080, 8081)


class Told:
    """Hands that write down what a load balancer is told."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, str, int]] = []

    def call(self, service: str, method: str, **given: Any) -> dict[str, Any]:
        """One call."""
        (target,) = given["Targets"]
        self.heard.append((method, target["Id"], target["Port"]))
        return {}


class Known:
    """Hands that know a machine in three groups, and write down who is registered."""

    targets: ClassVar[dict[str, dict[str, Any]]] = {
        "far": {"Id": "10.0.0.5", "Port": 80, "AvailabilityZone": "all"},
        "near": {"Id": "10.0.0.5", "Port": 80},
        "by-id": {"Id": "i-old", "Port": 80, "AvailabilityZone": "us-east-1a"},
    }

    def __init__(self) -> None:
        self.given: list[dict[str, Any]] = []

    def every(self, service: str, method: str, rows: str) -> list[dict[str, Any]]:
        """The groups."""
        kinds = {"far": "ip", "near": "ip", "by-id": "instance"}
        return [
            {"TargetGroupArn": arn, "TargetType": kind, "VpcId": "vpc-1"}
            for arn, kind in kinds.items()
        ]

    def call(self, service: str, method: str, **given: Any) -> dict[str, Any]:
        """One call."""
        if method == "describe_target_health":
            found = {"Target": self.targets[given["TargetGroupArn"]]}
            return {"TargetHealthDescriptions": [found]}
        self.given += given["Targets"]
        return {}


def move(hands: Told, *there: tuple[str, int]) -> Handover:
    """A handover in one group, where these targets are."""
    memberships = [
        {"arn": ARN, "by": "instance", "port": port, "health": "healthy"} for port in PORTS
    ]
    return Handover(
        hands=hands,  # type: ignore[arg-type]
        before={"target_groups": memberships, "elastic_address": None},
        taker=NEW,
        givers=(OLD,),
        seen={ARN: {target: {"State": "healthy"} for target in there}},
        book={},
        back=False,
    )


def taken(at: Handover, step: Step) -> tuple[Progress, Handover]:
    """One step, and the handover with what it noted."""
    progress = walk(at, (step,))
    assert progress is not None
    return progress, replace(at, book={**at.book, **progress.checkpoint})


def test_a_machine_with_two_ports_in_a_group_joins_and_leaves_with_both() -> None:
    hands = Told()

    _, at = taken(move(hands, ("i-old", 8080), ("i-old", 8081)), joined)
    second = replace(move(hands, ("i-new", 8080)), book=at.book)
    joining, at = taken(second, joined)
    _, at = taken(replace(move(hands, ("i-old", 8080), ("i-old", 8081)), book=at.book), left)
    leaving, _ = taken(replace(move(hands, ("i-old", 8081)), book=at.book), left)

    assert joining.status is leaving.status is Status.RUNNING
    assert hands.heard == [
        ("register_targets", "i-new", 8080),
        ("register_targets", "i-new", 8081),
        ("deregister_targets", "i-old", 8080),
        ("deregister_targets", "i-old", 8081),
    ]


def test_a_target_from_outside_keeps_its_zone_when_it_joins_and_leaves() -> None:
    hands = Known()
    machine = {"InstanceId": "i-old", "PrivateIpAddress": "10.0.0.5", "VpcId": "vpc-1"}

    far, near, by_id = memberships(hands, machine)  # type: ignore[arg-type]
    for group in (far, near, by_id):
        change_target(hands, "register_targets", group, target_in(group, machine))  # type: ignore[arg-type]

    assert hands.given == [
        {"Id": "10.0.0.5", "Port": 80, "AvailabilityZone": "all"},
        {"Id": "10.0.0.5", "Port": 80},
        {"Id": "i-old", "Port": 80},
    ]


def test_what_was_noted_and_is_undone_is_somebody_elses_doing() -> None:
    hands = Told()

    _, at = taken(move(hands), joined)
    again, _ = taken(at, joined)

    assert again.status is Status.FAILED
    assert "taken out" in again.detail
    assert len(hands.heard) == 1
