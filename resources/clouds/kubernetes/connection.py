"""A connector's way into one cluster: its address, whom to believe, and a token read at each use.

A cluster is what a connector of platform kubernetes names: `cluster` is the account its workloads
belong to, `endpointUrl` its API server, `caFile` the certificates to believe instead of the
system's, and `credentials: {token}` a reference. Nothing else is read: no kubeconfig, and no
program of one. The API server's certificate is always verified.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import Connector
from resources.clouds.kubernetes.calls import KubernetesCalls
from resources.clouds.kubernetes.cluster import ClusterCalls
from resources.clouds.kubernetes.recovery_settings import Place
from resources.clouds.patience import Patience
from resources.secrets import Secrets

TIMEOUT = 30.0
_TOKEN = "token"  # noqa: S105  the name of a reference, not one


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where a cluster's API server is; `trust` is a file of certificates to believe."""

    name: str
    server: str
    trust: str | None = None

    def place(self, namespace: str) -> Place:
        """One namespace of it."""
        return Place(server=self.server, namespace=namespace, trust=self.trust)


def cluster_of(connector: Connector) -> Cluster:
    """The cluster a connector leads to.

    Raises:
        Rejected: it names none, without TLS, or certificates that cannot be read.
    """
    whose = f"Connector {connector.name} of tenant {connector.tenant}"
    if not connector.cluster:
        raise Rejected(f"{whose} names no cluster; add cluster, the name its workloads go by.")
    server = (connector.endpoint_url or "").rstrip("/")
    if not server.startswith("https://"):
        raise Rejected(
            f"{whose}: the API server of {connector.cluster} must be reached by TLS; "
            "set endpointUrl to https://host:port."
        )
    if connector.ca_file is not None and not _readable(connector.ca_file):
        raise Rejected(f"{whose}: caFile {connector.ca_file} cannot be read; correct it.")
    return Cluster(name=connector.cluster, server=server, trust=connector.ca_file)


def token_of(connector: Connector, secrets: Secrets) -> Callable[[], str]:
    """A connector's token, looked up at each use: those in files are renewed within the hour.

    Raises:
        Rejected: the reference leads nowhere, or there is none.
    """
    owner = f"Connector {connector.name} of tenant {connector.tenant}"
    references = {_TOKEN: connector.credentials.get(_TOKEN, "")}

    def token() -> str:
        found = secrets.resolved(references, owner=owner)[_TOKEN]
        # A header cannot carry anything else, and whoever refuses it would show the token.
        if not (found.isascii() and found.isprintable() and " " not in found):
            raise Rejected(f"{owner}: the token holds what no token does; correct it at its place.")
        return found

    token()
    return token


def namespace_calls(
    connector: Connector, secrets: Secrets, namespace: str, *, timeout: float = TIMEOUT
) -> KubernetesCalls:
    """One namespace of a connector's cluster, to read and to change.

    Raises:
        Rejected: the connector names no cluster, or its token cannot be found.
    """
    place = cluster_of(connector).place(namespace)
    return KubernetesCalls(place, token_of(connector, secrets), timeout=timeout)


def cluster_calls(
    connector: Connector,
    secrets: Secrets,
    patience: Patience,
) -> ClusterCalls:
    """A connector's whole cluster, to look at.

    Raises:
        Rejected: the connector names no cluster, or its token cannot be found.
    """
    cluster = cluster_of(connector)
    return ClusterCalls(
        cluster.server,
        token_of(connector, secrets),
        trust=cluster.trust,
        patience=patience,
    )


def _readable(path: str) -> bool:
    try:
        return bool(Path(path).read_bytes())
    except OSError:
        return False
