"""Starting a machine like another: what EC2 is told of its volumes, where moto lets more pass."""

from typing import Any

import pytest

from qlrf_pipelines.domain.operations import OperationKind
from tests.fakes.aws_killer import DyingConnection, dying_operator
from tests.fakes.moto_aws import MotoAws
from tests.resources.aws.machines import Machine, operation, well_equipped

ROOT, DATA, OWN = "/dev/sda1", "/dev/sdf", "/dev/sdh"


@pytest.fixture
def machine(moto: MotoAws) -> Machine:
    return well_equipped(moto)


def launched(moto: MotoAws, machine: Machine) -> dict[str, Any]:
    """What EC2 is asked to start in place of a machine."""
    operator, connection = dying_operator(moto)
    before = operator.capture(machine.target)
    image, kind = moto.image(), OperationKind.REPLACE_WITH_IMAGE
    operator.advance(operation(kind, machine.target, image=image, before=before))
    return asked(connection)


def asked(connection: DyingConnection) -> dict[str, Any]:
    """The one call that started something."""
    (found,) = (given for name, given in connection.sent if name == "run_instances")
    return found


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
