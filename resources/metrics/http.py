"""Questions over HTTP answered in JSON, and everything else as an error of ours."""

import http.client
import json
from collections.abc import Mapping
from typing import Any
from urllib import error, request

from qlrf_pipelines.domain.errors import Denied, QlrfError, Rejected, Truncated, Unavailable

_LONGEST = 300
_LARGEST = 64 * 1024 * 1024


class _NoRedirects(request.HTTPRedirectHandler):
    """A redirect leads to a login page more often than to metrics; no secret is sent after it."""

    def redirect_request(self, *_args: object, **_kwargs: object) -> None:
        """Follow nothing."""


_OPENER = request.build_opener(_NoRedirects)


def post(
    url: str, body: bytes, *, headers: Mapping[str, str], timeout: float, what: str
) -> dict[str, Any]:
    """The JSON object a POST is answered with; `what` names the question in messages.

    Raises:
        Unavailable: nobody answered, or they cannot now (Denied: not to us).
        Truncated: the answer broke off or is no JSON object.
        Rejected: they say that the question itself is wrong.
    """
    if not url.startswith(("http://", "https://")):
        raise Rejected(f"{what}: {url} is no address; write http:// or https://.")
    asked = request.Request(url, data=body, headers=dict(headers), method="POST")  # noqa: S310
    try:
        with _OPENER.open(asked, timeout=timeout) as answer:
            data = answer.read(_LARGEST + 1)
    except error.HTTPError as refused:
        with refused:
            raise _refusal(what, refused.code, _said(refused)) from refused
    except http.client.IncompleteRead as broken:
        raise Truncated(f"{what}: the answer broke off; it is asked again later.") from broken
    except (OSError, http.client.HTTPException) as lost:
        reason = getattr(lost, "reason", None) or lost
        raise Unavailable(f"{what}: {reason}; it is asked again later.") from lost
    return _object(what, data)


def _object(what: str, data: bytes) -> dict[str, Any]:
    if len(data) > _LARGEST:
        raise Rejected(f"{what}: the answer is larger than {_LARGEST} bytes; widen the step.")
    try:
        found = json.loads(data)
    except ValueError as broken:
        raise Truncated(f"{what}: the answer is no JSON; it is asked again later.") from broken
    if not isinstance(found, dict):
        raise Truncated(f"{what}: the answer is no JSON object; it is asked again later.")
    return found


def _said(refused: error.HTTPError) -> str:
    try:
        text = refused.read(10_000).decode("utf-8", "replace")
    except (OSError, http.client.HTTPException):
        return refused.reason
    try:
        said = json.loads(text)
    except ValueError:
        return refused.reason
    if isinstance(said, dict):
        text = str(said.get("error") or said.get("errors") or refused.reason)
    return text[:_LONGEST]


def _refusal(what: str, status: int, said: str) -> QlrfError:
    message = f"{what}: HTTP {status}: {said}"
    if status in (301, 302, 303, 307, 308):
        return Denied(f"{message}; it leads elsewhere, perhaps to a login page: correct the url.")
    if status in (401, 403, 407):
        return Denied(f"{message}; correct the credentials or what they may read.")
    if status in (408, 425, 429) or status >= 500:
        return Unavailable(f"{message}; it is asked again later.")
    return Rejected(f"{message}; correct the query or the url.")
