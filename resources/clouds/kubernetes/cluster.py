"""A whole cluster over its own API, looked at and never changed: objects, and lists by pages.

Reading may be repeated, so a lost connection and a server that is busy are asked again a few
times. What is left becomes an error of our own; half an answer is never taken for a whole one.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from http.client import IncompleteRead
from typing import Any
from urllib.parse import urlencode

import urllib3

from qlrf_pipelines.domain.errors import Refused, Truncated, Unavailable
from resources.clouds.kubernetes.complaints import Object, object_of, problem_of
from resources.clouds.patience import Patience

PAGE = 200
BUSY = (429, 500, 502, 503, 504)
_GONE = 410
_LONGEST_PAUSE = 30


class ClusterCalls:
    """One cluster as one token sees it. Safe to use from many threads."""

    def __init__(
        self,
        server: str,
        token: Callable[[], str],
        *,
        trust: str | None,
        patience: Patience,
    ) -> None:
        self._server = server
        self._token = token
        self._pool = urllib3.PoolManager(
            cert_reqs="CERT_REQUIRED",
            ca_certs=trust,
            maxsize=patience.pool_size,
            timeout=urllib3.Timeout(
                connect=min(10, patience.read_timeout), read=patience.read_timeout
            ),
            retries=urllib3.Retry(
                total=patience.max_attempts - 1,
                redirect=False,
                status_forcelist=BUSY,
                allowed_methods=None,
                backoff_factor=0.2,
                backoff_max=_LONGEST_PAUSE,
                retry_after_max=_LONGEST_PAUSE,
                raise_on_status=False,
            ),
        )

    def who(self) -> str:
        """Who the token belongs to, as the API server names them.

        Raises:
            Unavailable: it did not say (Denied: the token is nobody's).
        """
        path = "apis/authentication.k8s.io/v1/selfsubjectreviews"
        review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
        status, found = self._ask("POST", path, body=review)
        if status == 404:
            raise Unavailable(
                f"{self._server}, POST {path}: the server cannot say who asks; "
                "it must be Kubernetes 1.28 or later."
            )
        name: Any = found
        for part in ("status", "userInfo", "username"):
            name = name.get(part) if isinstance(name, dict) else None
        if not isinstance(name, str) or not name:
            raise Truncated(f"{self._server}, POST {path}: the answer names nobody.")
        return name

    def read(self, path: str) -> Object | None:
        """An object; None if the server says that there is none of that name.

        Raises:
            Unavailable: nobody knows (Denied: not permitted; Truncated: no whole answer).
        """
        status, found = self._ask("GET", path)
        if status != 404:
            return found
        details = found.get("details")
        if not isinstance(details, dict) or details.get("name") != path.rpartition("/")[2]:
            # So says a server about what it does not know at all, too.
            raise Unavailable(f"{self._server}, GET {path}: the server knows no such path.")
        return None

    def pages(
        self, path: str, kind: str, *, size: int = PAGE
    ) -> Iterator[tuple[list[Object], bool]]:
        """Every page of a list of a kind: its objects, and whether it is the last one.

        Raises:
            Unavailable: a page could not be read (Denied: not permitted; Truncated: it broke off,
                leads back to an earlier one, or the pages before it are too old to go on).
        """
        what = f"{self._server}, GET {path}"
        more, seen = "", set[str]()
        while True:
            status, page = self._ask("GET", path, fields={"limit": str(size), "continue": more})
            if status == 404:
                raise Unavailable(f"{what}: the server knows no such list; it is asked again.")
            items, more = _list_of(what, kind, page)
            if more in seen:
                raise Truncated(
                    f"{what}: page {len(seen) + 1} leads back to an earlier one, so the list "
                    "never ends; it is asked again."
                )
            yield items, not more
            if not more:
                return
            seen.add(more)

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Object | None = None,
        fields: Mapping[str, str] | None = None,
    ) -> tuple[int, Object]:
        what = f"{self._server}, {method} {path}"
        query = urlencode({name: value for name, value in (fields or {}).items() if value})
        url = f"{self._server}/{path}" + (f"?{query}" if query else "")
        sent = None if body is None else json.dumps(body).encode()
        try:
            answer = self._pool.request(
                method, url, body=sent, headers=self._headers(), redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise _lost(what, error) from error
        found = object_of(what, answer.status, answer.data)
        if answer.status == _GONE:
            raise Truncated(f"{what}: the pages before are too old to go on; it is asked again.")
        problem = problem_of(what, method, answer.status, found)
        if isinstance(problem, Refused):
            raise Unavailable(f"{problem}; the cluster cannot be listed like this.")
        if problem is not None:
            raise problem
        return answer.status, found

    def _headers(self) -> Mapping[str, str]:
        return {
            "Authorization": f"Bearer {self._token()}",
            "Accept": "application/json",
            "Content-Type": "application/json",
        }


def _lost(what: str, error: urllib3.exceptions.HTTPError) -> Unavailable:
    # What it gave up for, without the address, which may carry a page's token of a kilobyte.
    why = error.reason if isinstance(error, urllib3.exceptions.MaxRetryError) else error
    broken_off = isinstance(why, urllib3.exceptions.ProtocolError) and any(
        isinstance(cause, IncompleteRead) for cause in why.args
    )
    if broken_off:
        return Truncated(f"{what}: the answer broke off; it is asked again.")
    return Unavailable(f"{what}: {str(why or error)[:300]}; it is asked again.")


def _list_of(what: str, kind: str, page: Object) -> tuple[list[Object], str]:
    items: Any = page.get("items")
    metadata: Any = page.get("metadata")
    whole = page.get("kind") == kind and isinstance(metadata, dict)
    # A list without anything in it says `items: []`, or null; without the field it is none.
    if not whole or "items" not in page or not isinstance(items or [], list):
        raise Truncated(f"{what}: the answer is no {kind}; it is asked again.")
    return items or [], str(metadata.get("continue") or "")
