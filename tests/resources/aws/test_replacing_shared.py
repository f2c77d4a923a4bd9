"""Replacing a stand-alone instance that others have a hand in: nothing of theirs is taken."""

from dataclasses import replace

import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import FIRST_TRY, OperationKind, Status
from qlrf_pipelines.ports.executors import Operator
from tests.fakes.aws_killer import dying_operator
from tests.fakes.moto_aws import MotoAws
from tests.resources.aws.machines import (
    Machine,
    carry_out,
    described,
    everything_at,
    holders,
    operation,
    replacement,
    successors,
    target,
    token,
)
from tests.resources.aws.two_sides import led_from


def test_a_volume_somebody_else_took_is_left_to_them(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = replacement(moto, operator, machine)
    ec2 = moto.client("ec2")
    (other,) = moto.run()
    ec2.detach_volume(VolumeId=machine.data_volume, InstanceId=machine.target.id)
    ec2.attach_volume(VolumeId=machine.data_volume, InstanceId=other, Device="/dev/sdf")

    progress = carry_out(operator, wanted)

    assert progress.status is Status.FAILED
    assert other in progress.detail
    assert holders(moto, machine)["volume"] == [(other, "/dev/sdf")]


def test_a_volume_that_several_machines_may_have_is_not_moved_and_nothing_is_started(
    moto: MotoAws, operator: Operator
) -> None:
    ec2 = moto.client("ec2")
    (made,) = moto.run()
    zone = described(moto, made)["Placement"]["AvailabilityZone"]
    shared = ec2.create_volume(
        Size=10, AvailabilityZone=zone, VolumeType="io2", Iops=500, MultiAttachEnabled=True
    )["VolumeId"]
    ec2.attach_volume(VolumeId=shared, InstanceId=made, Device="/dev/sdf")
    wanted = operation(
        OperationKind.REPLACE_WITH_IMAGE,
        target(made),
        image=moto.image(),
        before=operator.capture(target(made)),
    )

    with pytest.raises(Rejected, match=f"{shared} can be attached to several machines"):
        operator.advance(wanted)

    assert moto.execution.effects["run_instances"] == 1
    assert described(moto, made)["State"]["Name"] == "running"


@pytest.mark.parametrize("call", ["attach_network_interface", "detach_network_interface"])
def test_an_interface_asked_for_twice_by_the_sdk_is_looked_at_again(
    moto: MotoAws, machine: Machine, call: str
) -> None:
    operator, connection = dying_operator(moto)
    wanted = replacement(moto, operator, machine)
    connection.repeats(call)

    progress = carry_out(operator, wanted)

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert holders(moto, machine) == everything_at(progress.asset_id or "")
    assert connection.calls.count(call) == 1


def test_a_machine_that_another_network_leads_to_by_address_is_not_replaced(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    far = led_from(moto, machine.target.id, "10.77.0.0/16")

    with pytest.raises(Rejected, match=f"{far} of another network"):
        operator.advance(replacement(moto, operator, machine))

    assert moto.execution.effects["run_instances"] == 1


def test_another_networks_machine_with_the_same_address_is_no_obstacle(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    address = described(moto, machine.target.id)["PrivateIpAddress"]
    led_from(moto, machine.target.id, "172.31.0.0/16")
    ec2 = moto.client("ec2")
    far = ec2.describe_vpcs()["Vpcs"][-1]["VpcId"]
    subnet = ec2.create_subnet(VpcId=far, CidrBlock="172.31.0.0/16")["Subnet"]["SubnetId"]
    ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress=address)

    progress = carry_out(operator, replacement(moto, operator, machine))

    assert progress.status is Status.SUCCEEDED, progress.detail


def test_a_retry_ends_what_an_earlier_try_started(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    first = replacement(moto, operator, machine)
    operator.advance(first)
    (earlier,) = successors(moto, machine)

    again = replace(first, token=token(5), parameters={FIRST_TRY: first.token})
    progress = carry_out(operator, again)

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert progress.asset_id not in (None, earlier)
    assert described(moto, earlier)["State"]["Name"] == "terminated"
    assert holders(moto, machine) == everything_at(progress.asset_id or "")


def test_another_change_starts_nothing_while_what_was_started_before_it_runs(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    first = replacement(moto, operator, machine)
    operator.advance(first)
    (earlier,) = successors(moto, machine)

    with pytest.raises(Rejected, match=f"{earlier}, which was started.*roll that back first"):
        operator.advance(replace(first, token=token(5)))

    assert successors(moto, machine) == [earlier]
    assert described(moto, earlier)["State"]["Name"] == "running"


def test_a_retry_ends_nothing_that_has_taken_over(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    first = replacement(moto, operator, machine)
    new = carry_out(operator, first).asset_id or ""
    moto.client("ec2").start_instances(InstanceIds=[machine.target.id])

    with pytest.raises(Rejected, match="roll that back first"):
        operator.advance(replace(first, token=token(5), parameters={FIRST_TRY: first.token}))

    assert holders(moto, machine) == everything_at(new)
    assert successors(moto, machine) == [new]
