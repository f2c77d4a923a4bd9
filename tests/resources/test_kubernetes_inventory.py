"""What a real API server says of workloads becomes what inventory keeps of them, and no more."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from qlrf_pipelines.domain.errors import Denied
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.inventory import Kind, Scope
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.clouds import CloudSession, LostAccount
from resources.clouds.kubernetes.connection import cluster_calls, namespace_calls
from resources.clouds.patience import Patience
from resources.secrets import Secrets
from tests.fakes.kube_cluster import ENV, NAME, KubeCluster, kubernetes_cloud

pytestmark = pytest.mark.real
GUIDE = Path(__file__).parents[2] / "docs" / "guide" / "inventory.md"
DIGEST = f"sha256:{'a' * 64}"
RBAC = "apis/rbac.authorization.k8s.io/v1"


@pytest.fixture
def cluster() -> KubeCluster:
    return KubeCluster()


def session_into(cluster: KubeCluster, *namespaces: str, **parts: Any) -> CloudSession:
    (session,) = kubernetes_cloud().sessions(cluster.connector(*namespaces, **parts))
    assert isinstance(session, CloudSession), getattr(session, "error", None)
    return session


def listed(session: CloudSession, namespace: str) -> dict[str, dict[str, Any]]:
    scope = Scope(
        tenant=TenantId("acme"),
        connector="kubernetes-prod",
        platform=Platform.KUBERNETES,
        account=NAME,
        region=namespace,
        kind=Kind.INSTANCE,
    )
    pages = list(session.list_scope(scope))
    return {row["asset_id"]: row for page in pages for row in page.rows.to_pylist()}


def the_row(cluster: KubeCluster) -> dict[str, Any]:
    (row,) = listed(session_into(cluster), cluster.home).values()
    return row


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_each_kind_of_workload_is_one_asset_under_the_id_executors_take(
    cluster: KubeCluster, kind: str
) -> None:
    asset_id = cluster.workload(kind=kind)

    row = the_row(cluster)

    assert row["asset_id"] == asset_id == f"{kind.lower()}/web"
    assert row["image_ref"] == "registry:5000/shop/web:1.6.4"
    assert (row["instance_type"], row["state"]) == (kind.lower(), "running")


def test_pods_without_a_workload_are_no_assets(cluster: KubeCluster) -> None:
    pod = {"containers": [{"name": "web", "image": "web:1"}]}
    path = f"api/v1/namespaces/{cluster.home}/pods"
    cluster.make(path, "v1", "Pod", "alone", spec=pod)

    assert listed(session_into(cluster), cluster.home) == {}


def test_the_namespaces_are_all_but_the_clusters_own(cluster: KubeCluster) -> None:
    other = cluster.namespace("other")

    regions = set(session_into(cluster).regions())

    assert {cluster.home, other, "default"} <= regions
    assert not regions & {"kube-system", "kube-public", "kube-node-lease"}


def test_a_connector_may_name_its_namespaces_the_clusters_own_too(cluster: KubeCluster) -> None:
    session = session_into(cluster, "kube-system", cluster.home)

    assert list(session.regions(known=["gone"])) == ["kube-system", cluster.home]


def test_a_namespace_that_is_gone_is_listed_again_and_proves_to_be_empty(
    cluster: KubeCluster,
) -> None:
    preview = cluster.namespace("preview")
    cluster.workload(namespace=preview)
    session = session_into(cluster)
    cluster.remove_namespace(preview)

    regions = session.regions(known=[preview, "kube-system"])

    assert preview in regions
    assert "kube-system" not in regions
    assert listed(session, preview) == {}


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_only_a_controller_that_looked_says_what_a_workload_does(
    cluster: KubeCluster, kind: str
) -> None:
    cluster.workload(kind=kind, ready=None)
    states = [the_row(cluster)["state"]]
    for ready in (0, 1, 2):
        cluster.settle("web", ready, kind=kind)
        states.append(the_row(cluster)["state"])

    assert states == [None, "pending", "running", "running"]


def test_a_workload_scaled_to_nothing_is_stopped_once_its_last_pod_is_gone(
    cluster: KubeCluster,
) -> None:
    cluster.workload()
    cluster.change("web", {"spec": {"replicas": 0}})
    leaving = the_row(cluster)["state"]
    cluster.settle("web", 0)

    assert (leaving, the_row(cluster)["state"]) == ("running", "stopped")


def test_a_workload_on_its_way_out_is_listed_until_it_is_gone(cluster: KubeCluster) -> None:
    cluster.workload()
    cluster.change("web", {"metadata": {"finalizers": ["example.com/held"]}})
    cluster.remove("web")
    leaving = the_row(cluster)
    cluster.change("web", {"metadata": {"finalizers": None}})

    assert leaving["state"] == "running"
    assert listed(session_into(cluster), cluster.home) == {}


SIDECAR = {"name": "proxy", "image": "envoy:1.31"}
WEB = {"name": "web", "image": f"registry:5000/shop/web:1.6.4@{DIGEST}"}
CHOSEN = {"kubectl.kubernetes.io/default-container": "web"}


@pytest.mark.parametrize(
    ("containers", "annotations", "judged"),
    [
        ([WEB, SIDECAR], {}, "web"),
        ([SIDECAR, WEB], {}, "proxy"),
        ([SIDECAR, WEB], CHOSEN, "web"),
        ([SIDECAR, WEB], {"kubectl.kubernetes.io/default-container": "none"}, "proxy"),
    ],
)
def test_the_container_kubectl_would_choose_is_judged_and_the_others_are_told(
    cluster: KubeCluster,
    containers: list[dict[str, str]],
    annotations: dict[str, str],
    judged: str,
) -> None:
    init = [{"name": "migrate", "image": "migrate:7"}]
    cluster.workload(containers=containers, annotations=annotations, initContainers=init)

    row = the_row(cluster)

    images = {c["name"]: c["image"] for c in (*containers, *init)}
    assert row["image_ref"] == images.pop(judged)
    tags = dict(row["tags"])
    assert tags["kubernetes:container"] == judged
    assert {name: tags[f"kubernetes:image/{name}"] for name in images} == images


def test_labels_of_the_workload_and_else_of_its_namespace_are_its_tags(
    cluster: KubeCluster,
) -> None:
    shop = cluster.namespace("shop", environment="staging", team="shop")
    labels = {"team": "web", "qlrf/criticality": "low", "app.kubernetes.io/name": "web"}
    cluster.workload(namespace=shop, labels=labels)

    (row,) = listed(session_into(cluster), shop).values()

    assert dict(row["tags"]) == {
        "environment": "staging",
        "team": "web",
        "qlrf:criticality": "low",
        "app.kubernetes.io/name": "web",
        "kubernetes:container": "web",
    }


def test_a_workload_that_another_one_controls_says_so(cluster: KubeCluster) -> None:
    owner = {"apiVersion": "shop/v1", "kind": "Shop", "name": "eu", "uid": "1", "controller": True}
    cluster.workload()
    cluster.change("web", {"metadata": {"ownerReferences": [owner]}})

    assert dict(the_row(cluster)["tags"])["kubernetes:owner"] == "Shop/eu"


def test_what_a_cluster_does_not_say_of_a_workload_is_unknown(cluster: KubeCluster) -> None:
    cluster.workload()

    row = the_row(cluster)

    names = ("launched_at", "volume_ids", "group_ids", "imds_v2", "public_ip", "monitoring")
    assert [row[name] for name in names] == [None] * 6


def test_a_list_of_many_pages_is_read_whole(cluster: KubeCluster) -> None:
    made = {cluster.workload(f"web-{n}", ready=None) for n in range(7)}
    calls = cluster_calls(cluster.connector(), Secrets(ENV), Patience(max_attempts=1))

    path = f"apis/apps/v1/namespaces/{cluster.home}/deployments"
    pages = list(calls.pages(path, "DeploymentList", size=3))

    assert [(len(items), last) for items, last in pages] == [(3, False), (3, False), (1, True)]
    names = {item["metadata"]["name"] for items, _ in pages for item in items}
    assert {f"deployment/{name}" for name in names} == made


def test_a_reference_says_where_its_image_is_and_claims_no_family(cluster: KubeCluster) -> None:
    session = session_into(cluster)
    scope = Scope(
        tenant=TenantId("acme"),
        connector="kubernetes-prod",
        platform=Platform.KUBERNETES,
        account=NAME,
        region=cluster.home,
        kind=Kind.IMAGE,
    )

    (page,) = session.list_scope(
        scope, ids=[WEB["image"], f"registry:5000/web@{DIGEST}", "no reference"]
    )

    assert page.last
    rows = page.rows.to_pylist()
    assert [(r["image_name"], r["image_family"], r["image_version"]) for r in rows] == [
        ("registry:5000/shop/web", None, "1.6.4"),
        ("registry:5000/web", None, None),
    ]


def test_a_token_of_nobody_is_a_lost_cluster(cluster: KubeCluster) -> None:
    connector = cluster.connector(credentials={"token": "env:NOBODY"})

    (lost,) = kubernetes_cloud({"NOBODY": "made-up"}).sessions(connector)

    assert isinstance(lost, LostAccount)
    assert isinstance(lost.error, Denied)
    assert lost.account == NAME


def test_a_namespace_of_a_connector_is_reached_to_read_and_to_change(cluster: KubeCluster) -> None:
    cluster.workload()
    calls = namespace_calls(cluster.connector(), Secrets(ENV), cluster.home)

    calls.patch("deployments/web", {"metadata": {"labels": {"seen": "yes"}}})

    found = calls.read("deployments/web")
    assert found is not None
    assert found["metadata"]["labels"]["seen"] == "yes"
    assert calls.read("deployments/nothing") is None


def granted(rights: str) -> dict[str, Any]:
    """The rights that the guide tells users to grant, by their kind."""
    text = GUIDE.read_text(encoding="utf-8")
    blocks = [block.partition("```")[0] for block in text.split("```yaml\n")[1:]]
    documents = [d for block in blocks for d in yaml.safe_load_all(block) if d]
    (found,) = [d for d in documents if d.get("kind") == rights]
    return dict(found)


@pytest.fixture
def reader(cluster: KubeCluster, request: pytest.FixtureRequest) -> Iterator[None]:
    """A user with the rights of the guide, granted for all or for one namespace, and no others."""
    role = granted(request.param)
    where = RBAC
    if request.param == "Role":
        where = f"{RBAC}/namespaces/{cluster.home}"
        role["metadata"] = {"name": "qlrf-inventory"}
    plural = f"{request.param.lower()}s"
    bindings = plural.replace("roles", "rolebindings")
    binding = {
        "apiVersion": role["apiVersion"],
        "kind": f"{request.param}Binding",
        "metadata": {"name": "qlrf-inventory"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": request.param,
            "name": "qlrf-inventory",
        },
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "reader"}],
    }
    assert cluster.server.ask("POST", f"{where}/{plural}", role)["kind"] == request.param
    assert "code" not in cluster.server.ask("POST", f"{where}/{bindings}", binding)
    yield
    cluster.server.ask("DELETE", f"{where}/{bindings}/qlrf-inventory")
    cluster.server.ask("DELETE", f"{where}/{plural}/qlrf-inventory")


def once_granted(ask: Any) -> Any:
    """What is answered once the server has noticed the grant, a moment after it was made."""
    for attempt in itertools.count():
        try:
            return ask()
        except Denied:
            assert attempt < 2000, "the grant never came into force"
    raise AssertionError


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("reader", ["ClusterRole"], indirect=True)
def test_the_rights_in_the_guide_are_enough_for_a_whole_cluster(cluster: KubeCluster) -> None:
    made = cluster.workload()
    session = session_into(cluster, credentials={"token": "env:READER"})

    assert session.identity == "reader"
    assert cluster.home in once_granted(session.regions)
    assert set(listed(session, cluster.home)) == {made}


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize("reader", ["Role"], indirect=True)
def test_the_rights_in_the_guide_are_enough_for_a_namespace_and_for_no_other(
    cluster: KubeCluster,
) -> None:
    made, other = cluster.workload(), cluster.namespace("other")
    session = session_into(cluster, cluster.home, other, credentials={"token": "env:READER"})

    assert set(once_granted(lambda: listed(session, cluster.home))) == {made}
    with pytest.raises(Denied, match="correct the token or grant it"):
        listed(session, other)
    with pytest.raises(Denied):
        session_into(cluster, credentials={"token": "env:READER"}).regions()
