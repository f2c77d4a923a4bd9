"""Everything the EndpointSlices of a namespace ever said, as whoever routes by them hears it."""

import json
import threading
from typing import Any

import urllib3

from tests.fakes.kube_apiserver import ADMIN
from tests.fakes.kubernetes_fleet import Fleet

_SLICES = "apis/discovery.k8s.io/v1"


class Traffic:
    """A watch from now on: the ready pods of each EndpointSlice, at each of its versions."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._said: list[tuple[str, frozenset[str]]] = []
        self._versions: set[str] = set()
        self._door = threading.Condition()
        path = fleet.path("endpointslices", _SLICES)
        now = fleet.ask("GET", path)
        for item in now["items"]:
            self._heard(item)
        version = now["metadata"]["resourceVersion"]
        pool = urllib3.PoolManager(ca_certs=str(fleet.cluster.trust), retries=False)
        url = f"{fleet.cluster.url}/{path}?watch=true&timeoutSeconds=600&resourceVersion={version}"
        self._stream: Any = pool.request(
            "GET", url, headers={"Authorization": f"Bearer {ADMIN}"}, preload_content=False
        )
        threading.Thread(target=self._listen, daemon=True).start()

    def all(self) -> list[frozenset[str]]:
        """The ready pods at every version so far, once the newest one was heard."""
        newest = {
            item["metadata"]["resourceVersion"]
            for item in self._fleet.ask("GET", self._fleet.path("endpointslices", _SLICES))["items"]
        }
        with self._door:
            heard = self._door.wait_for(lambda: newest <= self._versions, 30)
            assert heard, "the watch of the EndpointSlices fell behind"
            return [pods for _, pods in self._said]

    def clear(self) -> None:
        """Forget what was said until now, but for the newest version."""
        kept = self.all()[-1:]
        with self._door:
            self._said = [("", pods) for pods in kept]

    def _listen(self) -> None:
        rest = b""
        try:
            for piece in self._stream.stream(65_536):
                *whole, rest = (rest + piece).split(b"\n")
                for line in whole:
                    self._heard(json.loads(line)["object"])
        except (urllib3.exceptions.HTTPError, OSError):
            return

    def _heard(self, item: dict[str, Any]) -> None:
        ready = frozenset(
            end["targetRef"]["name"]
            for end in item.get("endpoints") or ()
            if end["conditions"]["ready"]
        )
        with self._door:
            self._said.append((item["metadata"]["name"], ready))
            self._versions.add(item["metadata"]["resourceVersion"])
            self._door.notify_all()
