"""What only a cluster can get wrong."""

from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Denied, Refused, Truncated, Unavailable
from qlrf_pipelines.domain.operations import Status
from qlrf_pipelines.domain.recovery import MoveKind, ReplicationStatus, Serving, Side
from resources.clouds.kubernetes.calls import KubernetesCalls
from resources.clouds.kubernetes.recovery_settings import Place
from tests.fakes.kube_apiserver import ADMIN
from tests.fakes.kubernetes_sites import KubernetesSites
from tests.fakes.recovery_sites import DRILL, a_move, finish

pytestmark = pytest.mark.real
ISOLATE, FAIL_OVER, SWITCH = MoveKind.ISOLATE, MoveKind.FAIL_OVER, MoveKind.SWITCH
FAIL_BACK, CLEAN_UP = MoveKind.FAIL_BACK, MoveKind.CLEAN_UP
DEPLOYMENT = "web-recovery-deployment"


@pytest.fixture
def sites() -> KubernetesSites:
    return KubernetesSites()


def deployments(sites: KubernetesSites, name: str = "") -> str:
    return f"apis/apps/v1/namespaces/{sites.away}/deployments/{name}".rstrip("/")


def set_image(sites: KubernetesSites, name: str, image: str) -> None:
    pod = {"containers": [{"name": "web", "image": image}]}
    sites.cluster.merge(deployments(sites, name), {"spec": {"template": {"spec": pod}}})


def calls(sites: KubernetesSites, **changes: Any) -> KubernetesCalls:
    place = Place(server=sites.cluster.url, namespace=sites.home, trust=str(sites.cluster.trust))
    token = changes.pop("token", ADMIN)
    return KubernetesCalls(replace(place, **changes), lambda: token, timeout=10)


def test_replication_compares_images_and_never_claims_a_lag(sites: KubernetesSites) -> None:
    same = sites.session().replication()
    set_image(sites, DEPLOYMENT, "web:0")
    other = sites.session().replication()
    sites.cluster.ask("DELETE", deployments(sites, DEPLOYMENT))
    gone = sites.session().replication()

    assert [found.status for found in (same, other, gone)] == [
        ReplicationStatus.IN_SYNC,
        ReplicationStatus.LAGGING,
        ReplicationStatus.FAILED,
    ]
    assert {found.lag_seconds for found in (same, other, gone)} == {None}


def test_pods_that_are_not_ready_have_not_come_back(sites: KubernetesSites) -> None:
    session = sites.session()
    for _ in range(3):
        progress = session.advance(a_move(FAIL_OVER))

    assert progress.status is Status.RUNNING
    assert session.serving()[Side.RECOVERY] is Serving.UNKNOWN


def test_a_primary_whose_pods_have_not_ended_is_not_fenced(sites: KubernetesSites) -> None:
    session = sites.session()
    for _ in range(3):
        progress = session.advance(a_move(ISOLATE))

    assert progress.status is Status.RUNNING
    assert session.serving()[Side.PRIMARY] is Serving.UNKNOWN


def test_a_test_is_fenced_before_a_single_pod_of_it_is_asked_for(sites: KubernetesSites) -> None:
    session = sites.adapter(die_at=0).open(sites.member)
    with pytest.raises(BaseException, match="create"):
        session.advance(a_move(FAIL_OVER, test=True))

    left = sites.session().leftovers(DRILL)

    assert sites.made() == 0
    assert len(left) == 1
    assert left[0].startswith("NetworkPolicy")


def test_a_fence_lets_the_pods_of_a_workload_speak_to_each_other_only(
    sites: KubernetesSites,
) -> None:
    finish(sites, a_move(FAIL_OVER, test=True))

    policies = [spec for (_, name), spec in _named(sites) if name.startswith("qlrf-")]

    assert len(policies) == 2
    for spec in policies:
        own = spec["podSelector"]
        assert own["matchLabels"]["site"] == "recovery"
        assert sorted(spec["policyTypes"]) == ["Egress", "Ingress"]
        assert spec["ingress"] == [{"from": [{"podSelector": own}]}]
        assert spec["egress"] == [{"to": [{"podSelector": own}]}]


def _named(sites: KubernetesSites) -> Iterator[tuple[tuple[str, str], Any]]:
    return ((key, value) for key, value in sites.world().items() if isinstance(key, tuple))


def test_a_test_whose_pods_would_get_clients_is_refused(sites: KubernetesSites) -> None:
    service = f"api/v1/namespaces/{sites.home}/services/web"
    sites.cluster.merge(service, {"spec": {"selector": {"app": "web", "site": None}}})

    progress = finish(sites, a_move(FAIL_OVER, test=True))

    assert progress.status is Status.FAILED
    assert "label that tells them apart" in progress.detail
    assert sites.made() == 0


def test_what_was_at_zero_before_the_drill_is_left_there_by_it(sites: KubernetesSites) -> None:
    sites.cluster.merge(deployments(sites, "web-primary-deployment"), {"spec": {"replicas": 0}})
    sites.settle()
    before = sites.world()

    assert finish(sites, a_move(ISOLATE)).status is Status.SUCCEEDED
    assert finish(sites, a_move(FAIL_BACK)).status is Status.SUCCEEDED

    assert sites.world() == before


