"""The switch between two sides: nobody is without an answer, and the old side can be taken back."""

from dataclasses import replace

import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import Operation, Status
from qlrf_pipelines.ports.executors import Operator
from tests.fakes.aws_killer import Death, dying_operator
from tests.fakes.moto_aws import MotoAws
from tests.resources.aws.machines import carry_out, described, tags
from tests.resources.aws.two_sides import (
    Fronted,
    advanced,
    all_at,
    beside,
    fronted,
    last,
    marks,
    sides,
    state,
    switch,
    switched,
    traffic,
    way_back,
)

TIMED_OUT = ("unhealthy", "Target.Timeout", "Request timed out")


@pytest.fixture
def machine(moto: MotoAws) -> Fronted:
    return fronted(moto)


@pytest.fixture
def started(moto: MotoAws, operator: Operator, machine: Fronted) -> Operation:
    """The start of a new side, carried out."""
    wanted = beside(moto, operator, machine.target)
    carry_out(operator, wanted)
    return wanted


def new_side(moto: MotoAws, machine: Fronted) -> str:
    (found,) = sides(moto, machine)
    return found


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


def traffic_of_groups(moto: MotoAws, machine: Fronted) -> list[str]:
    """Everybody in any of its groups."""
    found = (
        moto.client("elbv2").describe_target_health(TargetGroupArn=arn) for arn in machine.groups
    )
    return [d["Target"]["Id"] for each in found for d in each["TargetHealthDescriptions"]]


@pytest.mark.parametrize("calls", [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 30])
def test_from_any_stage_the_old_side_gets_its_traffic_back_and_the_new_one_ends(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation, calls: int
) -> None:
    new = new_side(moto, machine)
    moto.execution.balancers.drains = 2
    wanted = switch(started, new)
    for _ in range(calls):
        wanted, _ = advanced(operator, wanted, 1)

    progress = carry_out(operator, way_back(started))

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert progress.asset_id == machine.id
    assert traffic(moto, machine) == all_at(machine, machine.id)
    assert state(moto, machine.id) == "running"
    assert state(moto, new) == "terminated"
    assert marks(moto, machine.id) == set()


