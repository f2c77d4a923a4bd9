"""Starting a machine like another: what EC2 is told of its volumes, where moto lets more pass."""

from contextlib import nullcontext
from typing import Any

import pytest

from qlrf_pipelines.domain.operations import OperationKind
from tests.fakes.aws_killer import Death, DyingConnection, Killed, dying_operator
from tests.fakes.moto_aws import MotoAws
from tests.resources.aws.machines import Machine, described, operation, token, well_equipped

ROOT, DATA, OWN = "/dev/sda1", "/dev/sdf", "/dev/sdh"


@pytest.fixture
def machine(moto: MotoAws) -> Machine:
    return well_equipped(moto)


def launched(moto: MotoAws, machine: Machine, death: Death | None = None) -> dict[str, Any]:
    """What EC2 is asked to start in place of a machine."""
    operator, connection = dying_operator(moto)
    before = operator.capture(machine.target)
    image, kind = moto.image(), OperationKind.REPLACE_WITH_IMAGE
    if death:
        connection.dies("run_instances", death)
    with pytest.raises(Killed) if death else nullcontext():
        operator.advance(operation(kind, machine.target, image=image, before=before))
    return asked(connection)


def asked(connection: DyingConnection) -> dict[str, Any]:
    """The one call that started something."""
    (found,) = (given for name, given in connection.sent if name == "run_instances")
    return found


def root(moto: MotoAws, machine: Machine) -> str:
    """The root volume of a machine."""
    found = described(moto, machine.target.id)["BlockDeviceMappings"]
    return next(str(m["Ebs"]["VolumeId"]) for m in found if m["DeviceName"] == ROOT)


def mapped(sent: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """What is told of each device."""
    return {item["DeviceName"]: item for item in sent["BlockDeviceMappings"]}


def test_an_image_brings_no_volume_where_a_data_volume_is_to_be_attached(
    moto: MotoAws, machine: Machine
) -> None:
    moto.execution.brought = (DATA, OWN)

    sent = launched(moto, machine)

    assert sorted(mapped(sent)) == [ROOT, DATA]
    assert mapped(sent)[DATA] == {"DeviceName": DATA, "NoDevice": ""}


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (
            {"VolumeType": "gp3", "Iops": 4000, "Throughput": 250},
            {"VolumeType": "gp3", "Iops": 4000, "Throughput": 250},
        ),
        ({"VolumeType": "gp2"}, {"VolumeType": "gp2"}),
    ],
)
def test_the_root_is_as_fast_as_it_was(
    moto: MotoAws, machine: Machine, kind: dict[str, Any], told: dict[str, Any]
) -> None:
    moto.client("ec2").modify_volume(VolumeId=root(moto, machine), Size=40, **kind)

    ebs = mapped(launched(moto, machine))[ROOT]["Ebs"]

    assert ebs == {"VolumeSize": 40, "DeleteOnTermination": True, **told}


def test_a_root_with_provisioned_iops_is_asked_for_with_them(
    moto: MotoAws, machine: Machine
) -> None:
    moto.client("ec2").modify_volume(VolumeId=root(moto, machine), VolumeType="io2", Iops=900)

    # Before it is sent, as moto does not read the IOPS of what is started.
    ebs = mapped(launched(moto, machine, Death.BEFORE))[ROOT]["Ebs"]

    assert (ebs["VolumeType"], ebs["Iops"]) == ("io2", 900)


@pytest.mark.parametrize(
    ("brought", "kept"), [((), True), ((DATA,), True), ((DATA, OWN), False)], ids=str
)
def test_the_root_keeps_its_own_tags_unless_another_volume_would_get_them_too(
    moto: MotoAws, machine: Machine, brought: tuple[str, ...], *, kept: bool
) -> None:
    own = [{"Key": "Backup", "Value": "daily"}, {"Key": "qlrf:before", "Value": "i-1"}]
    moto.client("ec2").create_tags(Resources=[root(moto, machine)], Tags=own)
    moto.execution.brought = brought

    sent = launched(moto, machine)

    (made,) = (s["Tags"] for s in sent["TagSpecifications"] if s["ResourceType"] == "volume")
    ours = {"qlrf:operation": token()}
    assert {t["Key"]: t["Value"] for t in made} == ours | ({"Backup": "daily"} if kept else {})
