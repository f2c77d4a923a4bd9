"""A namespace of a cluster over its own API: objects as JSON, and every answer looked at.

Plain HTTP instead of the official client: a handful of calls is needed, and importing the client
alone costs seconds.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import urllib3

from qlrf_pipelines.domain.errors import Refused, Truncated, Unavailable
from resources.clouds.kubernetes.complaints import Object, object_of, problem_of
from resources.clouds.kubernetes.recovery_settings import Place

if TYPE_CHECKING:
    from resources.clouds.kubernetes.pod_exec import Ran

_GROUPS = {
    "daemonsets": "apis/apps/v1",
    "deployments": "apis/apps/v1",
    "endpointslices": "apis/discovery.k8s.io/v1",
    "horizontalpodautoscalers": "apis/autoscaling/v2",
    "replicasets": "apis/apps/v1",
    "statefulsets": "apis/apps/v1",
    "networkpolicies": "apis/networking.k8s.io/v1",
    "pods": "api/v1",
    "services": "api/v1",
}
_MERGE = "application/merge-patch+json"
_PARTS = "application/json-patch+json"
_PAGE = 200
# As many as a rollout changes at once: connections beyond it would be made anew each time.
_AT_ONCE = 20


class KubernetesCalls:
    """One namespace as one token sees it. Safe to use from many threads."""

    def __init__(self, place: Place, token: Callable[[], str], *, timeout: float) -> None:
        self._place = place
        self._token = token
        self._pool = urllib3.PoolManager(
            cert_reqs="CERT_REQUIRED",
            ca_certs=place.trust,
            maxsize=_AT_ONCE,
            timeout=urllib3.Timeout(connect=min(10, timeout), read=timeout),
            retries=False,
        )

    def read(self, path: str) -> Object | None:
        """An object, as `kind/name`; None if the server says that there is none."""
        status, found = self._ask("GET", path)
        return None if status == 404 else found

    def labelled(self, kind: str, label: str) -> list[Object]:
        """All objects of a kind that carry a label, all pages of them."""
        found: list[Object] = []
        more = ""
        while True:
            fields = {"labelSelector": label, "limit": str(_PAGE), "continue": more}
            _, page = self._ask("GET", kind, fields=fields)
            if not str(page.get("kind")).endswith("List") or "metadata" not in page:
                raise Truncated(f"{self._what('GET', kind)}: the answer is no list.")
            found += page.get("items") or ()
            more = page["metadata"].get("continue") or ""
            if not more:
                return found

    def patch(self, path: str, change: Object) -> None:
        """Merge a change into an object, all of it or nothing.

        Raises:
            Unavailable: somebody changed it since (with a resourceVersion in the change).
            Refused: there is no such object, or the server does not take it.
        """
        status, _ = self._ask("PATCH", path, body=change, kind=_MERGE)
        if status == 404:
            raise Refused(f"{self._what('PATCH', path)}: there is no such object; correct it.")

    def put(self, path: str, version: str, parts: Mapping[str, object]) -> None:
        """Put parts, by JSON pointer, into an object as it was read at a version; all or none.

        Raises:
            Unavailable: somebody changed it since.
            Refused: there is no such object, or the server does not take it.
        """
        steps: list[Object] = [
            {"op": "add", "path": pointer, "value": value} for pointer, value in parts.items()
        ]
        guard = {"op": "replace", "path": "/metadata/resourceVersion", "value": version}
        status, _ = self._ask("PATCH", path, body=[guard, *steps], kind=_PARTS)
        if status == 404:
            raise Refused(f"{self._what('PATCH', path)}: there is no such object; correct it.")

    def create(self, kind: str, item: Object) -> bool:
        """Make an object; False if one of that name is there."""
        status, _ = self._ask("POST", kind, body=item)
        return status != 409

    def delete(self, path: str) -> None:
        """Remove an object; one that is not there is removed."""
        self._ask("DELETE", path)

    def remove(self, path: str, uid: str, *, owned_first: bool = False) -> None:
        """Remove exactly this object; what it owns goes before it, or after it.

        Raises:
            Unavailable: another one has its name by now.
        """
        policy = "Foreground" if owned_first else "Background"
        exactly = {"propagationPolicy": policy, "preconditions": {"uid": uid}}
        self._ask("DELETE", path, body=exactly)

    def run(
        self, pod: str, container: str, words: Sequence[str], *, seconds: float
    ) -> "Ran | None":
        """Run a command in a container of a pod; None if it has not ended in time.

        Raises:
            Unavailable: it could not be run, or nobody heard how it ended.
        """
        from resources.clouds.kubernetes.pod_exec import run_in

        return run_in(self._place, self._token(), pod, container, words, seconds=seconds)

    def _what(self, method: str, path: str) -> str:
        return f"{self._place.server}, {method} {path} in {self._place.namespace}"

    def _ask(
        self,
        method: str,
        path: str,
        *,
        body: Object | list[Object] | None = None,
        kind: str = "application/json",
        fields: Mapping[str, str] | None = None,
    ) -> tuple[int, Object]:
        group = _GROUPS[path.partition("/")[0]]
        url = f"{self._place.server}/{group}/namespaces/{self._place.namespace}/{path}"
        headers = {
            "Authorization": f"Bearer {self._token()}",
            "Accept": "application/json",
            "Content-Type": kind,
        }
        what = self._what(method, path)
        sent = None if body is None else json.dumps(body).encode()
        query = "" if fields is None else "?" + _encoded(fields)
        try:
            answer = self._pool.request(
                method, url + query, body=sent, headers=headers, redirect=False
            )
        except urllib3.exceptions.HTTPError as error:
            raise Unavailable(f"{what}: {error}; it is asked again.") from error
        found = object_of(what, answer.status, answer.data)
        problem = problem_of(what, method, answer.status, found)
        if problem is not None:
            raise problem
        return answer.status, found


def _encoded(fields: Mapping[str, str]) -> str:
    from urllib.parse import urlencode

    return urlencode({name: value for name, value in fields.items() if value})
