"""One POST and what its answer means; addresses carry secrets, so that none is ever named."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from qlrf_pipelines.domain.errors import Denied, QlrfError, Rejected, Unavailable

if TYPE_CHECKING:
    import urllib3

SECONDS = 5.0
TOKEN = "Idempotency-Key"  # noqa: S105  a header's name
_READ = 300
_PASSING = (408, 425, 429)
_NOT_TO_US = (401, 403, 407)


def post(url: str, body: bytes, *, headers: Mapping[str, str], what: str, seconds: float) -> str:
    """The status and the beginning of the answer to a POST, if it is a yes; it is sent once.

    Redirects are not followed. `what` names the receiver in messages.

    Raises:
        Unavailable: nobody answered, or they cannot now (Denied: not to us).
        Rejected: they say that they will never take this, or the address is none.
    """
    import urllib3

    sent = {"Content-Type": "application/json", "Connection": "close", **headers}
    timeout = urllib3.Timeout(total=seconds)
    try:
        with urllib3.PoolManager(retries=False) as pool:
            answer = pool.request(
                "POST",
                url,
                body=body,
                headers=sent,
                timeout=timeout,
                redirect=False,
                preload_content=False,
            )
            said = _beginning(answer)
    except urllib3.exceptions.LocationValueError as error:
        raise Rejected(f"{what}: its address is no http or https URL; correct it.") from error
    except (urllib3.exceptions.HTTPError, OSError) as error:
        # Only the kind of error: its text would name the address.
        raise Unavailable(f"{what} did not answer ({type(error).__name__}).") from None
    if 200 <= answer.status < 300:
        return f"{answer.status} {said}".strip()
    raise _refusal(what, answer.status, said)


def _beginning(answer: "urllib3.BaseHTTPResponse") -> str:
    """What one reading brings of the answer: it is taken already, whatever becomes of its text."""
    import urllib3

    try:
        return answer.read1(_READ).decode("utf-8", "replace").strip()
    except (urllib3.exceptions.HTTPError, OSError):
        return ""
    finally:
        answer.close()


def _refusal(what: str, status: int, said: str) -> QlrfError:
    message = f"{what} answered {status}" + (f": {said}" if said else "")
    if status in _PASSING or status >= 500:
        return Unavailable(f"{message}.")
    if status in _NOT_TO_US:
        return Denied(f"{message}; correct the credentials, or what they may do.")
    if 300 <= status < 400:
        return Rejected(f"{message}, which leads elsewhere; write the address itself.")
    return Rejected(f"{message}; correct the address or its receiver.")