def test_a_recovery_side_that_ran_before_runs_as_before_afterwards(sites: KubernetesSites) -> None:
    sites.cluster.merge(deployments(sites, DEPLOYMENT), {"spec": {"replicas": 1}})
    sites.settle()
    before = sites.world()

    for kind in (ISOLATE, FAIL_OVER, SWITCH, FAIL_BACK, CLEAN_UP):
        assert finish(sites, a_move(kind)).status is Status.SUCCEEDED

    assert sites.world() == before


def test_a_workload_that_is_not_there_fails_the_move_by_name(sites: KubernetesSites) -> None:
    sites.cluster.ask("DELETE", deployments(sites, DEPLOYMENT))

    progress = finish(sites, a_move(FAIL_OVER))

    assert progress.status is Status.FAILED
    assert DEPLOYMENT in progress.detail


def test_a_service_that_is_not_there_fails_the_switch_by_name(sites: KubernetesSites) -> None:
    sites.cluster.ask("DELETE", f"api/v1/namespaces/{sites.home}/services/web")

    progress = finish(sites, a_move(SWITCH))

    assert progress.status is Status.FAILED
    assert "Service web" in progress.detail


def test_other_keys_of_a_selector_come_back_after_the_drill(sites: KubernetesSites) -> None:
    service = f"api/v1/namespaces/{sites.home}/services/web"
    sites.cluster.merge(service, {"spec": {"selector": {"tier": "front"}}})
    before = sites.service()["spec"]["selector"]
    for kind in (ISOLATE, FAIL_OVER, SWITCH):
        finish(sites, a_move(kind))

    during = sites.service()["spec"]["selector"]
    finish(sites, a_move(FAIL_BACK))

    assert during == {"app": "web", "site": "recovery"}
    assert sites.service()["spec"]["selector"] == before


def test_a_token_without_rights_is_denied_and_sees_nothing_as_nothing(
    sites: KubernetesSites,
) -> None:
    settings = sites.settings()
    for side in ("primary", "recovery"):
        settings[side] = {**settings[side], "credentials": {"token": "env:READER"}}
    session = sites.adapter().open(replace(sites.member, settings=settings))

    with pytest.raises(Denied):
        session.advance(a_move(FAIL_OVER))
    with pytest.raises(Denied):
        session.leftovers(DRILL)
    assert set(session.serving().values()) == {Serving.UNKNOWN}


def test_an_object_that_was_changed_since_it_was_read_is_read_again(
    sites: KubernetesSites,
) -> None:
    at = calls(sites)
    path = f"deployments/{DEPLOYMENT}"
    found = at.read(path)
    assert found is not None
    version = found["metadata"]["resourceVersion"]
    sites.cluster.merge(deployments(sites, DEPLOYMENT), {"spec": {"replicas": 7}})

    with pytest.raises(Unavailable, match="409"):
        at.patch(path, {"metadata": {"resourceVersion": version}, "spec": {"replicas": 1}})

    assert sites.cluster.ask("GET", deployments(sites, DEPLOYMENT))["spec"]["replicas"] == 7


def test_what_the_server_does_not_take_is_refused(sites: KubernetesSites) -> None:
    with pytest.raises(Refused, match="422"):
        calls(sites).patch(f"deployments/{DEPLOYMENT}", {"spec": {"replicas": -1}})
    with pytest.raises(Refused):
        calls(sites).patch("deployments/nobody", {"spec": {"replicas": 1}})


def test_a_list_is_read_to_its_last_page(sites: KubernetesSites) -> None:
    path = f"apis/networking.k8s.io/v1/namespaces/{sites.home}/networkpolicies"
    for number in range(203):
        item = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": f"p-{number}", "labels": {"many": "yes"}},
            "spec": {"podSelector": {}},
        }
        sites.cluster.ask("POST", path, item)

    assert len(calls(sites).labelled("networkpolicies", "many=yes")) == 203
    assert calls(sites).labelled("networkpolicies", "many=no") == []


def test_a_certificate_nobody_vouches_for_is_not_believed(sites: KubernetesSites) -> None:
    with pytest.raises(Unavailable, match=r"(?i)certificate"):
        calls(sites, trust=None).read(f"deployments/{DEPLOYMENT}")


class Portal(BaseHTTPRequestHandler):
    """Somebody else's page."""

    status = 200

    def do_GET(self) -> None:
        self.send_response(self.status)
        self.end_headers()
        self.wfile.write(b"<html>Please log in</html>")

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.mark.parametrize("status", [200, 302, 404, 503])
def test_somebody_elses_page_is_no_absent_object(sites: KubernetesSites, status: int) -> None:
    handler = type("Handler", (Portal,), {"status": status})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    at = calls(sites, server=f"http://127.0.0.1:{server.server_port}", trust=None)

    with pytest.raises(Truncated):
        at.read(f"deployments/{DEPLOYMENT}")
    with pytest.raises(Truncated):
        at.labelled("networkpolicies", "a=b")

    server.shutdown()
    server.server_close()


def test_the_way_back_of_a_service_in_another_namespace_is_kept_with_it() -> None:
    sites = KubernetesSites(apart=True)
    before = sites.service()["spec"]["externalName"]
    for kind in (ISOLATE, FAIL_OVER, SWITCH):
        assert finish(sites, a_move(kind)).status is Status.SUCCEEDED

    annotations = sites.service()["metadata"]["annotations"]

    assert annotations["qlrf.io/drill"] == DRILL
    assert before in annotations["qlrf.io/before"]
