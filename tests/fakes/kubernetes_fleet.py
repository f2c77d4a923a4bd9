"""Workloads of one namespace of the real cluster, and an executor that may do what the guide says.

The executor's identity is a service account with the guide's Role and nothing else, so whatever
the Role leaves out fails here too.
"""

import functools
import itertools
import re
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from qlrf_pipelines.domain.errors import Denied, Unavailable
from qlrf_pipelines.domain.estate import Connector, TenantId
from qlrf_pipelines.domain.operations import (
    HealthReport,
    Operation,
    OperationKind,
    Progress,
    Status,
    Target,
)
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.executors import Operator
from resources.clouds.kubernetes.connection import cluster_of, token_of
from resources.clouds.kubernetes.executor import KubernetesExecutor
from resources.secrets import Secrets
from tests.fakes.clock import FakeClock
from tests.fakes.dying import Killed
from tests.fakes.kube_controllers import ControlledCluster, controlled_cluster
from tests.fakes.kubernetes_watched import Watch, WatchedCalls

GUIDE = Path(__file__).parents[2] / "docs/guide/executors.md"
CLUSTER = "here"
OLD, NEW, BAD = "shop.example/web:1", "shop.example/web:2", "shop.example/web:broken"
APPS = "apis/apps/v1"
_RBAC = "rbac.authorization.k8s.io"
DONE = (Status.SUCCEEDED, Status.FAILED, Status.UNKNOWN)
_PLURALS = {"Deployment": "deployments", "StatefulSet": "statefulsets", "DaemonSet": "daemonsets"}
_NUMBERS = itertools.count(1)
_SECONDS = 60


def role_of_the_guide() -> dict[str, Any]:
    """The ClusterRole the guide tells people to make."""
    blocks = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    documents = [one for block in blocks for one in yaml.safe_load_all(block)]
    (role,) = [one for one in documents if one and one.get("kind") == "ClusterRole"]
    return dict(role)


@functools.cache
def _identity() -> tuple[str, str]:
    """The executor's service account, made with the guide's Role: its role, and a token."""
    cluster, role = controlled_cluster(), role_of_the_guide()
    made = cluster.ask("POST", f"apis/{_RBAC}/v1/clusterroles", role)
    assert made["kind"] == "ClusterRole", made
    home = "api/v1/namespaces"
    cluster.ask("POST", home, {"metadata": {"name": "qlrf"}})
    account = {"metadata": {"name": "qlrf-executor"}}
    cluster.ask("POST", f"{home}/qlrf/serviceaccounts", account)
    request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
    path = f"{home}/qlrf/serviceaccounts/qlrf-executor/token"
    answer = cluster.ask("POST", path, request)
    return str(role["metadata"]["name"]), str(answer["status"]["token"])


