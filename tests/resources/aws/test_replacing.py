"""Replacing a stand-alone instance: what is kept, what is said, and that it can be taken back."""

from dataclasses import replace

import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import FIRST_TRY, Operation, OperationKind, Status
from qlrf_pipelines.ports.executors import Operator
from tests.fakes.aws_killer import Death, dying_operator
from tests.fakes.moto_aws import MotoAws
from tests.resources.aws.machines import (
    USER_DATA,
    Machine,
    carry_out,
    described,
    operation,
    tags,
    target,
    token,
    user_data,
    well_equipped,
)
from tests.resources.aws.two_sides import led_from


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


def test_what_hangs_on_a_machine_hangs_on_its_replacement(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = replacement(moto, operator, machine)

    progress = carry_out(operator, wanted)

    assert progress.asset_id is not None
    assert progress.asset_id != machine.target.id
    assert holders(moto, machine) == everything_at(progress.asset_id)


def test_the_elastic_address_leads_to_the_first_of_several_interfaces(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    progress = carry_out(operator, replacement(moto, operator, machine))

    new = described(moto, progress.asset_id or "")
    interfaces = {i["Attachment"]["DeviceIndex"]: i for i in new["NetworkInterfaces"]}
    address = moto.client("ec2").describe_addresses(AllocationIds=[machine.address])["Addresses"][0]
    assert sorted(interfaces) == [0, 1]
    assert address["NetworkInterfaceId"] == interfaces[0]["NetworkInterfaceId"]
    assert operator.capture(target(new["InstanceId"]))["elastic_address"] == machine.address


def test_a_replacement_is_a_machine_like_the_old_one(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = replacement(moto, operator, machine)

    progress = carry_out(operator, wanted)

    new = described(moto, progress.asset_id or "")
    assert (new["ImageId"], new["InstanceType"]) == (wanted.image, "t3.small")
    assert (new["SubnetId"], new["IamInstanceProfile"]["Arn"]) == (machine.subnet, machine.profile)
    groups = new["NetworkInterfaces"][0]["Groups"]
    assert [group["GroupId"] for group in groups] == [machine.security_group]
    assert user_data(moto, new["InstanceId"]) == USER_DATA
    assert tags(moto, new["InstanceId"]) == {
        "Name": "web-1",
        "Team": "shop",
        "qlrf:operation": token(),
        "qlrf:replaces": machine.target.id,
    }


def test_the_old_machine_is_kept_stopped_and_says_what_replaced_it(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    progress = carry_out(operator, replacement(moto, operator, machine))

    assert described(moto, machine.target.id)["State"]["Name"] == "stopped"
    assert tags(moto, machine.target.id)["qlrf:replaced-by"] == progress.asset_id


def test_a_private_address_that_changes_is_said(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    old = described(moto, machine.target.id)["PrivateIpAddress"]

    progress = carry_out(operator, replacement(moto, operator, machine))

    new = described(moto, progress.asset_id or "")["PrivateIpAddress"]
    assert f"private address is {new} instead of {old}" in progress.detail


def test_user_data_which_may_hold_secrets_is_never_captured(
    operator: Operator, machine: Machine
) -> None:
    assert "echo hello" not in repr(operator.capture(machine.target))


def test_restoring_takes_everything_back_and_ends_the_replacement(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = replacement(moto, operator, machine)
    replaced = carry_out(operator, wanted)

    back = operation(OperationKind.RESTORE, machine.target, number=2, before=wanted.before)
    progress = carry_out(operator, back)

    assert progress.status is Status.SUCCEEDED
    assert progress.asset_id == machine.target.id
    assert holders(moto, machine) == everything_at(machine.target.id)
    assert described(moto, replaced.asset_id or "")["State"]["Name"] == "terminated"
    assert "qlrf:replaced-by" not in tags(moto, machine.target.id)


def test_a_replacement_that_failed_can_be_kept_for_looking_at_it(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = replacement(moto, operator, machine)
    replaced = carry_out(operator, wanted)

    back = operation(
        OperationKind.RESTORE,
        machine.target,
        number=2,
        before=wanted.before,
        parameters={"retain": "true"},
    )
    progress = carry_out(operator, back)

    assert progress.status is Status.SUCCEEDED
    assert described(moto, replaced.asset_id or "")["State"]["Name"] == "stopped"


def test_finalising_ends_the_old_machine_and_only_then_is_restoring_impossible(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = replacement(moto, operator, machine)
    replaced = carry_out(operator, wanted)

    last = operation(OperationKind.FINALISE, machine.target, number=3, before=wanted.before)
    done = carry_out(operator, last)
    back = operation(OperationKind.RESTORE, machine.target, number=4, before=wanted.before)
    late = carry_out(operator, back)

    assert done.status is Status.SUCCEEDED
    assert described(moto, machine.target.id)["State"]["Name"] == "terminated"
    assert late.status is Status.FAILED
    assert "gone" in late.detail
    assert holders(moto, machine) == everything_at(replaced.asset_id or "")


def test_finalising_keeps_the_old_machine_while_its_replacement_does_not_run(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = replacement(moto, operator, machine)
    replaced = carry_out(operator, wanted)
    moto.client("ec2").stop_instances(InstanceIds=[replaced.asset_id])

    last = operation(OperationKind.FINALISE, machine.target, number=3, before=wanted.before)
    progress = carry_out(operator, last)

    assert progress.status is Status.FAILED
    assert described(moto, machine.target.id)["State"]["Name"] == "stopped"


def test_finalising_what_was_never_replaced_ends_nothing(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    before = operator.capture(machine.target)

    last = operation(OperationKind.FINALISE, machine.target, before=before)
    progress = carry_out(operator, last)

    assert progress.status is Status.SUCCEEDED
    assert described(moto, machine.target.id)["State"]["Name"] == "running"


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


def test_an_image_that_is_not_there_changes_nothing(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    before = operator.capture(machine.target)
    wanted = operation(
        OperationKind.REPLACE_WITH_IMAGE, machine.target, image="ami-0dead", before=before
    )

    with pytest.raises(Rejected, match="ami-0dead"):
        operator.advance(wanted)

    assert holders(moto, machine) == everything_at(machine.target.id)
    assert moto.execution.effects["run_instances"] == 1


def test_a_stopped_machine_is_not_replaced(moto: MotoAws, operator: Operator) -> None:
    (made,) = moto.run()
    moto.client("ec2").stop_instances(InstanceIds=[made])
    where = target(made)
    wanted = operation(
        OperationKind.REPLACE_WITH_IMAGE,
        where,
        image=moto.image(),
        before=operator.capture(where),
    )

    with pytest.raises(Rejected, match="start it first"):
        operator.advance(wanted)


def test_keeping_the_first_private_address_is_refused_with_the_reason(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = operation(
        OperationKind.REPLACE_WITH_IMAGE,
        machine.target,
        image=moto.image(),
        before=operator.capture(machine.target),
        parameters={"private_address": "keep"},
    )

    with pytest.raises(Rejected, match="private address"):
        operator.advance(wanted)


@pytest.mark.slow
def test_killed_at_any_call_a_replacement_and_its_restore_are_each_done_once(
    moto: MotoAws,
) -> None:
    length = 70
    for call in range(0, length, 13):
        moto.reset()
        machine = well_equipped(moto)
        operator, connection = dying_operator(moto)
        wanted = replacement(moto, operator, machine)
        connection.dies(call, Death.AFTER if call % 2 else Death.BEFORE)

        replaced = carry_out(operator, wanted)

        assert replaced.status is Status.SUCCEEDED, replaced.detail
        assert moto.execution.effects["run_instances"] == 2
        assert holders(moto, machine) == everything_at(replaced.asset_id or "")
        connection.dies(call, Death.BEFORE if call % 2 else Death.AFTER)
        back = operation(OperationKind.RESTORE, machine.target, number=2, before=wanted.before)
        restored = carry_out(operator, back)
        assert restored.status is Status.SUCCEEDED, restored.detail
        assert holders(moto, machine) == everything_at(machine.target.id)
