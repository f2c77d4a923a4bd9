"""An empty AWS, the executor's hands in it, and a machine that has everything."""

import pytest

from qlrf_pipelines.ports.executors import Operator
from tests.fakes.moto_aws import OWN, MotoAws, aws_connector, aws_executor, moto_aws
from tests.resources.aws.machines import Machine
from tests.resources.aws.snapshots import equipped


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
