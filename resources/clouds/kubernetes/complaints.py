"""What an API server says instead of what was asked for, in our own words."""

import json
from typing import Any

from qlrf_pipelines.domain.errors import Denied, QlrfError, Refused, Truncated, Unavailable

Object = dict[str, Any]


def object_of(what: str, status: int, data: bytes) -> Object:
    """An answer's object.

    Raises:
        Truncated: it is none of Kubernetes'.
    """
    try:
        found = json.loads(data)
    except ValueError as error:
        raise Truncated(f"{what}: HTTP {status}, and the answer is no JSON.") from error
    if not isinstance(found, dict) or "kind" not in found:
        raise Truncated(f"{what}: HTTP {status}, and the answer is no object of Kubernetes.")
    return found


def problem_of(what: str, method: str, status: int, found: Object) -> QlrfError | None:
    """What is wrong with an answer; None if it is one, or says that something is not there."""
    said = f"{what}: HTTP {status}: {str(found.get('message', ''))[:300]}"
    reason = found.get("reason")
    if status < 300:
        return None
    if status == 404 and reason == "NotFound":
        return None
    if status == 409 and method == "POST" and reason == "AlreadyExists":
        return None
    if status in (401, 403):
        return Denied(f"{said}; correct the token or grant it.")
    if status in (400, 404, 405, 413, 415, 422):
        return Refused(said)
    # A conflict too: somebody changed it since it was read, so it is looked at again.
    return Unavailable(f"{said}; it is asked again.")
