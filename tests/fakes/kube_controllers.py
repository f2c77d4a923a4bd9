"""A real cluster but for its nodes: API server, controllers, and one node that runs no container.

The node does to a pod what a scheduler and a kubelet would: it gets a place and an address, it is
ready, or it is not because its image cannot be had, and it ends when it is told to.
"""

import atexit
import functools
import json
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import urllib3

from tests.fakes.kube_apiserver import ADMIN, KubeApiserver, need_programs
from tests.fakes.kubelet import NODE, fake_kubelet

MISSING = "etcd, kube-apiserver or kube-controller-manager is not here; `.ci/peers` builds them"
CONTROLLERS = (
    "daemonset-controller",
    "deployment-controller",
    "endpointslice-controller",
    "garbage-collector-controller",
    "replicaset-controller",
    "statefulset-controller",
)
BROKEN, CRASHING = ":broken", ":crashing"
_TROUBLE = {BROKEN: "ImagePullBackOff", CRASHING: "CrashLoopBackOff"}
Pod = dict[str, Any]


class ControlledCluster(KubeApiserver):
    """The API server with the controllers of kube-controller-manager, and a node."""

    def __init__(self) -> None:
        super().__init__()
        user = {"name": "admin", "user": {"token": ADMIN}}
        cluster = {"server": self.url, "certificate-authority": str(self.trust)}
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": cluster}],
            "users": [user],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "admin"}}],
        }
        path = self.home / "kubeconfig.json"
        path.write_text(json.dumps(config))
        self._serve(
            "kube-controller-manager",
            f"--kubeconfig={path}",
            f"--controllers={','.join(CONTROLLERS)}",
            "--leader-elect=false",
            "--secure-port=0",
            "--kube-api-qps=1000",
            "--kube-api-burst=2000",
        )
        self.node = FakeNode(self)

    def stop(self) -> None:
        self.node.stop()
        super().stop()


class FakeNode:
    """Every pod of the cluster is its own; images that are held do not come up until let go."""

    def __init__(self, cluster: KubeApiserver) -> None:
        self._cluster = cluster
        self._door = threading.RLock()
        self._pods: dict[str, Pod] = {}
        self._held: set[str] = set()
        self._numbers = 0
        self._leave = False
        # Other fakes may look on; they are told of every event, in order.
        self.told: list[Callable[[str, Pod], None]] = []
        name = fake_kubelet().node(cluster)
        # A node is new and not ready until a kubelet says otherwise.
        cluster.merge(f"api/v1/nodes/{name}", {"spec": {"taints": None}})
        threading.Thread(target=self._watch, daemon=True).start()

    def hold(self, image: str) -> None:
        """Pods of an image wait, as if it was still being pulled."""
        with self._door:
            self._held.add(image)

    def let_go(self, image: str) -> None:
        """Pods of an image that wait come up."""
        with self._door:
            self._held.discard(image)
            waiting = list(self._pods.values())
        for pod in waiting:
            self._look(pod)

    def stop(self) -> None:
        """Leave before the API server does."""
        self._leave = True

    def _watch(self) -> None:
        pool = urllib3.PoolManager(ca_certs=str(self._cluster.trust), retries=False)
        headers = {"Authorization": f"Bearer {ADMIN}"}
        url = f"{self._cluster.url}/api/v1/pods?watch=true&timeoutSeconds=3600"
        while not self._leave:
            try:
                stream = pool.request("GET", url, headers=headers, preload_content=False)
                for line in _lines(stream):
                    event = json.loads(line)
                    self._saw(event["type"], event["object"])
            except (urllib3.exceptions.HTTPError, OSError, ValueError):
                continue

    def _saw(self, kind: str, pod: Pod) -> None:
        with self._door:
            if kind == "DELETED":
                self._pods.pop(pod["metadata"]["uid"], None)
            else:
                self._pods[pod["metadata"]["uid"]] = pod
        if kind in ("ADDED", "MODIFIED"):
            self._look(pod)

    def _look(self, pod: Pod) -> None:
        """Do the next thing to a pod; whatever fails is seen again in the event that follows."""
        metadata, spec = pod["metadata"], pod["spec"]
        path = f"api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}"
        if "deletionTimestamp" in metadata:
            options = {"gracePeriodSeconds": 0, "preconditions": {"uid": metadata["uid"]}}
            self._cluster.ask("DELETE", path, options)
        elif not spec.get("nodeName"):
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            binding = {"metadata": {"name": metadata["name"]}, "target": target}
            self._cluster.ask("POST", f"{path}/binding", binding)
        elif (status := self._status(pod)) is not None:
            self._cluster.merge(f"{path}/status", {"status": status})

    def _status(self, pod: Pod) -> dict[str, Any] | None:
        images = [item["image"] for item in pod["spec"]["containers"]]
        with self._door:
            held = any(image in self._held for image in images)
        trouble = next((w for tail, w in _TROUBLE.items() if images[0].endswith(tail)), None)
        now = pod.get("status") or {}
        if trouble is not None:
            waiting = {"reason": trouble, "message": f"{images[0]} cannot be had"}
            wanted = _containers(pod, {"waiting": waiting}, ready=False)
            phase, ready = "Pending" if trouble == "ImagePullBackOff" else "Running", "False"
        elif held:
            wanted = _containers(pod, {"waiting": {"reason": "ContainerCreating"}}, ready=False)
            phase, ready = "Pending", "False"
        else:
            wanted = _containers(pod, {"running": {}}, ready=True)
            phase, ready = "Running", "True"
        conditions = [{"type": kind, "status": ready} for kind in ("Ready", "ContainersReady")]
        said = [{k: c.get(k) for k in ("type", "status")} for c in now.get("conditions") or ()]
        if now.get("phase") == phase and all(one in said for one in conditions):
            return None
        since = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        conditions = [{**one, "lastTransitionTime": since} for one in conditions]
        address = now.get("podIP") or self._address()
        return {
            "phase": phase,
            "podIP": address,
            "podIPs": [{"ip": address}],
            "conditions": conditions,
            "containerStatuses": wanted,
        }

    def _address(self) -> str:
        with self._door:
            self._numbers += 1
            return f"10.1.{self._numbers // 250}.{self._numbers % 250 + 1}"


def _containers(pod: Pod, state: dict[str, Any], *, ready: bool) -> list[dict[str, Any]]:
    return [
        {
            "name": item["name"],
            "image": item["image"],
            "imageID": "",
            "restartCount": 0,
            "ready": ready,
            "started": ready,
            "state": state,
        }
        for item in pod["spec"]["containers"]
    ]


def _lines(stream: Any) -> Any:
    rest = b""
    for piece in stream.stream(65_536):
        *whole, rest = (rest + piece).split(b"\n")
        yield from whole


@functools.cache
def controlled_cluster() -> ControlledCluster:
    """The one cluster of this test run; without its programs the test is skipped, or failed."""
    need_programs("etcd", "kube-apiserver", "kube-controller-manager", missing=MISSING)
    made = ControlledCluster()
    atexit.register(made.stop)
    return made
