"""A new side beside a machine: like it, idle, and nothing of the old one is touched."""

from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import FIRST_TRY, OperationKind, Status
from qlrf_pipelines.ports.executors import Operator
from tests.fakes.aws_killer import Death, dying_operator
from tests.fakes.moto_aws import MotoAws
from tests.resources.aws.machines import (
    USER_DATA,
    carry_out,
    described,
    operation,
    tags,
    target,
    token,
    user_data,
    well_equipped,
)
from tests.resources.aws.two_sides import (
    Fronted,
    advanced,
    all_at,
    beside,
    fronted,
    led_from,
    marks,
    sides,
    state,
    switch,
    traffic,
)


@pytest.fixture
def machine(moto: MotoAws) -> Fronted:
    return fronted(moto)


def test_a_new_side_runs_beside_the_old_one_which_keeps_all_its_traffic(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    progress = carry_out(operator, beside(moto, operator, machine.target))

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert state(moto, progress.asset_id or "") == "running"
    assert state(moto, machine.id) == "running"
    assert traffic(moto, machine) == all_at(machine, machine.id)
    assert moto.execution.balancers.told == []
    assert marks(moto, machine.id) == set()


def test_a_new_side_is_a_machine_like_the_old_one_and_says_that_it_is_idle(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    wanted = beside(moto, operator, machine.target)

    new = carry_out(operator, wanted).asset_id or ""

    old, made = described(moto, machine.id), described(moto, new)
    same = ("InstanceType", "SubnetId")
    assert {k: made[k] for k in same} == {k: old[k] for k in same}
    assert made["ImageId"] == wanted.image
    assert user_data(moto, new) == USER_DATA
    assert tags(moto, new) == {
        "Name": "web-1",
        "qlrf:operation": token(),
        "qlrf:replaces": machine.id,
        "qlrf:beside": machine.id,
        "qlrf:idle": "true",
    }


def test_a_new_side_has_a_public_address_of_its_own_while_the_old_one_has_the_elastic_one(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    new = carry_out(operator, beside(moto, operator, machine.target)).asset_id or ""

    assert described(moto, new).get("PublicIpAddress")


def test_every_call_once_it_is_started_says_which_the_new_side_is(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    wanted = beside(moto, operator, machine.target)

    said = []
    for _ in range(5):
        wanted, progress = advanced(operator, wanted, 1)
        said.append(progress.asset_id)

    assert said == sides(moto, machine) * 5


@pytest.mark.parametrize("call", range(9))
@pytest.mark.parametrize("death", [Death.BEFORE, Death.AFTER, Death.NO_ANSWER])
def test_killed_at_any_call_one_new_side_is_started(
    moto: MotoAws, machine: Fronted, call: int, death: Death
) -> None:
    operator, connection = dying_operator(moto)
    wanted = beside(moto, operator, machine.target)
    connection.dies(call, death)

    progress = carry_out(operator, wanted)

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert sides(moto, machine) == [progress.asset_id]


def test_a_new_side_that_somebody_ended_is_a_failure_and_not_started_again(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    wanted, started = advanced(operator, beside(moto, operator, machine.target), 1)
    moto.client("ec2").terminate_instances(InstanceIds=[started.asset_id])

    progress = carry_out(operator, wanted)

    assert progress.status is Status.FAILED
    assert "has ended" in progress.detail
    assert len(sides(moto, machine)) == 1


def test_a_new_side_that_somebody_stopped_is_not_started_again(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    wanted, started = advanced(operator, beside(moto, operator, machine.target), 1)
    moto.client("ec2").stop_instances(InstanceIds=[started.asset_id])

    progress = carry_out(operator, wanted)

    assert progress.status is Status.FAILED
    assert "stopped by somebody else" in progress.detail
    assert state(moto, started.asset_id or "") == "stopped"


def test_a_retry_ends_the_side_of_the_earlier_try_and_starts_its_own(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    first = beside(moto, operator, machine.target)
    old = carry_out(operator, first).asset_id or ""

    retried = beside(moto, operator, machine.target, number=5, parameters={FIRST_TRY: first.token})
    progress = carry_out(operator, retried)

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert progress.asset_id not in (None, old)
    assert state(moto, old) == "terminated"
    assert traffic(moto, machine) == all_at(machine, machine.id)


def test_the_side_of_another_change_is_left_alone(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    other = carry_out(operator, beside(moto, operator, machine.target)).asset_id or ""

    with pytest.raises(Rejected, match=f"{other} stands beside"):
        operator.advance(beside(moto, operator, machine.target, number=5))

    assert state(moto, other) == "running"
    assert sides(moto, machine) == [other]


def test_a_machine_whose_traffic_another_has_gets_no_new_side(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    first = beside(moto, operator, machine.target)
    new = carry_out(operator, first).asset_id
    carry_out(operator, switch(first, new))

    with pytest.raises(Rejected, match=f"{new} has its traffic already"):
        operator.advance(beside(moto, operator, machine.target, number=5, before=first.before))

    assert sides(moto, machine) == [new]


def test_what_cannot_stand_on_both_sides_is_rejected_with_the_reason(
    moto: MotoAws, operator: Operator
) -> None:
    equipped = well_equipped(moto)
    wanted = beside(moto, operator, equipped.target)

    with pytest.raises(Rejected, match=f"data volumes .{equipped.data_volume}"):
        operator.advance(wanted)

    assert moto.execution.effects["run_instances"] == 1


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"interfaces": [{"id": "eni-1", "index": 1}]}, "eni-1"),
        ({"more_private_addresses": 1}, "several addresses"),
        ({"lifecycle": "spot"}, "spot instance, which AWS may end"),
        ({"target_groups": [], "elastic_address": None}, "plan it with rolling or canary"),
    ],
)
def test_each_reason_against_a_second_side_is_said(
    moto: MotoAws, operator: Operator, machine: Fronted, changed: dict[str, Any], why: str
) -> None:
    before = {**operator.capture(machine.target), **changed}

    with pytest.raises(Rejected, match=why):
        operator.advance(beside(moto, operator, machine.target, before=before))

    assert sides(moto, machine) == []


def test_a_private_address_to_be_kept_and_a_machine_that_is_stopped_are_rejected(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    keeping = {"private_address": "keep"}

    with pytest.raises(Rejected, match="private address"):
        operator.advance(beside(moto, operator, machine.target, parameters=keeping))
    moto.client("ec2").stop_instances(InstanceIds=[machine.id])
    with pytest.raises(Rejected, match="start it first"):
        operator.advance(beside(moto, operator, machine.target))

    assert sides(moto, machine) == []


def test_a_machine_that_another_network_leads_to_by_address_gets_no_new_side(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    far = led_from(moto, machine.id, "10.77.0.0/16")

    with pytest.raises(Rejected, match=f"{far} of another network"):
        operator.advance(beside(moto, operator, machine.target))

    assert sides(moto, machine) == []


def test_an_instance_store_root_is_no_obstacle_as_nothing_is_stopped(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    before = {**operator.capture(machine.target), "root_type": "instance-store", "volumes": []}

    progress = carry_out(operator, beside(moto, operator, machine.target, before=before))

    assert progress.status is Status.SUCCEEDED, progress.detail


def test_a_member_of_a_group_has_no_second_side(moto: MotoAws, operator: Operator) -> None:
    template = moto.client("ec2").create_launch_template(
        LaunchTemplateName="web", LaunchTemplateData={"ImageId": "ami-12c6146b"}
    )["LaunchTemplate"]["LaunchTemplateId"]
    scaling = moto.client("autoscaling")
    scaling.create_auto_scaling_group(
        AutoScalingGroupName="web",
        MinSize=1,
        MaxSize=1,
        LaunchTemplate={"LaunchTemplateId": template, "Version": "1"},
        AvailabilityZones=["us-east-1a"],
    )
    answer = scaling.describe_auto_scaling_groups()["AutoScalingGroups"]
    where = target(answer[0]["Instances"][0]["InstanceId"])
    wanted = beside(moto, operator, where)

    with pytest.raises(Rejected, match="group web has no second side here"):
        operator.advance(wanted)
    with pytest.raises(Rejected, match="no second side"):
        operator.advance(switch(wanted, "i-1"))

    back = operation(
        OperationKind.RESTORE,
        where,
        number=3,
        before=wanted.before,
        parameters={"operation": "start_beside"},
    )
    assert operator.advance(back).status is Status.SUCCEEDED
    assert moto.execution.effects["start_instance_refresh"] == 0
