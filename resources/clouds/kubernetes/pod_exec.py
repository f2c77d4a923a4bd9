"""Commands in a container, over the API server's own websocket: what they said and how they ended.

Version 4 of the channel protocol: version 5 adds the end of an input, and nothing is put in here.
"""

import json
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from qlrf_pipelines.domain.errors import Truncated, Unavailable
from resources.clouds.kubernetes.complaints import Object, object_of, problem_of
from resources.clouds.kubernetes.recovery_settings import Place

if TYPE_CHECKING:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import ClientConnection

PROTOCOL = "v4.channel.k8s.io"
_OUT, _ERR, _END = 1, 2, 3
# A probe's answer is a word or a number; whatever comes after this much of it is not kept.
_KEPT = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A command that ended: its exit code, and what it said."""

    code: int
    out: str
    err: str


def run_in(
    place: Place, token: str, pod: str, container: str, words: Sequence[str], *, seconds: float
) -> Ran | None:
    """Run a command in a container; None if it has not ended in time.

    Raises:
        Denied: this token may not.
        Truncated: the connection broke off before anybody said how it ended.
        Unavailable: it could not be run.
    """
    from websockets.exceptions import InvalidStatus, WebSocketException
    from websockets.sync.client import connect
    from websockets.typing import Subprotocol

    what = f"{place.server}, exec in pod {pod} ({container}) in {place.namespace}"
    until = time.monotonic() + seconds
    try:
        with connect(
            _url(place, pod, container, words),
            ssl=ssl.create_default_context(cafile=place.trust),
            subprotocols=[Subprotocol(PROTOCOL)],
            additional_headers={"Authorization": f"Bearer {token}"},
            open_timeout=seconds,
            close_timeout=1,
            compression=None,
            proxy=None,
        ) as connection:
            if connection.subprotocol != PROTOCOL:
                raise Unavailable(f"{what}: the server does not speak {PROTOCOL}.")
            return _heard(what, connection, until)
    except InvalidStatus as error:
        raise _refusal(what, error) from error
    except (WebSocketException, OSError) as error:
        raise Unavailable(f"{what}: {error}; it is asked again.") from error


def _url(place: Place, pod: str, container: str, words: Sequence[str]) -> str:
    asked = [("container", container), ("stdout", "true"), ("stderr", "true")]
    query = urlencode([*asked, *(("command", word) for word in words)])
    host = place.server.removeprefix("https://")
    return f"wss://{host}/api/v1/namespaces/{place.namespace}/pods/{pod}/exec?{query}"


def _heard(what: str, connection: "ClientConnection", until: float) -> Ran | None:
    from websockets.exceptions import ConnectionClosed

    said = {_OUT: b"", _ERR: b""}
    while (left := until - time.monotonic()) > 0:
        try:
            piece = connection.recv(timeout=left, decode=False)
        except TimeoutError:
            return None
        except ConnectionClosed as error:
            raise Truncated(f"{what}: it broke off before it said how it ended.") from error
        channel, text = (piece[0], piece[1:]) if piece else (None, b"")
        if channel == _END:
            out, err = (said[one].decode(errors="replace") for one in (_OUT, _ERR))
            return Ran(code=_code(what, text), out=out, err=err)
        if channel in said:
            said[channel] = (said[channel] + text)[:_KEPT]
    return None


def _code(what: str, text: bytes) -> int:
    """The exit code in the status that ends a command.

    Raises:
        Unavailable: the command did not run, so nothing was learnt from it.
    """
    try:
        status: Object = json.loads(text)
        if status["status"] == "Success":
            return 0
        if status.get("reason") == "NonZeroExitCode":
            causes = {cause["reason"]: cause["message"] for cause in status["details"]["causes"]}
            return int(causes["ExitCode"])
    except (ValueError, KeyError, TypeError) as error:
        raise Truncated(f"{what}: how it ended cannot be read.") from error
    raise Unavailable(f"{what}: it did not run: {str(status.get('message', ''))[:300]}")


def _refusal(what: str, error: "InvalidStatus") -> Exception:
    status = error.response.status_code
    found = object_of(what, status, bytes(error.response.body or b""))
    problem = problem_of(what, "GET", status, found)
    if problem is not None:
        return problem
    why = "there is no such pod" if status == 404 else f"HTTP {status}, and no connection"
    return Unavailable(f"{what}: {why}; it is asked again.")
