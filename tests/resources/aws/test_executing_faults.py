"""Refusals are told from silence, and calls are bounded."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from botocore import exceptions as sdk

from qlrf_pipelines.domain.errors import Denied, NotFound, QlrfError, Rejected, Unavailable
from resources.clouds.aws.faults import Unanswered, executing
from resources.clouds.aws.hands import Turns

URL = "http://127.0.0.1:1"


def answered(code: str, status: int) -> sdk.ClientError:
    return sdk.ClientError(
        {
            "Error": {"Code": code, "Message": "said so"},
            "ResponseMetadata": {"HTTPStatusCode": status},
        },
        "AnyCall",
    )


@pytest.mark.parametrize(
    ("error", "becomes"),
    [
        (answered("InvalidInstanceID.NotFound", 400), NotFound),
        (answered("TargetGroupNotFound", 400), NotFound),
        (answered("ResourceNotFoundException", 404), NotFound),
        (answered("InvocationDoesNotExist", 400), NotFound),
        (answered("InvalidParameterValue", 400), Rejected),
        (answered("InvalidNetworkInterface.InUse", 400), Unavailable),
        (answered("UnauthorizedOperation", 403), Denied),
        (answered("AccessDeniedException", 400), Denied),
        (answered("ExpiredToken", 400), Denied),
        (sdk.NoCredentialsError(), Denied),
        (answered("RequestLimitExceeded", 503), Unavailable),
        (answered("ThrottlingException", 400), Unavailable),
        (answered("InsufficientInstanceCapacity", 500), Unavailable),
        (answered("InstanceRefreshInProgress", 400), Unavailable),
        (answered("IncorrectInstanceState", 400), Unavailable),
        (answered("SnapshotCreationPerVolumeRateExceeded", 400), Unavailable),
        (sdk.EndpointConnectionError(endpoint_url=URL), Unavailable),
        (sdk.ConnectTimeoutError(endpoint_url=URL), Unavailable),
        (answered("InternalError", 500), Unanswered),
        (answered("ServiceUnavailable", 503), Unanswered),
        (sdk.ReadTimeoutError(endpoint_url=URL), Unanswered),
        (sdk.ConnectionClosedError(endpoint_url=URL), Unanswered),
    ],
)
def test_every_complaint_becomes_one_of_ours(error: Exception, becomes: type[QlrfError]) -> None:
    with pytest.raises(QlrfError) as raised, executing("ec2:any_call in us-east-1"):
        raise error

    assert type(raised.value) is becomes
    assert "ec2:any_call in us-east-1" in str(raised.value)


def test_calls_to_one_account_and_region_are_bounded_and_others_do_not_wait() -> None:
    turns = Turns(2)
    entered = threading.Barrier(2)
    leave = threading.Event()

    def hold() -> None:
        with turns.of("1", "us-east-1"):
            entered.wait(10)
            leave.wait(10)

    with ThreadPoolExecutor(2) as pool:
        held = [pool.submit(hold) for _ in range(2)]
        while turns.of("1", "us-east-1").acquire(blocking=False):
            turns.of("1", "us-east-1").release()
        assert turns.of("1", "eu-west-1").acquire(blocking=False)
        leave.set()
        assert [item.result() for item in held] == [None, None]

    assert turns.of("1", "us-east-1").acquire(blocking=False)
