"""A cluster with workloads in namespaces of a test's own, as its users and controllers made it."""

import itertools
from typing import Any

from qlrf_pipelines.domain.estate import Connector, TenantId
from qlrf_pipelines.domain.vocabulary import Platform
from resources.clouds.kubernetes.inventory import KubernetesCloud
from resources.clouds.patience import Patience
from resources.secrets import Secrets
from tests.fakes.kube_apiserver import ADMIN, READER, KubeApiserver, kube_apiserver

ENV = {"ADMIN": ADMIN, "READER": READER}
PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}
NAME = "prod-eu"
_NUMBERS = itertools.count(1)


class KubeCluster:
    """The test run's API server, seen as the cluster of one test; what it makes, it takes away."""

    def __init__(self) -> None:
        self.server: KubeApiserver = kube_apiserver()
        self._stem = f"inventory-{next(_NUMBERS)}"
        self.home = self.namespace()

    def namespace(self, name: str = "home", **labels: str) -> str:
        """Make a namespace, under a name nobody else has."""
        whole = f"{self._stem}-{name}"
        self.make("api/v1/namespaces", "v1", "Namespace", whole, labels=labels)
        return whole

    def remove_namespace(self, name: str) -> None:
        """Take a namespace away at once, as the namespace controller does in the end."""
        for plural in PLURALS.values():
            self.server.ask("DELETE", f"apis/apps/v1/namespaces/{name}/{plural}")
        path = f"api/v1/namespaces/{name}"
        self.server.ask("DELETE", path)
        there = self.server.ask("GET", path)
        self.server.ask("PUT", f"{path}/finalize", {**there, "spec": {"finalizers": []}})
        assert self.server.ask("GET", path)["reason"] == "NotFound"

    def make(
        self,
        path: str,
        version: str,
        kind: str,
        name: str,
        *,
        labels: dict[str, str] | None = None,
        **rest: Any,
    ) -> dict[str, Any]:
        """Make an object as its owner does."""
        metadata = {"name": name, "labels": labels or {}}
        item = {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}
        made: dict[str, Any] = self.server.ask("POST", path, item)
        assert made["kind"] == kind, made
        return made

    def workload(
        self,
        name: str = "web",
        *,
        kind: str = "Deployment",
        namespace: str | None = None,
        image: str = "registry:5000/shop/web:1.6.4",
        labels: dict[str, str] | None = None,
        ready: int | None = 2,
        **pod: Any,
    ) -> str:
        """Deploy a workload of two replicas; so many are ready, None if no controller looked yet.

        Returns the id that inventory gives it.
        """
        chosen = {"app": name}
        annotations = pod.pop("annotations", {})
        containers = pod.pop("containers", [{"name": "web", "image": image}])
        spec: dict[str, Any] = {
            "selector": {"matchLabels": chosen},
            "template": {
                "metadata": {"labels": chosen, "annotations": annotations},
                "spec": {"containers": containers, **pod},
            },
        }
        if kind != "DaemonSet":
            spec["replicas"] = 2
        if kind == "StatefulSet":
            spec["serviceName"] = name
        path = f"apis/apps/v1/namespaces/{namespace or self.home}/{PLURALS[kind]}"
        self.make(path, "apps/v1", kind, name, labels=labels, spec=spec)
        if ready is not None:
            self.settle(name, ready, kind=kind, namespace=namespace)
        return f"{kind.lower()}/{name}"

    def settle(
        self, name: str, ready: int, *, kind: str = "Deployment", namespace: str | None = None
    ) -> None:
        """What the controller reports once so many pods are ready, zero left out as Go does."""
        path = self.path(name, kind=kind, namespace=namespace)
        found = self.server.ask("GET", path)
        wanted = found["spec"].get("replicas", 2)
        counts = {"replicas": wanted, "readyReplicas": ready}
        if kind == "DaemonSet":
            counts = {
                "currentNumberScheduled": wanted,
                "numberMisscheduled": 0,
                "desiredNumberScheduled": wanted,
                "numberReady": ready,
            }
        status = {"observedGeneration": found["metadata"]["generation"], **counts}
        told = self.server.merge(f"{path}/status", {"status": status})
        assert told["kind"] == kind, told

    def path(self, name: str, *, kind: str = "Deployment", namespace: str | None = None) -> str:
        """Where a workload is."""
        return f"apis/apps/v1/namespaces/{namespace or self.home}/{PLURALS[kind]}/{name}"

    def change(self, name: str, change: dict[str, Any], **where: Any) -> None:
        """Change a workload as its owner does."""
        assert "code" not in self.server.merge(self.path(name, **where), change)

    def remove(self, name: str, **where: Any) -> None:
        """Delete a workload."""
        self.server.ask("DELETE", self.path(name, **where))

    def connector(self, *namespaces: str, **parts: Any) -> Connector:
        """A connector into it, as its administrator; without namespaces, into all of them."""
        usual: dict[str, Any] = {
            "name": "kubernetes-prod",
            "endpoint_url": self.server.url,
            "ca_file": str(self.server.trust),
            "credentials": {"token": "env:ADMIN"},
            "cluster": NAME,
        }
        return Connector(
            tenant=TenantId("acme"),
            platform=Platform.KUBERNETES,
            regions=namespaces,
            **(usual | parts),
        )


def kubernetes_cloud(env: dict[str, str] | None = None, **patience: Any) -> KubernetesCloud:
    """The adapter, as impatient as a test."""
    usual: dict[str, Any] = {"max_attempts": 1, "read_timeout": 10}
    secrets = Secrets(ENV if env is None else env)
    return KubernetesCloud(secrets=secrets, patience=Patience(**(usual | patience)))
