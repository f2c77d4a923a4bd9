"""The switch between two sides: nobody is without an answer, and the old side can be taken back."""

from dataclasses import replace

import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import Operation, Status
from qlrf_pipelines.ports.executors import Operator
from tests.fakes.moto_aws import MotoAws
from tests.resources.aws.machines import carry_out, described, tags
from tests.resources.aws.two_sides import (
    TIMED_OUT,
    Fronted,
    advanced,
    all_at,
    beside,
    fronted,
    last,
    marks,
    new_side,
    state,
    switch,
    switched,
    traffic,
    traffic_of_groups,
    way_back,
)


@pytest.fixture
def machine(moto: MotoAws) -> Fronted:
    return fronted(moto)


def test_the_new_side_has_all_the_traffic_and_the_old_one_runs_on_without(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    new = switched(operator, started)

    assert traffic(moto, machine) == all_at(machine, new)
    assert state(moto, machine.id) == state(moto, new) == "running"


@pytest.mark.parametrize("by", ["instance", "ip"])
def test_nobody_leaves_before_the_new_side_is_healthy_everywhere(
    moto: MotoAws, operator: Operator, by: str
) -> None:
    machine = fronted(moto, by=by)
    wanted = beside(moto, operator, machine.target)
    new = carry_out(operator, wanted).asset_id or ""
    balancers = moto.execution.balancers
    balancers.joins, balancers.drains = 3, 2

    progress = carry_out(operator, switch(wanted, new))

    assert progress.status is Status.SUCCEEDED, progress.detail
    names = (machine.id, new)
    if by == "ip":
        names = tuple(described(moto, name)["PrivateIpAddress"] for name in names)
    old, made = names
    joins, leaves = ("register_targets", made), ("deregister_targets", old)
    assert balancers.told == [joins, joins, leaves, leaves]
    assert traffic(moto, machine) == all_at(machine, made, address=new)


def test_both_answer_while_a_health_check_runs_and_the_old_side_only_drains_after(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    new = new_side(moto, machine)
    moto.execution.balancers.joins = 1000
    wanted, _ = advanced(operator, switch(started, new), 6)
    both = traffic(moto, machine)
    moto.execution.balancers.joining.clear()
    moto.execution.balancers.drains = 1000

    _, progress = advanced(operator, wanted, 6)

    assert both == all_at(machine, machine.id, new)
    assert progress.status is Status.RUNNING
    assert "ends its connections" in progress.detail
    assert traffic(moto, machine) == all_at(machine, new)


def test_who_has_no_traffic_says_so_for_those_who_select_by_tags(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    new = switched(operator, started)

    assert "qlrf:idle" not in tags(moto, new)
    assert tags(moto, machine.id)["qlrf:idle"] == "true"
    assert tags(moto, machine.id)["qlrf:replaced-by"] == new


def test_switching_again_changes_nothing(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    new = switched(operator, started)
    told = list(moto.execution.balancers.told)

    progress = carry_out(operator, switch(started, new, number=7))

    assert progress.status is Status.SUCCEEDED
    assert moto.execution.balancers.told == told


def test_a_new_side_that_stays_unhealthy_fails_with_its_reason_and_the_old_one_keeps_answering(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    new = new_side(moto, machine)
    moto.execution.balancers.health[new] = TIMED_OUT

    progress = carry_out(operator, switch(started, new))

    assert progress.status is Status.FAILED
    assert f"{new} is unhealthy (Target.Timeout: Request timed out)" in progress.detail
    assert "still after 300 s" in progress.detail
    assert machine.id in traffic(moto, machine)[machine.groups[0]]
    assert traffic(moto, machine)["address"] == [machine.id]


def test_a_group_that_judges_slowly_is_waited_for_longer(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    for arn in machine.groups:
        moto.client("elbv2").modify_target_group(
            TargetGroupArn=arn, HealthCheckIntervalSeconds=60, HealthyThresholdCount=8
        )

    found = operator.capture(machine.target)["target_groups"]

    assert [group["patience"] for group in found] == [2 * (8 + 2) * 60] * 2


def test_a_group_that_no_listener_uses_is_joined_and_not_waited_for(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    unused = ("unused", "Target.NotInUse", "")
    health = moto.execution.balancers.health
    health[machine.id] = unused
    wanted = beside(moto, operator, machine.target)
    new = carry_out(operator, wanted).asset_id or ""
    health[new] = unused

    progress = carry_out(operator, switch(wanted, new))

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert traffic(moto, machine) == all_at(machine, new)


@pytest.mark.parametrize("how", ["terminate_instances", "stop_instances"])
def test_a_new_side_that_does_not_run_is_not_switched_to(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation, how: str
) -> None:
    new = new_side(moto, machine)
    getattr(moto.client("ec2"), how)(InstanceIds=[new])

    progress = carry_out(operator, switch(started, new))

    assert progress.status is Status.FAILED
    assert new in progress.detail
    assert traffic(moto, machine) == all_at(machine, machine.id)
    assert marks(moto, machine.id) == set()


def test_only_what_was_started_beside_a_machine_is_switched_to(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    (other,) = moto.run()

    progress = carry_out(operator, switch(started, other))
    gone = carry_out(operator, switch(started, "i-0123456789abcdef0"))

    assert progress.status is gone.status is Status.FAILED
    assert "was not started beside" in progress.detail
    assert traffic(moto, machine) == all_at(machine, machine.id)
    with pytest.raises(Rejected, match="name the new side"):
        operator.advance(replace(switch(started, other), parameters={}))


def test_without_an_old_side_that_runs_nothing_is_switched(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    new = new_side(moto, machine)
    moto.client("ec2").stop_instances(InstanceIds=[machine.id])

    progress = carry_out(operator, switch(started, new))

    assert progress.status is Status.FAILED
    assert "no way back" in progress.detail
    assert traffic(moto, machine)["address"] == [machine.id]
    assert new not in traffic(moto, machine)[machine.groups[0]]


def test_a_machine_somebody_took_out_of_a_group_is_not_replaced_in_it(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    elb, arn = moto.client("elbv2"), machine.groups[1]
    elb.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": machine.id}])

    progress = carry_out(operator, switch(started, new_side(moto, machine)))

    assert progress.status is Status.FAILED
    assert f"{machine.id} was taken out of {arn} by somebody else" in progress.detail
    assert traffic(moto, machine)[arn] == []


def test_a_new_side_somebody_took_out_again_is_not_put_back(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    new, elb, arn = new_side(moto, machine), moto.client("elbv2"), machine.groups[0]
    moto.execution.balancers.joins = 1000
    wanted, _ = advanced(operator, switch(started, new), 5)
    elb.deregister_targets(TargetGroupArn=arn, Targets=[{"Id": new}])

    progress = carry_out(operator, wanted)

    assert progress.status is Status.FAILED
    assert f"{new} was taken out of {arn} by somebody else" in progress.detail
    assert traffic(moto, machine)[arn] == [machine.id]


def test_an_old_side_somebody_put_back_is_not_taken_out_again(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    new, elb, arn = new_side(moto, machine), moto.client("elbv2"), machine.groups[0]
    moto.execution.balancers.drains = 1000
    wanted, _ = advanced(operator, switch(started, new), 8)
    assert traffic(moto, machine) == all_at(machine, new)
    elb.register_targets(TargetGroupArn=arn, Targets=[{"Id": machine.id, "Port": 8080}])

    progress = carry_out(operator, wanted)

    assert progress.status is Status.FAILED
    assert f"{machine.id} was put back into {arn} by somebody else" in progress.detail


def test_traffic_that_was_added_since_is_neither_cut_off_nor_forgotten(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    elb, new = moto.client("elbv2"), new_side(moto, machine)
    vpc = described(moto, machine.id)["VpcId"]
    arn = elb.create_target_group(Name="late", Protocol="HTTP", Port=80, VpcId=vpc)["TargetGroups"][
        0
    ]["TargetGroupArn"]
    late = {"TargetGroupArn": arn, "Targets": [{"Id": machine.id, "Port": 80}]}
    elb.register_targets(**late)
    forth = carry_out(operator, switch(started, new))
    elb.deregister_targets(**late)
    carry_out(operator, switch(started, new))
    elb.register_targets(**late)

    end = carry_out(operator, last(started))

    for progress in (forth, end):
        assert progress.status is Status.FAILED
        assert f"{machine.id} was put into {arn} by somebody else" in progress.detail
    assert state(moto, machine.id) == "running"


def test_an_address_somebody_moved_is_left_to_them(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    (other,) = moto.run()
    ec2 = moto.client("ec2")
    ec2.associate_address(AllocationId=machine.address, InstanceId=other, AllowReassociation=True)

    forth = carry_out(operator, switch(started, new_side(moto, machine)))
    back = carry_out(operator, way_back(started))

    for progress in (forth, back):
        assert progress.status is Status.FAILED
        assert f"associated with {other} by somebody else" in progress.detail
    assert traffic(moto, machine) == all_at(machine, machine.id, address=other)


def test_an_address_somebody_took_off_or_released_is_said(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    ec2, new = moto.client("ec2"), new_side(moto, machine)
    found = ec2.describe_addresses(AllocationIds=[machine.address])["Addresses"][0]
    ec2.disassociate_address(AssociationId=found["AssociationId"])
    off = carry_out(operator, switch(started, new))
    ec2.release_address(AllocationId=machine.address)
    gone = carry_out(operator, switch(started, new))

    assert off.status is gone.status is Status.FAILED
    assert "taken off by somebody else" in off.detail
    assert "somebody released it" in gone.detail
    assert new not in traffic_of_groups(moto, machine)


def test_a_target_group_somebody_deleted_is_said_and_the_rest_is_given_back(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    kept, lost = machine.groups
    new = switched(operator, started)
    moto.client("elbv2").delete_target_group(TargetGroupArn=lost)

    forth = carry_out(operator, switch(started, new))
    back = carry_out(operator, way_back(started))

    assert forth.status is back.status is Status.FAILED
    assert f"{lost} is gone" in forth.detail
    assert f"not from {lost}" in back.detail
    assert traffic_of_groups(moto, replace(machine, groups=(kept,))) == [machine.id]
    assert state(moto, new) == "terminated"