class Fleet:
    """A namespace of its own; whoever looks is the administrator."""

    def __init__(self) -> None:
        self.cluster: ControlledCluster = controlled_cluster()
        self.namespace = f"shop-{next(_NUMBERS)}"
        self.clock = FakeClock()
        self.watch = Watch()
        role, self._token = _identity()
        self.ask("POST", "api/v1/namespaces", {"metadata": {"name": self.namespace}})
        self._bind("ClusterRole", role)
        self.executor = KubernetesExecutor(
            secrets=Secrets({"TOKEN": self._token}), clock=self.clock, timeout=20, reach=self._reach
        )
        self.until(self._is_let_in)

    def connector(self, **changes: Any) -> Connector:
        """The connector into the cluster."""
        return replace(
            Connector(
                tenant=TenantId("acme"),
                name="main",
                platform=Platform.KUBERNETES,
                endpoint_url=self.cluster.url,
                ca_file=str(self.cluster.trust),
                cluster=CLUSTER,
                credentials={"token": "env:TOKEN"},
            ),
            **changes,
        )

    def operator(self) -> Operator:
        """The hands in the cluster."""
        return self.executor.operator(self.connector(), CLUSTER)

    def _reach(self, connector: Connector, namespace: str) -> WatchedCalls:
        token = token_of(connector, Secrets({"TOKEN": self._token}))
        place = cluster_of(connector).place(namespace)
        return WatchedCalls(place, token, timeout=20, watch=self.watch)

    def _bind(self, kind: str, role: str) -> None:
        binding = {
            "metadata": {"name": f"qlrf-{kind.lower()}"},
            "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": "qlrf-executor", "namespace": "qlrf"}],
        }
        self.ask("POST", self.path("rolebindings", f"apis/{_RBAC}/v1"), binding)

    def take_away(self, resource: str) -> None:
        """Let the executor do what the guide says, but for one resource."""
        rules = [one for one in role_of_the_guide()["rules"] if resource not in one["resources"]]
        role = {"metadata": {"name": "less"}, "rules": rules}
        self.ask("POST", self.path("roles", f"apis/{_RBAC}/v1"), role)
        self._bind("Role", "less")
        path = self.path("rolebindings", f"apis/{_RBAC}/v1", "qlrf-clusterrole")
        self.ask("DELETE", path)
        self.until(lambda: not self._may(resource))
        self.until(lambda: self._may("deployments"))

    def _may(self, resource: str) -> bool:
        kind, _, part = resource.partition("/")
        group = "apps" if kind == "deployments" else ""
        wanted = {"namespace": self.namespace, "verb": "get", "group": group, "resource": kind}
        spec = {"user": "system:serviceaccount:qlrf:qlrf-executor"}
        review = {"spec": {**spec, "resourceAttributes": wanted | {"subresource": part}}}
        path = "apis/authorization.k8s.io/v1/subjectaccessreviews"
        return bool(self.ask("POST", path, review)["status"]["allowed"])

    def _is_let_in(self) -> bool:
        # The authorizer hears of a new binding a moment after it was made.
        try:
            self._reach(self.connector(), self.namespace).read("deployments/none")
        except Denied:
            return False
        self.watch.asked.clear()
        return True

    def ask(self, method: str, path: str, body: Any = None, kind: str = "json") -> Any:
        """Ask as the administrator; what is refused fails the test."""
        answer = self.cluster.ask(method, path, body, kind)
        assert answer["kind"] != "Status" or answer["status"] == "Success", answer
        return answer

    def path(self, kind: str, group: str = "api/v1", name: str = "") -> str:
        """Where objects of the namespace are."""
        return f"{group}/namespaces/{self.namespace}/{kind}/{name}".rstrip("/")

    def deploy(
        self, name: str = "web", *, kind: str = "Deployment", replicas: int = 2, **spec: Any
    ) -> Target:
        """Deploy a workload of the old image and wait until its pods are ready."""
        labels = {"app": name}
        containers = spec.pop("containers", [{"name": "web", "image": OLD}])
        metadata = spec.pop("metadata", {})
        wanted = {
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
        }
        if kind != "DaemonSet":
            wanted["replicas"] = replicas
        if kind == "StatefulSet":
            wanted["serviceName"] = name
        if kind == "Deployment":
            wanted["progressDeadlineSeconds"] = 2
        item = {"metadata": {"name": name, **metadata}, "spec": wanted | spec}
        self.ask("POST", self.path(_PLURALS[kind], APPS), item)
        target = self.target(name, kind)
        self.settle(target)
        return target

    def target(self, name: str, kind: str = "Deployment") -> Target:
        """A workload as an asset."""
        return Target(
            platform=Platform.KUBERNETES,
            account=CLUSTER,
            region=self.namespace,
            id=f"{kind.lower()}/{name}",
        )

    def service(self, name: str = "web", **selector: str) -> None:
        """A Service leading to the workload of its name, or to what is selected."""
        spec = {"selector": selector or {"app": name}, "ports": [{"port": 80}]}
        self.ask("POST", self.path("services"), {"metadata": {"name": name}, "spec": spec})
        self.until(lambda: bool(self.slices(name)) or bool(selector))

    def get(self, target: Target) -> dict[str, Any]:
        """A workload as it is."""
        kind, name = target.id.split("/")
        found: dict[str, Any] = self.ask("GET", self.path(f"{kind}s", APPS, name))
        return found

    def there(self, target: Target) -> bool:
        """Whether a workload is there."""
        kind, name = target.id.split("/")
        found = self.cluster.ask("GET", self.path(f"{kind}s", APPS, name))
        return bool(found["kind"] != "Status")

    def edit(self, target: Target, change: Mapping[str, Any]) -> None:
        """Change a workload as somebody else would."""
        kind, name = target.id.split("/")
        path = self.path(f"{kind}s", APPS, name)
        self.ask("PATCH", path, change, "strategic-merge-patch+json")

    def set_image(self, target: Target, image: str) -> None:
        """Give a workload an image as somebody else would."""
        containers = [{"name": "web", "image": image}]
        self.edit(target, {"spec": {"template": {"spec": {"containers": containers}}}})

    def image_of(self, target: Target) -> str:
        """The image a workload is told to run."""
        containers = self.get(target)["spec"]["template"]["spec"]["containers"]
        return str(containers[0]["image"])

    def pods(self, **labels: str) -> list[dict[str, Any]]:
        """The pods with these labels."""
        query = ",".join(f"{key}={value}" for key, value in labels.items())
        path = f"{self.path('pods')}?labelSelector={query}"
        found: list[dict[str, Any]] = self.ask("GET", path)["items"]
        return found

    def pods_of(self, target: Target) -> set[str]:
        """The names of a Deployment's pods."""
        stem = target.id.removeprefix("deployment/")
        names = {str(pod["metadata"]["name"]) for pod in self.pods()}
        return {name for name in names if name.rsplit("-", 2)[0] == stem}

    def sides(self) -> list[Target]:
        """The Deployments that stand beside another one."""
        found = self.ask("GET", f"{self.path('deployments', APPS)}?labelSelector=qlrf.io/side")
        return [self.target(item["metadata"]["name"]) for item in found["items"]]

    def images_running(self) -> set[str]:
        """The images of all pods that are not ending."""
        alive = [p for p in self.pods() if "deletionTimestamp" not in p["metadata"]]
        return {pod["spec"]["containers"][0]["image"] for pod in alive}

    def is_ready(self, target: Target) -> bool:
        """Whether all pods of a workload are there, of its newest template, and ready."""
        found = self.get(target)
        status, wanted = found.get("status") or {}, found["spec"].get("replicas", 1)
        seen = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        if target.id.startswith("daemonset/"):
            names = ("updatedNumberScheduled", "numberAvailable")
        else:
            names = ("updatedReplicas", "availableReplicas")
        return bool(seen and all(status.get(name, 0) == wanted for name in names))

    def settle(self, target: Target) -> None:
        """Wait until a workload is ready, and its controller has said the last word on it."""
        self.until(lambda: self.is_ready(target))
        if target.id.startswith("deployment/"):
            last = ("NewReplicaSetAvailable", "DeploymentPaused")
            self.until(lambda: any(word in str(self.get(target)["status"]) for word in last))

    def later(self, **parts: float) -> None:
        """Let it be so much later than it is on the cluster's own clock."""
        self.clock.moment = datetime.now(UTC) + timedelta(**parts)

    def slices(self, service: str = "web") -> set[str]:
        """The ready pods a Service leads to."""
        label = f"kubernetes.io/service-name={service}"
        path = f"{self.path('endpointslices', 'apis/discovery.k8s.io/v1')}?labelSelector={label}"
        ends = [e for item in self.ask("GET", path)["items"] for e in item["endpoints"] or ()]
        return {e["targetRef"]["name"] for e in ends if e["conditions"]["ready"]}

    def served(self, service: str = "web") -> set[str]:
        """The images a Service's clients are answered by."""
        images = {
            pod["metadata"]["name"]: pod["spec"]["containers"][0]["image"] for pod in self.pods()
        }
        return {images[name] for name in self.slices(service)}

    def selector(self, service: str = "web") -> dict[str, str]:
        """What a Service selects."""
        found = self.ask("GET", self.path("services", name=service))
        return dict(found["spec"]["selector"])

    def annotations(self, service: str = "web") -> dict[str, str]:
        """What is noted on a Service."""
        found = self.ask("GET", self.path("services", name=service))
        return dict(found["metadata"].get("annotations") or {})

    def revision(self, target: Target) -> int:
        """How many templates a Deployment has had."""
        marks = self.get(target)["metadata"]["annotations"]
        return int(marks["deployment.kubernetes.io/revision"])

    def until(self, so: Callable[[], bool]) -> None:
        """Wait for the cluster's controllers."""
        end = time.monotonic() + _SECONDS
        while not so():
            assert time.monotonic() < end, "the cluster's controllers did not come so far"
            time.sleep(0.02)

    def moved(self, before: object, *, seconds: float = 5) -> None:
        """Wait until the namespace is not as it was, and stands still again; not for ever."""
        end = time.monotonic() + seconds
        last = self.versions()
        while last == before and time.monotonic() < end:
            time.sleep(0.02)
            last = self.versions()
        while (now := self.versions()) != last and time.monotonic() < end:
            last = now
            time.sleep(0.05)

    def versions(self) -> object:
        """The versions of all objects that an operation may look at."""
        apps, slices = APPS, "apis/discovery.k8s.io/v1"
        lists = [(one, apps) for one in (*_PLURALS.values(), "replicasets")]
        lists += [("pods", "api/v1"), ("services", "api/v1"), ("endpointslices", slices)]
        found = (self.ask("GET", self.path(kind, group)) for kind, group in lists)
        return [
            (item["metadata"]["uid"], item["metadata"]["resourceVersion"])
            for listed in found
            for item in listed["items"]
        ]


