"""The way back: every volume as it was, what was patched kept, and when snapshots may go."""

from dataclasses import replace

import pytest

from qlrf_pipelines.domain.operations import Status
from qlrf_pipelines.ports.executors import Operator
from tests.fakes.aws_killer import Death, dying_operator
from tests.fakes.moto_aws import MotoAws
from tests.resources.aws.machines import Machine, carry_out, target, token
from tests.resources.aws.snapshots import (
    BOTH_OURS,
    BOTH_PATCHED,
    DATA,
    advanced,
    contents,
    disks,
    equipped,
    last,
    patch,
    snapshots,
    state,
    tags_of,
    volume,
    way_back,
)


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
def test_killed_at_any_call_a_restore_makes_each_volume_once(moto: MotoAws) -> None:
    for number in range(0, 13, 2):
        moto.reset()
        machine = equipped(moto)
        operator, connection = dying_operator(moto)
        wanted = patch(operator, machine)
        carry_out(operator, wanted)
        connection.dies(number * 5, list(Death)[number % 3])

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
