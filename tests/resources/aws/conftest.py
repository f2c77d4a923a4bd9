"""An empty AWS, the executor's hands in it, and a machine that has everything."""

import pytest

from qlrf_pipelines.domain.operations import Operation
from qlrf_pipelines.ports.executors import Operator
from tests.fakes.moto_aws import OWN, MotoAws, aws_connector, aws_executor, moto_aws
from tests.resources.aws.machines import Machine, carry_out
from tests.resources.aws.snapshots import equipped
from tests.resources.aws.two_sides import Fronted, beside


@pytest.fixture
def moto() -> MotoAws:
    server = moto_aws()
    server.reset()
    return server


@pytest.fixture
def operator(moto: MotoAws) -> Operator:
    return aws_executor().operator(aws_connector(moto.url), OWN)


@pytest.fixture
def machine(moto: MotoAws) -> Machine:
    return equipped(moto)


@pytest.fixture
def started(moto: MotoAws, operator: Operator, machine: Fronted) -> Operation:
    """The start of a new side of a machine that something leads to, carried out."""
    wanted = beside(moto, operator, machine.target)
    carry_out(operator, wanted)
    return wanted
