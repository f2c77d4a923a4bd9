"""Machines with everything that can hang on one, and operations carried out on them."""

import base64
import json
from dataclasses import dataclass, replace
from typing import Any

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.operations import Operation, OperationKind, Progress, Status, Target
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.executors import Operator
from tests.fakes.aws_killer import Killed
from tests.fakes.moto_aws import OWN, MotoAws

REGION = "us-east-1"
USER_DATA = "#!/bin/sh\necho hello\n"
DONE = (Status.SUCCEEDED, Status.FAILED, Status.UNKNOWN)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """One well-equipped machine."""

    target: Target
    subnet: str
    security_group: str
    profile: str
    data_volume: str
    interface: str
    address: str
    target_group: str


def target(instance_id: str) -> Target:
    """An instance as a target."""
    return Target(platform=Platform.AWS, account=OWN, region=REGION, id=instance_id)


def token(number: int = 1) -> str:
    """A token like any other."""
    return f"{number:064x}"


def well_equipped(moto: MotoAws) -> Machine:
    """Start a machine that has everything."""
    ec2, elb = moto.client("ec2"), moto.client("elbv2")
    subnet = ec2.describe_subnets()["Subnets"][0]
    group = ec2.create_security_group(GroupName="web", Description="web", VpcId=subnet["VpcId"])[
        "GroupId"
    ]
    profile = _profile(moto)
    (made,) = moto.run(
        SubnetId=subnet["SubnetId"],
        SecurityGroupIds=[group],
        InstanceType="t3.small",
        UserData=USER_DATA,
        IamInstanceProfile={"Arn": profile},
        TagSpecifications=[
            {
                "ResourceType": "instance",
                "Tags": [{"Key": "Name", "Value": "web-1"}, {"Key": "Team", "Value": "shop"}],
            }
        ],
    )
    volume = ec2.create_volume(Size=5, AvailabilityZone=subnet["AvailabilityZone"])["VolumeId"]
    ec2.attach_volume(VolumeId=volume, InstanceId=made, Device="/dev/sdf")
    address = ec2.allocate_address(Domain="vpc")["AllocationId"]
    ec2.associate_address(AllocationId=address, InstanceId=made)
    interface = ec2.create_network_interface(SubnetId=subnet["SubnetId"])["NetworkInterface"]
    interface_id = interface["NetworkInterfaceId"]
    ec2.attach_network_interface(NetworkInterfaceId=interface_id, InstanceId=made, DeviceIndex=1)
    arn = elb.create_target_group(
        Name="web", Protocol="HTTP", Port=80, VpcId=subnet["VpcId"], TargetType="instance"
    )["TargetGroups"][0]["TargetGroupArn"]
    elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": made, "Port": 8080}])
    return Machine(
        target=target(made),
        subnet=subnet["SubnetId"],
        security_group=group,
        profile=profile,
        data_volume=volume,
        interface=interface_id,
        address=address,
        target_group=arn,
    )


def _profile(moto: MotoAws) -> str:
    iam = moto.client("iam")
    iam.create_role(RoleName="web", AssumeRolePolicyDocument=json.dumps({}))
    arn: str = iam.create_instance_profile(InstanceProfileName="web")["InstanceProfile"]["Arn"]
    iam.add_role_to_instance_profile(InstanceProfileName="web", RoleName="web")
    return arn


def described(moto: MotoAws, instance_id: str) -> Any:
    """An instance as EC2 describes it."""
    answer = moto.client("ec2").describe_instances(InstanceIds=[instance_id])
    return answer["Reservations"][0]["Instances"][0]


def tags(moto: MotoAws, instance_id: str) -> dict[str, str]:
    """Its tags."""
    return {tag["Key"]: tag["Value"] for tag in described(moto, instance_id).get("Tags", [])}


def user_data(moto: MotoAws, instance_id: str) -> str:
    """Its user data."""
    found = moto.client("ec2").describe_instance_attribute(
        InstanceId=instance_id, Attribute="userData"
    )
    return base64.b64decode(found["UserData"]["Value"]).decode()


def operation(kind: OperationKind, where: Target, *, number: int = 1, **fields: Any) -> Operation:
    """An operation that was never asked for."""
    return Operation(token=token(number), kind=kind, target=where, **fields)


def carry_out(operator: Operator, wanted: Operation, *, calls: int = 80) -> Progress:
    """Ask until it is done, also when killed or not answered: then nothing but `begun` is kept."""
    for _ in range(calls):
        try:
            progress = operator.advance(wanted)
        except (Killed, Unavailable):
            wanted = replace(wanted, begun=True)
            continue
        if progress.status in DONE:
            return progress
        wanted = replace(wanted, begun=True, checkpoint=progress.checkpoint)
    raise AssertionError(f"not done after {calls} calls")


def replacement(moto: MotoAws, operator: Operator, machine: Machine) -> Operation:
    return operation(
        OperationKind.REPLACE_WITH_IMAGE,
        machine.target,
        image=moto.image(),
        before=operator.capture(machine.target),
    )


def holders(moto: MotoAws, machine: Machine) -> dict[str, object]:
    """Which instance has each of the things that hang on a machine."""
    ec2, elb = moto.client("ec2"), moto.client("elbv2")
    volume = ec2.describe_volumes(VolumeIds=[machine.data_volume])["Volumes"][0]
    interface = ec2.describe_network_interfaces(NetworkInterfaceIds=[machine.interface])
    address = ec2.describe_addresses(AllocationIds=[machine.address])["Addresses"][0]
    health = elb.describe_target_health(TargetGroupArn=machine.target_group)
    return {
        "volume": [(a["InstanceId"], a["Device"]) for a in volume["Attachments"]],
        "interface": interface["NetworkInterfaces"][0]["Attachment"]["InstanceId"],
        "address": address["InstanceId"],
        "targets": [
            (d["Target"]["Id"], d["Target"]["Port"]) for d in health["TargetHealthDescriptions"]
        ],
    }


def successors(moto: MotoAws, machine: Machine) -> list[str]:
    """Every instance that was ever started to replace a machine."""
    found = moto.client("ec2").describe_instances(
        Filters=[{"Name": "tag:qlrf:replaces", "Values": [machine.target.id]}]
    )
    return [i["InstanceId"] for r in found["Reservations"] for i in r["Instances"]]


def everything_at(instance_id: str) -> dict[str, object]:
    return {
        "volume": [(instance_id, "/dev/sdf")],
        "interface": instance_id,
        "address": instance_id,
        "targets": [(instance_id, 8080)],
    }
