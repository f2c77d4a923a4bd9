"""Patching with snapshots first: nothing is sent before they are whole."""

from dataclasses import replace
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import FIRST_TRY, ROLLBACK, Status
from qlrf_pipelines.ports.executors import Operator
from tests.fakes.aws_killer import Death, dying_operator
from tests.fakes.faulty_http import Fault, FaultyProxy
from tests.fakes.moto_aws import OWN, MotoAws, aws_connector, aws_executor
from tests.resources.aws.machines import Machine, carry_out, tags, token
from tests.resources.aws.snapshots import (
    BOTH_OURS,
    BOTH_PATCHED,
    WITH_SNAPSHOTS,
    advanced,
    contents,
    disks,
    equipped,
    patch,
    snapshots,
    tags_of,
    way_back,
)


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
    for call in range(0, 32, 2):
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