class Patient(Operator):
    """An operator that answers once the cluster has moved, so that nobody has to ask in vain."""

    def __init__(self, fleet: Fleet, operator: Operator) -> None:
        self._fleet = fleet
        self._operator = operator

    def capture(self, target: Target) -> Mapping[str, Any]:
        return self._operator.capture(target)

    def advance(self, operation: Operation) -> Progress:
        before, changed = self._fleet.versions(), len(self._fleet.watch.changes)
        try:
            progress = self._operator.advance(operation)
        except Unavailable as error:
            # The cluster's own hand was faster, as in life; rollouts ask again then.
            if "HTTP 409" not in str(error):
                raise
            return self.advance(replace(operation, begun=True))
        if progress.status is Status.RUNNING and len(self._fleet.watch.changes) == changed:
            self._fleet.moved(before)
        return progress

    def check(self, target: Target, check: Mapping[str, Any]) -> HealthReport:
        return self._operator.check(target, check)

    def address(self, target: Target) -> str | None:
        return self._operator.address(target)


def operation(kind: OperationKind, target: Target, *, number: int = 1, **fields: Any) -> Operation:
    """An operation; its number makes its token."""
    return Operation(token=f"{number:064x}", kind=kind, target=target, **fields)


def carry_out(
    fleet: Fleet, wanted: Operation, *, killed_at: Collection[int] = (), most: int = 60
) -> Progress:
    """Ask until it is done, waiting for the cluster in between.

    Whoever asks is killed after these calls, before noting the answer, and at the requests the
    fleet's watch says; silence is asked again.
    """
    said = "nothing was said"
    for call in range(most):
        try:
            progress = Patient(fleet, fleet.operator()).advance(wanted)
        except (Killed, Unavailable) as error:
            said, wanted = str(error), replace(wanted, begun=True)
            continue
        if progress.status in DONE and call not in killed_at:
            return progress
        said = progress.detail
        checkpoint = wanted.checkpoint if call in killed_at else progress.checkpoint
        wanted = replace(wanted, begun=True, checkpoint=checkpoint)
    raise AssertionError(f"not done after {most} calls: {said}")
