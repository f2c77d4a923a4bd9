"""Kubernetes as a cloud: one cluster per connector, its namespaces, and the workloads in them."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.estate import Connector
from qlrf_pipelines.domain.inventory import Kind, Page, Scope
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.clouds import Cloud, CloudSession, LostAccount
from resources.clouds.patience import Patience
from resources.secrets import Secrets

if TYPE_CHECKING:
    from resources.clouds.kubernetes.cluster import ClusterCalls

ATTEMPTS = 4
# What a cluster runs for itself. A connector that names one of them does list it.
OWN_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease")


class KubernetesCloud(Cloud):
    """Any cluster over its own API; nothing is loaded before one is asked for."""

    platform = Platform.KUBERNETES

    def __init__(self, *, secrets: Secrets, patience: Patience) -> None:
        self._secrets = secrets
        self._patience = patience

    def sessions(self, connector: Connector) -> Sequence[CloudSession | LostAccount]:
        """The connector's one cluster; see the port."""
        from resources.clouds.kubernetes.connection import cluster_calls, cluster_of

        cluster = cluster_of(connector)
        calls = cluster_calls(connector, self._secrets, self._patience)
        try:
            return [KubernetesSession(calls, connector, account=cluster.name, identity=calls.who())]
        except Unavailable as error:
            return [LostAccount(account=cluster.name, error=error)]


class KubernetesSession(CloudSession):
    """One cluster as one token sees it."""

    # Clusters have no volumes, groups and patch managers of the kind that machines have.
    kinds = (Kind.INSTANCE, Kind.IMAGE)

    def __init__(
        self, calls: "ClusterCalls", connector: Connector, *, account: str, identity: str
    ) -> None:
        self.account = account
        self.identity = identity
        self._calls = calls
        self._connector = connector

    def regions(self, *, known: Sequence[str] = ()) -> Sequence[str]:
        """The connector's namespaces, or all but the cluster's own; see the port.

        A namespace that is known and gone is listed: the API answers that there is none.
        """
        if self._connector.regions:
            return self._connector.regions
        from resources.clouds.kubernetes.listings import namespaces

        there = set(namespaces(self._calls))
        return sorted((there - set(OWN_NAMESPACES)) | (set(known) - there))

    def list_scope(self, scope: Scope, *, ids: Sequence[str] = ()) -> Iterator[Page]:
        """Every page of one scope; see the port."""
        from resources.clouds.kubernetes.listings import images, workloads

        if scope.kind is Kind.IMAGE:
            return iter([images(ids)])
        return workloads(self._calls, scope.region)
