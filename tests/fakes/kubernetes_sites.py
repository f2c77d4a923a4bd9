"""Two sides in one cluster: workloads at each, and the Service that leads to one of them."""

import itertools
from collections.abc import Callable
from typing import Any

from qlrf_pipelines.domain.recovery import Member, Side
from qlrf_pipelines.ports.recovery import RecoverySession
from resources.clouds.kubernetes.recovery import KubernetesRecovery
from resources.secrets import Secrets
from tests.fakes.dying import Dying
from tests.fakes.kube_apiserver import ADMIN, READER, kube_apiserver
from tests.fakes.kubelet import fake_kubelet
from tests.fakes.recovery_sites import Sites

ENV = {"ADMIN": ADMIN, "READER": READER}
KINDS = {"Deployment": "deployments", "StatefulSet": "statefulsets"}
CHANGES = frozenset({"patch", "create", "delete"})
_NUMBERS = itertools.count(1)


class KubernetesSites(Sites):
    """A Deployment and a StatefulSet at each side, in one namespace of their own, or in two."""

    expected = 2

    def __init__(self, *, apart: bool = False) -> None:
        self.cluster = kube_apiserver()
        number = next(_NUMBERS)
        self.home = f"shop-{number}"
        self.away = f"shop-{number}-dr" if apart else self.home
        self.apart = apart
        for namespace in {self.home, self.away}:
            self.make("api/v1/namespaces", "v1", "Namespace", namespace, {})
        for side, namespace, replicas in (
            ("primary", self.home, 2),
            ("recovery", self.away, 0),
        ):
            for kind in KINDS:
                self.workload(kind, namespace, side, replicas)
        self._service()
        self.settle()
        self.member = Member(name="web", adapter="kubernetes", settings=self.settings())

    def settings(self) -> dict[str, Any]:
        """The member's settings."""
        reach = {"server": self.cluster.url, "caFile": str(self.cluster.trust)}
        keys = {"credentials": {"token": "env:ADMIN"}}
        led: dict[str, Any] = {"selector": {"app": "web", "site": "recovery"}}
        if self.apart:
            led = {"externalName": f"web.{self.away}.svc.cluster.local"}
        return {
            "primary": {**reach, **keys, "namespace": self.home},
            "recovery": {**reach, **keys, "namespace": self.away},
            "workloads": [
                {
                    "kind": kind,
                    "primary": f"web-primary-{kind.lower()}",
                    "recovery": f"web-recovery-{kind.lower()}",
                    "replicas": 3,
                }
                for kind in KINDS
            ],
            "service": {"name": "web", "at": "primary", **led},
        }

    def make(self, path: str, version: str, kind: str, name: str, rest: dict[str, Any]) -> None:
        """Make an object as the application's owner does."""
        item = {"apiVersion": version, "kind": kind, "metadata": {"name": name}, **rest}
        made = self.cluster.ask("POST", path, item)
        assert made["kind"] == kind, made

    def workload(self, kind: str, namespace: str, side: str, replicas: int) -> None:
        """Deploy a workload."""
        labels = {"app": "web", "site": side, "part": kind.lower()}
        pod = {"containers": [{"name": "web", "image": "web:1"}]}
        spec: dict[str, Any] = {
            "replicas": replicas,
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        }
        if kind == "StatefulSet":
            spec["serviceName"] = "web"
        path = f"apis/apps/v1/namespaces/{namespace}/{KINDS[kind]}"
        self.make(path, "apps/v1", kind, f"web-{side}-{kind.lower()}", {"spec": spec})

    def pod(
        self, name: str, kind: str = "Deployment", *, side: str = "recovery", ready: bool = True
    ) -> str:
        """A pod of a workload on the node of the fake kubelet, as controllers would have made it.

        Its containers are `proxy` and `web`; kubectl is told to choose `web`.
        """
        namespace = self.home if side == "primary" else self.away
        chosen = {"kubectl.kubernetes.io/default-container": "web"}
        labels = {"app": "web", "site": side, "part": kind.lower()}
        containers = [{"name": one, "image": "web:1"} for one in ("proxy", "web")]
        item = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "labels": labels, "annotations": chosen},
            "spec": {"nodeName": fake_kubelet().node(self.cluster), "containers": containers},
        }
        path = f"api/v1/namespaces/{namespace}/pods"
        made = self.cluster.ask("POST", path, item)
        assert made["kind"] == "Pod", made
        word = "True" if ready else "False"
        status = {"phase": "Running", "conditions": [{"type": "Ready", "status": word}]}
        self.cluster.merge(f"{path}/{name}/status", {"status": status})
        return name

    def adapter(self, *, die_at: int | None = None) -> KubernetesRecovery:
        plain = KubernetesRecovery(secrets=Secrets(ENV), timeout=10)
        made: list[Dying] = []

        def changes(name: str, _: tuple[Any, ...]) -> bool:
            return name in CHANGES

        def reach(place: Any, token: Callable[[], str]) -> Any:
            # Both sides are one process: a change at one of them counts for both.
            inner = plain.calls(place, token)
            found = Dying(inner, at=die_at, changes=changes, beside=made[0] if made else None)
            made.append(found)
            return found

        return KubernetesRecovery(secrets=Secrets(ENV), reach=reach)

    def unreachable(self) -> RecoverySession:
        settings = self.settings()
        for side in ("primary", "recovery"):
            settings[side] = {**settings[side], "server": "https://127.0.0.1:9"}
        return self.adapter().open(Member(name="web", adapter="kubernetes", settings=settings))

    def without_credentials(self) -> dict[str, Any]:
        settings = self.settings()
        keys = {"credentials": {"token": "env:NOWHERE"}}
        return settings | {"recovery": settings["recovery"] | keys}

    def world(self) -> Any:
        there: dict[str, Any] = {}
        for namespace in {self.home, self.away}:
            for item in self._workloads(namespace):
                kept = item["metadata"].get("annotations"), item["spec"]["replicas"]
                there[namespace, item["metadata"]["name"]] = kept
            policies = f"apis/networking.k8s.io/v1/namespaces/{namespace}/networkpolicies"
            for item in self.cluster.ask("GET", policies)["items"]:
                there[namespace, item["metadata"]["name"]] = item["spec"]
        service = self.service()
        return there | {"service": (service["metadata"].get("annotations"), service["spec"])}

    def service(self) -> dict[str, Any]:
        """The Service."""
        found: dict[str, Any] = self.cluster.ask(
            "GET", f"api/v1/namespaces/{self.home}/services/web"
        )
        return found

    def served_by(self) -> Side | None:
        spec = self.service()["spec"]
        if self.apart:
            side = Side.RECOVERY if f".{self.away}." in spec["externalName"] else Side.PRIMARY
        else:
            side = Side(spec["selector"]["site"])
        return side if self._ready(side) else None

    def primary_works(self) -> bool:
        return self._ready(Side.PRIMARY)

    def made(self) -> int:
        return sum(
            item["spec"]["replicas"] > 0
            for item in self._workloads(self.away)
            if "recovery" in item["metadata"]["name"]
        )

    def settle(self) -> None:
        """What the controllers and kubelets would report once they have done their work."""
        for namespace in {self.home, self.away}:
            for item in self._workloads(namespace):
                replicas = item["spec"]["replicas"]
                status: dict[str, Any] = {
                    "observedGeneration": item["metadata"]["generation"],
                    "replicas": replicas,
                    "readyReplicas": replicas,
                    "updatedReplicas": replicas,
                    "availableReplicas": replicas,
                }
                kind = KINDS[item["kind"]]
                path = f"apis/apps/v1/namespaces/{namespace}/{kind}/{item['metadata']['name']}"
                told = self.cluster.merge(f"{path}/status", {"status": status})
                assert told["kind"] == item["kind"], told

    def _ready(self, side: Side) -> bool:
        namespace = self.home if side is Side.PRIMARY else self.away
        mine = [i for i in self._workloads(namespace) if side in i["metadata"]["name"]]
        return all(
            i["spec"]["replicas"] == i.get("status", {}).get("readyReplicas", 0) > 0 for i in mine
        )

    def _workloads(self, namespace: str) -> list[dict[str, Any]]:
        found = []
        for kind, plural in KINDS.items():
            listed = self.cluster.ask("GET", f"apis/apps/v1/namespaces/{namespace}/{plural}")
            found += [{**item, "kind": kind} for item in listed["items"]]
        return found

    def _service(self) -> None:
        spec: dict[str, Any] = {
            "selector": {"app": "web", "site": "primary"},
            "ports": [{"port": 80}],
        }
        if self.apart:
            spec = {"type": "ExternalName", "externalName": f"web.{self.home}.svc.cluster.local"}
        path = f"api/v1/namespaces/{self.home}/services"
        self.make(path, "v1", "Service", "web", {"spec": spec})
