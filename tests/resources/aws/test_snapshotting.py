"""Patching with snapshots first: nothing is sent before they are whole, and they bring it back."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import (
    FIRST_TRY,
    RESTORE_SNAPSHOT,
    ROLLBACK,
    Operation,
    OperationKind,
    Progress,
    Status,
)
from qlrf_pipelines.ports.executors import Operator
from tests.fakes.aws_killer import Death, dying_operator
from tests.fakes.faulty_http import Fault, FaultyProxy
from tests.fakes.moto_aws import OWN, MotoAws, aws_connector, aws_executor, moto_aws
from tests.resources.aws.machines import (
    REGION,
    Machine,
    carry_out,
    described,
    operation,
    tags,
    target,
    token,
    well_equipped,
)

WITH_SNAPSHOTS = {ROLLBACK: RESTORE_SNAPSHOT}
ROOT, DATA = "/dev/sda1", "/dev/sdf"


@pytest.fixture
def moto() -> MotoAws:
    server = moto_aws()
    server.reset()
    return server


@pytest.fixture
def machine(moto: MotoAws) -> Machine:
    return equipped(moto)


@pytest.fixture
def operator(moto: MotoAws) -> Operator:
    return aws_executor().operator(aws_connector(moto.url), OWN)


def equipped(moto: MotoAws) -> Machine:
    """A machine with a fast data volume, and something written to both of its volumes."""
    made = well_equipped(moto)
    ec2 = moto.client("ec2")
    ec2.modify_volume(VolumeId=made.data_volume, VolumeType="io1", Iops=500, Size=5)
    ec2.create_tags(Resources=[made.data_volume], Tags=[{"Key": "Name", "Value": "data"}])
    moto.execution.disks.write(OWN, REGION, made.target.id, "ours")
    return made


def patch(operator: Operator, machine: Machine, **fields: Any) -> Operation:
    return operation(
        OperationKind.PATCH_IN_PLACE,
        machine.target,
        before=operator.capture(machine.target),
        parameters=WITH_SNAPSHOTS,
        **fields,
    )


def way_back(patched: Operation, **fields: Any) -> Operation:
    return operation(
        OperationKind.RESTORE, patched.target, number=2, before=patched.before, **fields
    )


def last(patched: Operation) -> Operation:
    return operation(OperationKind.FINALISE, patched.target, number=3, before=patched.before)


def snapshots(moto: MotoAws, machine: Machine) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = moto.client("ec2").describe_snapshots(
        Filters=[{"Name": "tag:qlrf:before", "Values": [machine.target.id]}]
    )["Snapshots"]
    return found


def disks(moto: MotoAws, machine: Machine) -> dict[str, str]:
    """The volume at each device of a machine."""
    found = described(moto, machine.target.id)["BlockDeviceMappings"]
    return {item["DeviceName"]: item["Ebs"]["VolumeId"] for item in found}


def contents(moto: MotoAws, machine: Machine) -> dict[str, list[str]]:
    """What is on the volume at each device."""
    return {
        device: moto.execution.disks.contents[volume]
        for device, volume in disks(moto, machine).items()
    }


def volume(moto: MotoAws, name: str) -> dict[str, Any]:
    found: dict[str, Any] = moto.client("ec2").describe_volumes(VolumeIds=[name])["Volumes"][0]
    return found


def state(moto: MotoAws, machine: Machine) -> str:
    return str(described(moto, machine.target.id)["State"]["Name"])


def tags_of(row: Mapping[str, Any]) -> dict[str, str]:
    return {tag["Key"]: tag["Value"] for tag in row.get("Tags", ())}


def advanced(operator: Operator, wanted: Operation, calls: int) -> tuple[Operation, Progress]:
    for _ in range(calls):
        progress = operator.advance(wanted)
        wanted = replace(wanted, begun=True, checkpoint=progress.checkpoint)
    return wanted, progress


BOTH_OURS = {ROOT: ["ours"], DATA: ["ours"]}
BOTH_PATCHED = {ROOT: ["ours", "patched"], DATA: ["ours", "patched"]}


def test_every_volume_has_a_snapshot_from_before_and_it_says_of_what(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    progress = carry_out(operator, patch(operator, machine))

    assert progress.status is Status.SUCCEEDED
    found = snapshots(moto, machine)
    assert {s["VolumeId"] for s in found} == set(disks(moto, machine).values())
    assert all(tags_of(s)["qlrf:operation"] == token() for s in found)
    assert [moto.execution.disks.snapshots[s["SnapshotId"]] for s in found] == [["ours"]] * 2
    assert contents(moto, machine) == BOTH_PATCHED


def test_nothing_is_sent_while_a_snapshot_is_not_complete(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    moto.execution.disks.polls = 1000

    wanted, progress = advanced(operator, patch(operator, machine), 8)

    assert progress.status is Status.RUNNING
    assert "being completed" in progress.detail
    assert moto.execution.commands == []
    moto.execution.disks.polls = 0
    assert carry_out(operator, wanted).status is Status.SUCCEEDED
    assert moto.execution.effects["create_snapshots"] == 1


def test_a_snapshot_that_failed_keeps_the_patch_from_being_sent(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    moto.execution.disks.state = "error"

    progress = carry_out(operator, patch(operator, machine))

    assert progress.status is Status.FAILED
    assert "not patched" in progress.detail
    assert moto.execution.commands == []


def test_a_patch_that_asks_for_none_takes_none(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = replace(patch(operator, machine), parameters={})

    carry_out(operator, wanted)
    back = carry_out(operator, way_back(wanted))

    assert snapshots(moto, machine) == []
    assert back.status is Status.FAILED
    assert "cannot be taken back" in back.detail


CALLS = ("create_snapshots", "send_command", "create_tags", "describe_snapshots")


@pytest.mark.parametrize("death", list(Death))
@pytest.mark.parametrize("call", CALLS)
def test_killed_at_a_call_that_matters_it_is_done_once_or_an_honest_no(
    moto: MotoAws, machine: Machine, death: Death, call: str
) -> None:
    assert_once_though_killed(moto, machine, call, death)


@pytest.mark.slow
def test_killed_at_any_call_it_is_done_once_or_an_honest_no(moto: MotoAws) -> None:
    for call in range(32):
        moto.reset()
        assert_once_though_killed(moto, equipped(moto), call, list(Death)[call % 3])


def assert_once_though_killed(
    moto: MotoAws, machine: Machine, call: int | str, death: Death
) -> None:
    operator, connection = dying_operator(moto)
    wanted = patch(operator, machine)
    connection.dies(call, death)

    progress = carry_out(operator, wanted)

    taken, sent = (moto.execution.effects[c] for c in ("create_snapshots", "send_command"))
    assert taken <= 1
    assert sent <= 1
    if progress.status is Status.SUCCEEDED:
        assert (taken, sent) == (1, 1)
    elif progress.status is Status.FAILED:
        assert (taken, sent) == (0, 0)
        assert "not patched" in progress.detail
    # Whatever became of the patch, what was there before is there to go back to.
    assert all(
        moto.execution.disks.snapshots[s["SnapshotId"]] == ["ours"]
        for s in snapshots(moto, machine)
    )
    assert sent == 0 or len(snapshots(moto, machine)) == 2


def test_snapshots_that_may_have_been_asked_for_and_are_nowhere_fail_and_a_retry_takes_them(
    moto: MotoAws, machine: Machine
) -> None:
    operator, connection = dying_operator(moto)
    wanted = patch(operator, machine)
    connection.dies("create_snapshots", Death.BEFORE)

    progress = carry_out(operator, wanted)
    retried = replace(
        wanted, token=token(7), parameters={**WITH_SNAPSHOTS, FIRST_TRY: wanted.token}
    )

    assert progress.status is Status.FAILED
    assert carry_out(operator, retried).status is Status.SUCCEEDED
    assert moto.execution.effects["create_snapshots"] == 1


def test_a_retry_keeps_the_snapshots_from_before_the_first_try(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = patch(operator, machine)
    moto.execution.command_status = "Failed"
    first = carry_out(operator, wanted)
    moto.execution.command_status = "Success"
    parameters = {**WITH_SNAPSHOTS, FIRST_TRY: wanted.token}

    second = carry_out(operator, replace(wanted, token=token(7), parameters=parameters))
    back = carry_out(operator, way_back(wanted, parameters={FIRST_TRY: wanted.token}))

    assert (first.status, second.status) == (Status.FAILED, Status.SUCCEEDED)
    assert moto.execution.effects["create_snapshots"] == 1
    assert back.status is Status.SUCCEEDED
    assert contents(moto, machine) == BOTH_OURS


def test_a_retry_never_takes_for_the_state_before_what_an_earlier_try_patched(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = patch(operator, machine)
    carry_out(operator, wanted)
    for found in snapshots(moto, machine):
        moto.client("ec2").delete_snapshot(SnapshotId=found["SnapshotId"])
    parameters = {**WITH_SNAPSHOTS, FIRST_TRY: wanted.token}

    progress = carry_out(operator, replace(wanted, token=token(7), parameters=parameters))

    assert progress.status is Status.FAILED
    assert "earlier try" in progress.detail
    assert moto.execution.effects["create_snapshots"] == 1


def test_a_refused_command_does_not_make_an_earlier_patch_forgotten(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = patch(operator, machine)
    carry_out(operator, wanted)
    parameters = {**WITH_SNAPSHOTS, FIRST_TRY: wanted.token}
    with FaultyProxy(moto.url) as proxy:
        proxy.spoil("SendCommand", Fault.DENIED, nth=0, times=1)
        denied = aws_executor().operator(aws_connector(proxy.url), OWN)
        with pytest.raises(Exception, match="send_command"):
            denied.advance(replace(wanted, token=token(7), parameters=parameters))

    assert tags(moto, machine.target.id)["qlrf:patched"] == wanted.token


def test_restoring_puts_every_volume_back_as_it_was_and_keeps_what_was_patched(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    old = disks(moto, machine)
    wanted = patch(operator, machine)
    carry_out(operator, wanted)

    progress = carry_out(operator, way_back(wanted))

    assert progress.status is Status.SUCCEEDED, progress.detail
    assert progress.asset_id == machine.target.id
    assert contents(moto, machine) == BOTH_OURS
    assert state(moto, machine) == "running"
    for device, name in old.items():
        new = disks(moto, machine)[device]
        assert new != name
        assert volume(moto, name)["State"] == "available"
        assert tags_of(volume(moto, name))["qlrf:replaced-by"] == new
        assert moto.execution.disks.contents[name] == ["ours", "patched"]


def test_a_restored_volume_is_like_the_one_it_replaces(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = patch(operator, machine)
    carry_out(operator, wanted)

    carry_out(operator, way_back(wanted))

    old, new = (volume(moto, v) for v in (machine.data_volume, disks(moto, machine)[DATA]))
    same = ("VolumeType", "Size", "Iops", "Encrypted", "AvailabilityZone")
    assert {k: new.get(k) for k in same} == {k: old.get(k) for k in same}
    assert (new["VolumeType"], new["Iops"]) == ("io1", 500)
    assert tags_of(new)["Name"] == "data"


def test_restoring_again_changes_nothing(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = patch(operator, machine)
    carry_out(operator, wanted)
    carry_out(operator, way_back(wanted))
    there = disks(moto, machine)

    again = carry_out(operator, replace(way_back(wanted), token=token(9)))

    assert again.status is Status.SUCCEEDED
    assert disks(moto, machine) == there
    assert moto.execution.effects["create_volume"] == 3  # the machine's own, and two made


@pytest.mark.slow
@pytest.mark.parametrize("death", list(Death))
def test_killed_at_any_call_a_restore_makes_each_volume_once(moto: MotoAws, death: Death) -> None:
    for call in range(0, 60, 3):
        moto.reset()
        machine = equipped(moto)
        operator, connection = dying_operator(moto)
        wanted = patch(operator, machine)
        carry_out(operator, wanted)
        connection.dies(call, death)

        progress = carry_out(operator, way_back(wanted))

        assert progress.status is Status.SUCCEEDED, progress.detail
        assert contents(moto, machine) == BOTH_OURS
        assert moto.execution.effects["create_volume"] == 3


def test_without_its_snapshots_a_restore_fails_before_it_touches_anything(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = patch(operator, machine)
    carry_out(operator, wanted)
    there = disks(moto, machine)
    (gone,) = (s for s in snapshots(moto, machine) if s["VolumeId"] == machine.data_volume)
    moto.client("ec2").delete_snapshot(SnapshotId=gone["SnapshotId"])

    progress = carry_out(operator, way_back(wanted))

    assert progress.status is Status.FAILED
    assert machine.data_volume in progress.detail
    assert disks(moto, machine) == there
    assert state(moto, machine) == "running"


def test_a_machine_that_was_never_patched_is_as_it_was(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted, _ = advanced(operator, patch(operator, machine), 1)
    there = disks(moto, machine)

    progress = carry_out(operator, way_back(wanted))

    assert progress.status is Status.SUCCEEDED
    assert disks(moto, machine) == there
    assert contents(moto, machine) == BOTH_OURS


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"group": "web"}, "Auto Scaling"),
        ({"root_type": "instance-store"}, "instance store"),
        ({"lifecycle": "spot"}, "spot"),
        ({"volumes": []}, "no volume"),
    ],
)
def test_what_could_not_be_put_back_is_refused_before_anything_is_done(
    moto: MotoAws, operator: Operator, machine: Machine, wrong: dict[str, Any], why: str
) -> None:
    wanted = patch(operator, machine)
    wanted = replace(wanted, before={**wanted.before, **wrong})

    with pytest.raises(Rejected, match=why):
        operator.advance(wanted)

    assert snapshots(moto, machine) == []
    assert moto.execution.commands == []


def test_a_volume_that_was_detached_since_is_no_surprise_on_the_way_back(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = patch(operator, machine)
    moto.client("ec2").detach_volume(VolumeId=machine.data_volume, InstanceId=machine.target.id)

    with pytest.raises(Rejected, match=machine.data_volume):
        operator.advance(wanted)


@pytest.mark.parametrize("fields", [{"parameters": {ROLLBACK: "prayer"}}, {"before": {}}])
def test_a_way_back_nobody_knows_is_refused(
    moto: MotoAws, operator: Operator, machine: Machine, fields: dict[str, Any]
) -> None:
    with pytest.raises(Rejected):
        operator.advance(replace(patch(operator, machine), **fields))

    assert moto.execution.commands == []


def test_finalising_a_patched_machine_deletes_its_snapshots(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = patch(operator, machine)
    carry_out(operator, wanted)

    progress = carry_out(operator, last(wanted))
    again = carry_out(operator, replace(last(wanted), begun=True))

    assert progress.status is again.status is Status.SUCCEEDED
    assert snapshots(moto, machine) == []
    assert contents(moto, machine) == BOTH_PATCHED


def test_finalising_a_restored_machine_keeps_what_was_written_since(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    old = disks(moto, machine)
    wanted = patch(operator, machine)
    carry_out(operator, wanted)
    carry_out(operator, way_back(wanted))

    progress = carry_out(operator, last(wanted))

    assert progress.status is Status.SUCCEEDED
    assert snapshots(moto, machine) == []
    assert contents(moto, machine) == BOTH_OURS
    assert all(volume(moto, name)["State"] == "available" for name in old.values())
    assert all(name in progress.detail for name in old.values())


def test_finalising_in_the_middle_of_a_restore_deletes_nothing(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = patch(operator, machine)
    carry_out(operator, wanted)
    advanced(operator, way_back(wanted), 2)

    progress = carry_out(operator, last(wanted))

    assert progress.status is Status.FAILED
    assert len(snapshots(moto, machine)) == 2


def test_finalising_a_machine_that_does_not_run_deletes_nothing(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    wanted = patch(operator, machine)
    carry_out(operator, wanted)
    moto.client("ec2").stop_instances(InstanceIds=[machine.target.id])

    progress = carry_out(operator, last(wanted))

    assert progress.status is Status.FAILED
    assert len(snapshots(moto, machine)) == 2


def test_snapshots_of_another_machine_or_patch_are_left_alone(
    moto: MotoAws, operator: Operator, machine: Machine
) -> None:
    (other,) = moto.run()
    elsewhere = replace(machine, target=target(other))
    carry_out(operator, patch(operator, elsewhere, number=5))
    wanted = patch(operator, machine)
    carry_out(operator, wanted)

    carry_out(operator, last(wanted))

    assert snapshots(moto, machine) == []
    assert len(snapshots(moto, elsewhere)) == 1
