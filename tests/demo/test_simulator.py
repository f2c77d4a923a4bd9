"""The simulated AWS speaks the real protocol, and its second day is the one the story tells."""

from collections.abc import Iterator

import boto3
import pytest

from resources.clouds.aws.simulator.fleet import ACME, FLEET, GLOBEX
from resources.clouds.aws.simulator.process import Simulator, running

pytestmark = pytest.mark.slow


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    with running() as found:
        yield found


def ec2(simulator: Simulator, account: str, region: str):
    """A client that entered the account through its role, as a connector would."""
    keys = {"aws_access_key_id": "simulated-key", "aws_secret_access_key": "simulated-secret"}
    sts = boto3.client("sts", endpoint_url=simulator.url, region_name=region, **keys)
    role = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/qlrf", RoleSessionName="test")
    return boto3.client(
        "ec2",
        endpoint_url=simulator.url,
        region_name=region,
        aws_access_key_id=role["Credentials"]["AccessKeyId"],
        aws_secret_access_key=role["Credentials"]["SecretAccessKey"],
        aws_session_token=role["Credentials"]["SessionToken"],
        config=boto3.session.Config(retries={"max_attempts": 0}),
    )


def machines(client) -> dict[str, str]:
    """Instance id -> state."""
    return {
        instance["InstanceId"]: instance["State"]["Name"]
        for reservation in client.describe_instances()["Reservations"]
        for instance in reservation["Instances"]
    }


def test_accounts_do_not_see_each_other(simulator: Simulator) -> None:
    acme = machines(ec2(simulator, ACME, "us-east-1"))
    globex = machines(ec2(simulator, GLOBEX, "us-east-1"))

    assert len(acme) == sum(m.count for m in FLEET if (m.account, m.region) == (ACME, "us-east-1"))
    assert acme
    assert globex
    assert not acme.keys() & globex.keys()


def test_the_second_day_replaces_four_loses_one_and_fails_one_region(
    simulator: Simulator,
) -> None:
    client = ec2(simulator, ACME, "us-east-1")
    before, existed = machines(client), simulator.existing()

    simulator.move()

    after, exist = machines(client), simulator.existing()
    assert len(after.keys() - before.keys()) == 4
    assert sum(state == "terminated" for state in after.values()) == 4
    assert len(before.keys() - after.keys()) == 1
    assert len(exist) == len(existed) - 1
    with pytest.raises(Exception, match=r"Unavailable|503"):
        machines(ec2(simulator, GLOBEX, "ap-southeast-2"))
    simulator.heal()
    assert machines(ec2(simulator, GLOBEX, "ap-southeast-2"))
