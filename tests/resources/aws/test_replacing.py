"""Replacing a stand-alone instance: what is kept, what is said, and that it can be taken back."""

import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import OperationKind, Status
from qlrf_pipelines.ports.executors import Operator
from tests.fakes.aws_killer import Death, dying_operator
from tests.fakes.moto_aws import MotoAws
from tests.resources.aws.machines import (
    USER_DATA,
    Machine,
    carry_out,
    described,
    everything_at,
    holders,
    operation,
    replacement,
    tags,
    target,
    token,
    user_data,
    well_equipped,
)


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
