"""What AWS and its SDK complain about, in our own words."""

from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as sdk
from botocore.parsers import ResponseParserError

from qlrf_pipelines.domain.errors import (
    Denied,
    NotFound,
    QlrfError,
    Rejected,
    Truncated,
    Unavailable,
)
from resources.clouds.aws.answers import BROKEN_OFF

THROTTLES = frozenset({"RequestLimitExceeded", "SlowDown"})
# Everything that asking again will not mend: who we are, or what we may.
DENIALS = frozenset(
    {
        "AuthFailure",
        "Blocked",
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "MissingAuthenticationToken",
        "OptInRequired",
        "PendingVerification",
        "RequestExpired",
        "SignatureDoesNotMatch",
        "UnauthorizedOperation",
        "UnrecognizedClientException",
    }
)
# Full, busy or not there yet, although the status says that the request was at fault.
LATER = frozenset(
    {
        "IncorrectInstanceState",
        "IncorrectState",
        "InstanceRefreshInProgress",
        "InsufficientInstanceCapacity",
        "InvalidInstanceId",
        # Attached, perhaps to whom it was to be: the answer was lost, and the SDK asked again.
        "InvalidNetworkInterface.InUse",
        "ResourceContention",
        "ScalingActivityInProgress",
        "SnapshotCreationPerVolumeRateExceeded",
        "TooManyRequestsException",
        "VolumeInUse",
    }
)
# What does not exist, or is not seen everywhere yet, said in other words than "NotFound".
NOT_THERE = frozenset({"InvocationDoesNotExist"})
# A page that was promised and cannot be had: the listing began and did not end.
LOST_PAGES = frozenset({BROKEN_OFF, "InvalidNextToken", "InvalidPaginationToken"})
NO_CREDENTIALS = (
    sdk.NoCredentialsError,
    sdk.PartialCredentialsError,
    sdk.CredentialRetrievalError,
    sdk.TokenRetrievalError,
    sdk.MetadataRetrievalError,
    sdk.UnauthorizedSSOTokenError,
    sdk.SSOTokenLoadError,
    sdk.NoAuthTokenError,
    sdk.ProfileNotFound,
    sdk.LoginError,
)
# There was no connection to send it over.
NEVER_SENT = (sdk.EndpointConnectionError, sdk.ConnectTimeoutError, sdk.ProxyConnectionError)
# The SDK refused to send it: the connector names something that does not exist.
MISCONFIGURED = (
    sdk.BaseEndpointResolverError,
    sdk.EndpointProviderError,
    sdk.InvalidConfigError,
    sdk.ValidationError,
    sdk.ParamValidationError,
    sdk.ConfigParseError,
    ValueError,
)


class Unanswered(Unavailable):
    """It was sent, and nobody knows whether it was done."""


@contextmanager
def executing(what: str) -> Iterator[None]:
    """As `translated`, for calls that change something: refusals are told from silence.

    Raises:
        NotFound: what the call names does not exist; nothing was done.
        Rejected: AWS will never do that; nothing was done.
        Denied: our identity, permission or configuration must change first; nothing was done.
        Unanswered: nobody knows whether it was done.
        Unavailable: AWS is full, busy, throttling or out of reach; nothing was done.
    """
    try:
        with translated(what):
            yield
    except Unavailable as error:
        cause = error.__cause__
        if isinstance(error, Denied) or isinstance(cause, NEVER_SENT):
            raise
        if not isinstance(cause, sdk.ClientError):
            raise Unanswered(str(error)) from error
        raise _refusal(what, cause) from error


def _refusal(what: str, error: sdk.ClientError) -> QlrfError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = f"{what}: {code}: {_short(error.response.get('Error', {}).get('Message', ''))}"
    if code in LATER or code in THROTTLES or "Throttl" in code or "LimitExceeded" in code:
        return Unavailable(f"{message}; it is asked again later.")
    if "NotFound" in code or code in NOT_THERE:
        return NotFound(f"{message}.")
    if 400 <= status < 500 and code not in LOST_PAGES:
        return Rejected(f"{message}.")
    return Unanswered(f"{message}; it is asked again later.")


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Let no SDK exception out of the block; `what` names the call in the message.

    Raises:
        Denied: our identity, permission or configuration must change first.
        Truncated: the answer broke off or is no answer.
        Unavailable: anything else that kept the answer away.
    """
    try:
        yield
    except sdk.ClientError as error:
        raise _from_code(what, error) from error
    except NO_CREDENTIALS as error:
        raise Denied(
            f"{what}: no usable AWS credentials ({error}); "
            "set the connector's credentials or the SDK's own."
        ) from error
    except (ResponseParserError, sdk.ResponseStreamingError, sdk.IncompleteReadError) as error:
        raise broken_off(what, type(error).__name__) from error
    except MISCONFIGURED as error:
        raise Denied(f"{what}: {_short(error)}; correct the connector.") from error
    except (sdk.BotoCoreError, OSError) as error:
        raise Unavailable(f"{what}: {_short(error)}; it is asked again later.") from error


def broken_off(what: str, why: str) -> Truncated:
    """The error for an answer that began and did not end."""
    return Truncated(f"{what}: the answer broke off ({why}); it is asked again later.")


def _from_code(what: str, error: sdk.ClientError) -> Unavailable:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    message = f"{what}: {code}: {_short(error.response.get('Error', {}).get('Message', ''))}"
    if _is_denial(code, status):
        return Denied(f"{message}; grant it to the connector's identity, or correct that.")
    if code in LOST_PAGES:
        return Truncated(f"{message}; it is asked again later.")
    return Unavailable(f"{message}; it is asked again later.")


def _is_denial(code: str, status: int) -> bool:
    if code in THROTTLES or "Throttl" in code:
        return False
    return code in DENIALS or "AccessDenied" in code or status in (401, 403)


def _short(text: object) -> str:
    # An encoded authorization message runs to kilobytes and helps nobody in a table.
    whole = str(text)
    return whole if len(whole) <= 300 else whole[:300] + "…"
