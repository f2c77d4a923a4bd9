"""Machines that load balancers and an elastic address lead to, and changes with two sides."""

from dataclasses import dataclass, replace
from typing import Any

from qlrf_pipelines.domain.operations import NEW_SIDE, Operation, OperationKind, Progress, Target
from qlrf_pipelines.ports.executors import Operator
from tests.fakes.moto_aws import MotoAws
from tests.resources.aws.machines import USER_DATA, carry_out, described, operation, tags, target

STARTED = {"operation": str(OperationKind.START_BESIDE)}
TIMED_OUT = ("unhealthy", "Target.Timeout", "Request timed out")


@dataclass(frozen=True, kw_only=True)
class Fronted:
    """One machine, and what leads to it."""

    target: Target
    groups: tuple[str, ...]
    address: str

    @property
    def id(self) -> str:
        """The machine's id."""
        return self.target.id


def fronted(moto: MotoAws, *, by: str = "instance", groups: int = 2) -> Fronted:
    """Start a machine that some target groups and an elastic address lead to."""
    ec2, elb = moto.client("ec2"), moto.client("elbv2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    named = [{"Key": "Name", "Value": "web-1"}]
    (made,) = moto.run(
        SubnetId=subnet["SubnetId"],
        UserData=USER_DATA,
        TagSpecifications=[{"ResourceType": "instance", "Tags": named}],
    )
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, InstanceId=made)
    name = made if by == "instance" else described(moto, made)["PrivateIpAddress"]
    arns = []
    for number in range(groups):
        arn = elb.create_target_group(
            Name=f"web-{number}",
            Protocol="HTTP",
            Port=80,
            VpcId=subnet["VpcId"],
            TargetType=by,
            HealthCheckIntervalSeconds=10,
            HealthyThresholdCount=2,
            UnhealthyThresholdCount=2,
        )["TargetGroups"][0]["TargetGroupArn"]
        elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": name, "Port": 8080}])
        arns.append(arn)
    moto.execution.balancers.told.clear()
    return Fronted(target=target(made), groups=tuple(arns), address=address)


def led_from(moto: MotoAws, name: str, block: str) -> str:
    """Another network, and a target group of it that leads to a machine by its address."""
    network = moto.client("ec2").create_vpc(CidrBlock=block)["Vpc"]["VpcId"]
    elb = moto.client("elbv2")
    made = elb.create_target_group(
        Name="far", Protocol="HTTP", Port=80, VpcId=network, TargetType="ip"
    )
    arn = str(made["TargetGroups"][0]["TargetGroupArn"])
    address = described(moto, name)["PrivateIpAddress"]
    elb.register_targets(
        TargetGroupArn=arn, Targets=[{"Id": address, "Port": 80, "AvailabilityZone": "all"}]
    )
    return arn


def beside(moto: MotoAws, operator: Operator, where: Target, **fields: Any) -> Operation:
    """The start of a new side."""
    chosen = {"image": moto.image(), "before": operator.capture(where)} | fields
    return operation(OperationKind.START_BESIDE, where, **chosen)


def switch(started: Operation, new: str | None, *, number: int = 2) -> Operation:
    """The switch to a new side."""
    parameters = {NEW_SIDE: str(new)}
    return operation(
        OperationKind.SWITCH,
        started.target,
        number=number,
        before=started.before,
        parameters=parameters,
    )


def way_back(started: Operation, *, number: int = 3, **parameters: str) -> Operation:
    """The restore of the old side."""
    return operation(
        OperationKind.RESTORE,
        started.target,
        number=number,
        before=started.before,
        parameters=STARTED | parameters,
    )


def last(started: Operation, *, number: int = 4) -> Operation:
    """The end of the old side."""
    return operation(
        OperationKind.FINALISE,
        started.target,
        number=number,
        before=started.before,
        parameters=STARTED,
    )


def switched(operator: Operator, started: Operation) -> str:
    """Carry out the start and the switch; the new side."""
    new = carry_out(operator, started).asset_id
    progress = carry_out(operator, switch(started, new))
    assert progress.asset_id == new, progress.detail
    return str(new)


def advanced(operator: Operator, wanted: Operation, calls: int) -> tuple[Operation, Progress]:
    """An operation after some calls, and what the last of them said."""
    for _ in range(calls):
        progress = operator.advance(wanted)
        wanted = replace(wanted, begun=True, checkpoint=progress.checkpoint)
    return wanted, progress


def traffic(moto: MotoAws, machine: Fronted) -> dict[str, list[str]]:
    """Who is led to by each thing that leads to a machine, without who is leaving."""
    address = moto.client("ec2").describe_addresses(AllocationIds=[machine.address])
    found = {"address": [address["Addresses"][0].get("InstanceId", "")]}
    for arn in machine.groups:
        answer = moto.client("elbv2").describe_target_health(TargetGroupArn=arn)
        found[arn] = [
            item["Target"]["Id"]
            for item in answer["TargetHealthDescriptions"]
            if item["TargetHealth"]["State"] != "draining"
        ]
    return found


def all_at(machine: Fronted, *names: str, address: str | None = None) -> dict[str, list[str]]:
    """All the traffic of a machine at these targets, the address at the first of them."""
    return {"address": [address or names[0]]} | {arn: list(names) for arn in machine.groups}


def state(moto: MotoAws, name: str) -> str:
    """The state of a machine."""
    return str(described(moto, name)["State"]["Name"])


def marks(moto: MotoAws, name: str) -> set[str]:
    """The tags of ours on a machine."""
    return {key for key in tags(moto, name) if key.startswith("qlrf:")}


def sides(moto: MotoAws, machine: Fronted) -> list[str]:
    """Every new side there ever was, also ended ones."""
    found = moto.client("ec2").describe_instances(
        Filters=[{"Name": "tag:qlrf:replaces", "Values": [machine.id]}]
    )
    return [i["InstanceId"] for r in found["Reservations"] for i in r["Instances"]]


def new_side(moto: MotoAws, machine: Fronted) -> str:
    (found,) = sides(moto, machine)
    return found


def traffic_of_groups(moto: MotoAws, machine: Fronted) -> list[str]:
    """Everybody in any of its groups."""
    found = (
        moto.client("elbv2").describe_target_health(TargetGroupArn=arn) for arn in machine.groups
    )
    return [d["Target"]["Id"] for each in found for d in each["TargetHealthDescriptions"]]