def test_with_nothing_started_there_is_nothing_to_end(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    wanted = beside(moto, operator, machine.target)

    progress = carry_out(operator, way_back(wanted))

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert traffic(moto, machine) == all_at(machine, machine.id)
    assert moto.execution.balancers.told == []


def test_on_the_way_back_the_new_side_leaves_only_when_the_old_one_is_healthy_again(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    new = switched(operator, started)
    balancers = moto.execution.balancers
    balancers.told.clear()
    balancers.joins = 1000
    wanted, _ = advanced(operator, way_back(started), 8)
    both = traffic(moto, machine)
    balancers.joining.clear()

    progress = carry_out(operator, wanted)

    assert both == all_at(machine, new, machine.id)
    assert progress.status is Status.SUCCEEDED, progress.detail
    assert (
        balancers.told == [("register_targets", machine.id)] * 2 + [("deregister_targets", new)] * 2
    )


def test_an_old_side_that_was_not_healthy_before_need_not_be_on_the_way_back(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    moto.execution.balancers.health[machine.id] = TIMED_OUT
    wanted = beside(moto, operator, machine.target)
    switched(operator, wanted)

    progress = carry_out(operator, way_back(wanted))

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert traffic(moto, machine) == all_at(machine, machine.id)


def test_an_old_side_that_somebody_stopped_is_started_on_the_way_back(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    switched(operator, started)
    moto.client("ec2").stop_instances(InstanceIds=[machine.id])

    progress = carry_out(operator, way_back(started))

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert traffic(moto, machine) == all_at(machine, machine.id)


def test_a_new_side_that_ended_by_itself_is_no_obstacle_on_the_way_back(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    new = switched(operator, started)
    moto.client("ec2").terminate_instances(InstanceIds=[new])

    progress = carry_out(operator, way_back(started))

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert traffic(moto, machine) == all_at(machine, machine.id)


def test_a_new_side_can_be_kept_stopped_for_looking_at_it_and_is_no_new_side_any_more(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    new = switched(operator, started)

    progress = carry_out(operator, way_back(started, retain="true"))

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert state(moto, new) == "stopped"
    assert tags(moto, new)["qlrf:retained"] == machine.id
    assert marks(moto, new) == {"qlrf:retained", "qlrf:operation"}
    assert traffic(moto, machine) == all_at(machine, machine.id)
    again = carry_out(operator, beside(moto, operator, machine.target, number=8))
    assert again.status is Status.SUCCEEDED, again.detail
    assert state(moto, new) == "stopped"


def test_finalising_ends_the_old_side_and_from_then_on_there_is_no_way_back(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    new = switched(operator, started)

    done = carry_out(operator, last(started))
    late = carry_out(operator, way_back(started, number=5))

    assert done.status is Status.SUCCEEDED, done.detail
    assert state(moto, machine.id) == "terminated"
    assert late.status is Status.FAILED
    assert "gone" in late.detail
    assert traffic(moto, machine) == all_at(machine, new)
    assert state(moto, new) == "running"


def test_an_old_side_is_kept_while_the_new_one_lacks_any_of_the_traffic(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    early = carry_out(operator, last(started))
    new, elb, ec2 = switched(operator, started), moto.client("elbv2"), moto.client("ec2")
    health = moto.execution.balancers.health
    health[new] = TIMED_OUT
    sick = carry_out(operator, last(started))
    health.clear()
    arn, given = machine.groups[1], [{"Id": new, "Port": 8080}]
    elb.deregister_targets(TargetGroupArn=arn, Targets=given)
    outside = carry_out(operator, last(started))
    elb.register_targets(TargetGroupArn=arn, Targets=given)
    ec2.associate_address(
        AllocationId=machine.address, InstanceId=machine.id, AllowReassociation=True
    )
    unaddressed = carry_out(operator, last(started))
    ec2.stop_instances(InstanceIds=[new])
    stopped = carry_out(operator, last(started))

    said = {
        early.detail: "both are kept",
        sick.detail: "Target.Timeout",
        outside.detail: f"not registered in {arn}",
        unaddressed.detail: "does not lead to",
        stopped.detail: "does not run",
    }
    for progress in (early, sick, outside, unaddressed, stopped):
        assert progress.status is Status.FAILED
        assert said[progress.detail] in progress.detail
    assert state(moto, machine.id) == "running"


def test_finalising_waits_for_the_old_side_to_end_its_connections(
    moto: MotoAws, operator: Operator, machine: Fronted, started: Operation
) -> None:
    new = new_side(moto, machine)
    moto.execution.balancers.drains = 1000
    advanced(operator, switch(started, new), 8)

    _, progress = advanced(operator, last(started), 1)

    assert progress.status is Status.RUNNING
    assert "ends its connections" in progress.detail
    assert state(moto, machine.id) == "running"


def test_finalising_where_nothing_was_started_ends_nothing(
    moto: MotoAws, operator: Operator, machine: Fronted
) -> None:
    wanted = beside(moto, operator, machine.target)

    progress = carry_out(operator, last(wanted))

    assert progress.status is Status.SUCCEEDED
    assert state(moto, machine.id) == "running"


@pytest.mark.slow
@pytest.mark.parametrize("death", list(Death))
def test_killed_at_any_call_the_switch_and_the_way_back_are_each_done_once(
    moto: MotoAws, death: Death
) -> None:
    for call in range(3 * list(Death).index(death), 72, 9):
        moto.reset()
        machine = fronted(moto)
        moto.execution.balancers.drains = 1
        operator, connection = dying_operator(moto)
        wanted = beside(moto, operator, machine.target)
        new = carry_out(operator, wanted).asset_id or ""
        connection.dies(call, death)

        forth = carry_out(operator, switch(wanted, new))

        assert forth.status is Status.SUCCEEDED, forth.detail
        assert traffic(moto, machine) == all_at(machine, new)
        connection.dies(call + 1, death)
        back = carry_out(operator, way_back(wanted))
        assert back.status is Status.SUCCEEDED, back.detail
        assert traffic(moto, machine) == all_at(machine, machine.id)
        assert state(moto, new) == "terminated"
        assert state(moto, machine.id) == "running"
        assert sides(moto, machine) == [new]


@pytest.mark.parametrize("call", range(12))
def test_killed_at_any_call_the_old_side_is_ended_once_and_only_then(
    moto: MotoAws, machine: Fronted, call: int
) -> None:
    operator, connection = dying_operator(moto)
    wanted = beside(moto, operator, machine.target)
    new = switched(operator, wanted)
    connection.dies(call, Death.AFTER if call % 2 else Death.BEFORE)

    progress = carry_out(operator, last(wanted))

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert state(moto, machine.id) == "terminated"
    assert traffic(moto, machine) == all_at(machine, new)
