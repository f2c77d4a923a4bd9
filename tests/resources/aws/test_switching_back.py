"""The way back between two sides, the end of the old one, and deaths at any call of either."""

import pytest

from qlrf_pipelines.domain.operations import Operation, Status
from qlrf_pipelines.ports.executors import Operator
from tests.fakes.aws_killer import Death, dying_operator
from tests.fakes.moto_aws import MotoAws
from tests.resources.aws.machines import carry_out, tags
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
    sides,
    state,
    switch,
    switched,
    traffic,
    way_back,
)


@pytest.fixture
def machine(moto: MotoAws) -> Fronted:
    return fronted(moto)


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
    for call in range(6 * list(Death).index(death), 72, 18):
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
