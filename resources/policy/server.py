"""Policies judged by an Open Policy Agent server, over its REST API.

One deadline covers a whole decision: reading which policies the server holds, and asking them.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

import urllib3

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.policy import (
    PACKAGES,
    Decision,
    NotAnswered,
    decide_or_deny,
    read_answer,
    written,
)
from qlrf_pipelines.ports.policy import PolicyEngine
from resources.policy.folder import bundle_digest

NAME = "opa"
_LARGEST = 64 * 1024 * 1024  # an answer larger than this is no decision
_PIECE = 64 * 1024


class OpaServer(PolicyEngine):
    """Judges by asking a server that holds the packages of `policies/`."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        self._url = url.rstrip("/")
        self._timeout = timeout_seconds
        # No redirects: an answer from elsewhere is not the server's. No retries: the caller's.
        self._pool = urllib3.PoolManager(retries=False, maxsize=4)

    def bundle_digest(self) -> str:
        """SHA-256 over the source of every package the server holds.

        Raises:
            Unavailable: the server does not answer, or not as an OPA server.
        """
        try:
            return self._digest(_Deadline(self._timeout))
        except NotAnswered as error:
            raise Unavailable(str(error)) from error

    def decide(self, package: str, input: Mapping[str, Any]) -> Decision:
        """What a package says of an input; any failure is a denial."""
        return decide_or_deny(lambda: self._ask(package, input), package=package, engine=NAME)

    def _ask(self, package: str, value: Mapping[str, Any]) -> Decision:
        body = f'{{"input": {written(value)}}}'.encode()
        deadline = _Deadline(self._timeout)
        digest = self._digest(deadline)
        # OPA leaves a rule out when a built-in function fails in it; strict makes that an error.
        path = f"/v1/data/qlrf/{package}/decision?strict-builtin-errors=true"
        answer = self._call("POST", path, deadline=deadline, body=body)
        if "result" not in answer:
            raise NotAnswered(f"the package {package} is undefined on the OPA server {self._url}")
        return read_answer(answer["result"], package=package, engine=NAME, bundle_digest=digest)

    def _digest(self, deadline: "_Deadline") -> str:
        answer = self._call("GET", "/v1/policies", deadline=deadline)
        held = answer.get("result")
        if not isinstance(held, list):
            raise NotAnswered(f"the OPA server {self._url} does not say which policies it holds")
        return bundle_digest(source for policy in held if (source := _ours(policy)) is not None)

    def _call(
        self, method: str, path: str, *, deadline: "_Deadline", body: bytes | None = None
    ) -> dict[str, Any]:
        try:
            answer = self._pool.request(
                method,
                self._url + path,
                body=body,
                headers={"Content-Type": "application/json"},
                timeout=urllib3.Timeout(total=deadline.left()),
                redirect=False,
                preload_content=False,
            )
            try:
                data = _read(answer, deadline)
            finally:
                answer.close()
        except urllib3.exceptions.HTTPError as error:
            raise NotAnswered(f"the OPA server {self._url} does not answer: {error}") from error
        if answer.status != 200:
            said = data[:300].decode("utf-8", errors="replace")
            raise NotAnswered(f"the OPA server {self._url} answers {answer.status}: {said}")
        try:
            found = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise NotAnswered(f"the OPA server {self._url} answers no JSON") from error
        if not isinstance(found, dict):
            raise NotAnswered(f"the OPA server {self._url} answers no JSON object")
        return found


class _Deadline:
    """How much of the time for one decision is left."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """The seconds left.

        Raises:
            NotAnswered: there are none.
        """
        left = self._end - time.monotonic()
        if left <= 0:
            raise NotAnswered(f"the OPA server has not decided within {self._seconds:g} s")
        return left


def _read(answer: urllib3.BaseHTTPResponse, deadline: _Deadline) -> bytes:
    parts: list[bytes] = []
    size = 0
    # read1 returns what has come, so that a server sending one byte at a time meets the deadline.
    while piece := answer.read1(_PIECE):
        parts.append(piece)
        size += len(piece)
        deadline.left()
        if size > _LARGEST:
            raise NotAnswered("the OPA server's answer has no end")
    return b"".join(parts)


def _ours(policy: object) -> str | None:
    """The source of a policy, if it is one of the platform's packages."""
    try:
        path = [part["value"] for part in policy["ast"]["package"]["path"]]  # type: ignore[index]
        source = policy["raw"]  # type: ignore[index]
    except (KeyError, TypeError, IndexError) as error:
        raise NotAnswered("the OPA server lists a policy without package or source") from error
    ours = len(path) == 3 and path[1] == "qlrf" and path[2] in PACKAGES
    return str(source) if ours else None
