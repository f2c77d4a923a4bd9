"""Commands in a container, over the API server's own websocket: what they said and how they ended.

Version 4 of the channel protocol: version 5 adds the end of an input, and nothing is put in here.
One thread reads and writes: the client with a thread for each loses a handshake now and then, since
OpenSSL's connections are not safe for two (a session ticket read while the request is written).
"""

import asyncio
import json
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from qlrf_pipelines.domain.errors import Truncated, Unavailable
from resources.clouds.kubernetes.complaints import Object, object_of, problem_of
from resources.clouds.kubernetes.recovery_settings import Place

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection
    from websockets.exceptions import InvalidStatus

PROTOCOL = "v4.channel.k8s.io"
# The way to the command has a time of its own: a slow one says nothing about the command.
_OPEN_SECONDS = 10
_OUT, _ERR, _END = 1, 2, 3
# A probe's answer is a word or a number; whatever comes after this much of it is not kept.
_KEPT = 65_536


class NotBegun(Unavailable):
    """The server turned a command away before it can have begun; asking again may help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    """A command that ended: its exit code, and what it said."""

    code: int
    out: str
    err: str


def run_in(
    place: Place, token: str, pod: str, container: str, words: Sequence[str], *, seconds: float
) -> Ran | None:
    """Run a command in a container; None if it has not ended `seconds` after it could begin.

    Raises:
        Denied: this token may not.
        Truncated: the connection broke off before anybody said how it ended.
        NotBegun: it was turned away, and certainly did not run.
        Unavailable: it could not be run.
    """
    return asyncio.run(_run_in(place, token, pod, container, words, seconds=seconds))


async def _run_in(
    place: Place, token: str, pod: str, container: str, words: Sequence[str], *, seconds: float
) -> Ran | None:
    from websockets.asyncio.client import connect
    from websockets.exceptions import InvalidStatus, WebSocketException
    from websockets.typing import Subprotocol

    what = f"{place.server}, exec in pod {pod} ({container}) in {place.namespace}"
    try:
        async with connect(
            _url(place, pod, container, words),
            ssl=ssl.create_default_context(cafile=place.trust),
            subprotocols=[Subprotocol(PROTOCOL)],
            additional_headers={"Authorization": f"Bearer {token}"},
            open_timeout=_OPEN_SECONDS,
            close_timeout=1,
            compression=None,
            proxy=None,
        ) as connection:
            if connection.subprotocol != PROTOCOL:
                raise Unavailable(f"{what}: the server does not speak {PROTOCOL}.")
            return await _heard(what, connection, seconds)
    except InvalidStatus as error:
        raise _refusal(what, error) from error
    except (WebSocketException, OSError) as error:
        raise Unavailable(f"{what}: {error}; it is asked again.") from error


def _url(place: Place, pod: str, container: str, words: Sequence[str]) -> str:
    asked = [("container", container), ("stdout", "true"), ("stderr", "true")]
    query = urlencode([*asked, *(("command", word) for word in words)])
    host = place.server.removeprefix("https://")
    return f"wss://{host}/api/v1/namespaces/{place.namespace}/pods/{pod}/exec?{query}"


async def _heard(what: str, connection: "ClientConnection", seconds: float) -> Ran | None:
    from websockets.exceptions import ConnectionClosed

    said = {_OUT: b"", _ERR: b""}
    try:
        async with asyncio.timeout(seconds):
            while True:
                piece = await connection.recv(decode=False)
                channel, text = (piece[0], piece[1:]) if piece else (None, b"")
                if channel == _END:
                    out, err = (said[one].decode(errors="replace") for one in (_OUT, _ERR))
                    return Ran(code=_code(what, text), out=out, err=err)
                if channel in said:
                    said[channel] = (said[channel] + text)[:_KEPT]
    except TimeoutError:
        return None
    except ConnectionClosed as error:
        raise Truncated(f"{what}: it broke off before it said how it ended.") from error


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
    if status == 429:
        # Said in plain text before anything is looked at, so no object is looked for.
        return NotBegun(f"{what}: HTTP 429, too many requests; it is asked again.")
    found = object_of(what, status, bytes(error.response.body or b""))
    problem = problem_of(what, "GET", status, found)
    if problem is not None:
        return problem
    if status == 404:
        return NotBegun(f"{what}: there is no such pod; it is asked again.")
    return Unavailable(f"{what}: HTTP {status}, and no connection; it is asked again.")
