"""Kubernetes as an executor: rolling updates and blue-green of workloads. It imports no SDK."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected
from qlrf_pipelines.domain.estate import Connector
from qlrf_pipelines.domain.operations import (
    HealthReport,
    Operation,
    OperationKind,
    Progress,
    Target,
)
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.clock import Clock
from qlrf_pipelines.ports.executors import Executor, Operator
from resources.secrets import Secrets

if TYPE_CHECKING:
    from resources.clouds.kubernetes.calls import KubernetesCalls
    from resources.clouds.kubernetes.hands import Hands

Reach = Callable[[Connector, str], "KubernetesCalls"]
Advance = Callable[["Hands", Operation], Progress]
_NEED_BEFORE = (
    OperationKind.ROLLING_UPDATE,
    OperationKind.START_BESIDE,
    OperationKind.SWITCH,
    OperationKind.RESTORE,
    OperationKind.FINALISE,
)


class KubernetesExecutor(Executor):
    """Changes Deployments, StatefulSets and DaemonSets over the cluster's own API.

    `reach` is the way into a namespace of a connector's cluster, if not the usual one.
    """

    platform = Platform.KUBERNETES
    version = "kubernetes 1"

    def __init__(
        self, *, secrets: Secrets, clock: Clock, timeout: float = 30, reach: Reach | None = None
    ) -> None:
        self._secrets = secrets
        self._clock = clock
        self._timeout = timeout
        self._reach = reach or self.calls

    def operator(self, connector: Connector, account: str) -> Operator:
        """The operator of one cluster; see the port."""
        from resources.clouds.kubernetes.connection import cluster_of, token_of

        cluster = cluster_of(connector).name
        if account != cluster:
            raise NotFound(
                f"Connector {connector.name} leads to cluster {cluster}, not to {account}; "
                "correct its cluster."
            )
        token_of(connector, self._secrets)
        return KubernetesOperator(connector, cluster, clock=self._clock, reach=self._reach)

    def calls(self, connector: Connector, namespace: str) -> "KubernetesCalls":
        """The way into one namespace.

        Raises:
            Rejected: a credential reference cannot be resolved.
        """
        from resources.clouds.kubernetes.connection import namespace_calls

        return namespace_calls(connector, self._secrets, namespace, timeout=self._timeout)


class KubernetesOperator(Operator):
    """One cluster as one identity may change it; a way into a namespace is opened once."""

    def __init__(self, connector: Connector, cluster: str, *, clock: Clock, reach: Reach) -> None:
        self._connector = connector
        self._cluster = cluster
        self._clock = clock
        self._reach = reach
        self._opened: dict[str, KubernetesCalls] = {}

    def capture(self, target: Target) -> Mapping[str, Any]:
        """Its pod template, its numbers and the Services leading to it; see the port."""
        from resources.clouds.kubernetes.captured import capture_workload
        from resources.clouds.kubernetes.hands import workload_of

        try:
            return capture_workload(self._hands(target), workload_of(target))
        except Refused as refusal:
            raise Rejected(f"{target.key}: {refusal}") from refusal

    def advance(self, operation: Operation) -> Progress:
        """One step, found from what is there; see the port."""
        from resources.recovery.steps import failed

        chosen = _chosen(operation)
        if operation.kind in _NEED_BEFORE and not operation.before:
            raise Rejected(f"{operation.target.key}: capture it before {operation.kind}.")
        try:
            return chosen(self._hands(operation.target), operation)
        except Refused as refusal:
            return failed(f"The cluster does not take it: {refusal}")

    def check(self, target: Target, check: Mapping[str, Any]) -> HealthReport:
        """What the cluster says of the workload; see the port."""
        from resources.clouds.kubernetes.checking import check_workload

        return check_workload(self._hands(target), target, check)

    def address(self, target: Target) -> str | None:
        """A Service's address, or a pod's if no Service leads to it; see the port."""
        from resources.clouds.kubernetes.checking import address_of

        try:
            return address_of(self._hands(target), target)
        except Refused as refusal:
            raise Rejected(f"{target.key}: {refusal}") from refusal

    def _hands(self, target: Target) -> "Hands":
        from resources.clouds.kubernetes.hands import Hands

        if target.platform is not Platform.KUBERNETES or target.account != self._cluster:
            raise Rejected(f"{target.key} is not in cluster {self._cluster}.")
        calls = self._opened.get(target.region)
        if calls is None:
            # Two threads may open one each; one of them is kept.
            calls = self._opened.setdefault(
                target.region, self._reach(self._connector, target.region)
            )
        return Hands(calls=calls, clock=self._clock)


def _chosen(operation: Operation) -> Advance:
    from resources.clouds.kubernetes import beside, checking, returning, rolling, switching

    chosen: Mapping[OperationKind, Advance] = {
        OperationKind.ROLLING_UPDATE: rolling.update,
        OperationKind.REBOOT: rolling.restart,
        OperationKind.START_BESIDE: beside.start_beside,
        OperationKind.SWITCH: switching.switch,
        OperationKind.RESTORE: returning.restore,
        OperationKind.FINALISE: returning.finalise,
        OperationKind.HOOK: checking.hook,
    }
    if operation.kind not in chosen:
        raise Rejected(
            f"{operation.target.key}: there is no {operation.kind} for a workload; "
            "its image is its patch, so give it a rolling update."
        )
    return chosen[operation.kind]
