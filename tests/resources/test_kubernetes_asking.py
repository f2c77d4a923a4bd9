"""A command asked of a pod, through a real API server to a kubelet that does as the test says."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from qlrf_pipelines.domain.operations import Health, HealthReport
from qlrf_pipelines.domain.recovery import MoveKind, Side
from resources.clouds.kubernetes.asking import container_of, is_ready, selector_of
from tests.fakes.kubelet import (
    BREAKS_OFF,
    HANGS,
    NOT_FOUND,
    Asked,
    Ends,
    FakeKubelet,
    exits,
    fake_kubelet,
)
from tests.fakes.kubernetes_sites import KubernetesSites
from tests.fakes.recovery_sites import DRILL, OTHER, a_move, finish

WORDS = ("check", "--deep", "a b & c", "ü")
CHECK: dict[str, Any] = {"type": "command", "command": list(WORDS), "expect": None}


@pytest.fixture
def kubelet() -> FakeKubelet:
    made = fake_kubelet()
    made.clear()
    return made


@pytest.fixture
def sites(kubelet: FakeKubelet) -> KubernetesSites:
    found = KubernetesSites()
    finish(found, a_move(MoveKind.FAIL_OVER))
    finish(found, a_move(MoveKind.SWITCH))
    return found


def ask(
    sites: KubernetesSites, *, seconds: float = 20, drill: str = DRILL, **parts: Any
) -> HealthReport:
    session = sites.session()
    return session.ask(Side.RECOVERY, CHECK | parts, drill=drill, timeout_seconds=seconds)


@pytest.mark.real
def test_one_ready_pod_of_the_first_workload_is_asked_in_the_container_kubectl_would_choose(
    sites: KubernetesSites, kubelet: FakeKubelet
) -> None:
    sites.pod("a-not-ready", ready=False)
    sites.pod("b-ready")
    sites.pod("c-ready")
    sites.pod("a-of-another-workload", "StatefulSet")
    sites.pod("a-of-the-primary", side="primary")

    answer = ask(sites)

    assert answer.health is Health.HEALTHY, answer.why
    assert kubelet.asked == [Asked(sites.away, "b-ready", "web", WORDS)]


@pytest.mark.real
def test_the_primary_side_can_be_asked_as_well(
    sites: KubernetesSites, kubelet: FakeKubelet
) -> None:
    sites.pod("of-the-primary", side="primary")

    answer = sites.session().ask(Side.PRIMARY, CHECK, drill=DRILL, timeout_seconds=20)

    assert answer.health is Health.HEALTHY, answer.why
    assert [one.pod for one in kubelet.asked] == ["of-the-primary"]


@pytest.mark.real
@pytest.mark.parametrize(
    ("ends", "expect", "health", "why"),
    [
        (exits(0, "rea", "dy\n"), "ready", Health.HEALTHY, "'ready'"),
        (exits(0, "ready"), "read", Health.UNHEALTHY, "'ready', not 'read'"),
        (exits(0, "ready", err="a warning"), "ready", Health.HEALTHY, "'ready'"),
        (exits(3, "x", err="disk is full"), None, Health.UNHEALTHY, "ended with 3: disk is full"),
        (exits(137), None, Health.UNHEALTHY, "ended with 137"),
        (NOT_FOUND, None, Health.UNKNOWN, "executable file not found"),
        (BREAKS_OFF, None, Health.UNKNOWN, "broke off"),
        (Ends(status={"status": "Failure", "reason": "NonZeroExitCode"}), None, Health.UNKNOWN,
         "cannot be read"),
    ],
)  # fmt: skip
def test_what_the_end_of_a_command_proves(
    sites: KubernetesSites,
    kubelet: FakeKubelet,
    ends: Ends,
    expect: str | None,
    health: Health,
    why: str,
) -> None:
    sites.pod("ready")
    kubelet.ends[WORDS] = ends

    answer = ask(sites, expect=expect)

    assert answer.health is health, answer.why
    assert why in answer.why


@pytest.mark.real
def test_no_answer_in_time_is_a_bad_one(sites: KubernetesSites, kubelet: FakeKubelet) -> None:
    sites.pod("ready")
    kubelet.ends[WORDS] = HANGS

    answer = ask(sites, seconds=1)

    assert answer.health is Health.UNHEALTHY, answer.why
    assert "no answer within 1 s" in answer.why


@pytest.mark.real
def test_however_many_ask_at_once_every_one_is_answered(
    sites: KubernetesSites, kubelet: FakeKubelet
) -> None:
    # A client that reads and writes one connection in two threads loses one of 300 for good.
    sites.pod("ready")
    session = sites.session()

    def once(_: int) -> HealthReport:
        return session.ask(Side.RECOVERY, CHECK, drill=DRILL, timeout_seconds=20)

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(once, range(200)))

    assert {(one.health, one.why) for one in answers} == {(Health.HEALTHY, answers[0].why)}
    assert len(kubelet.asked) == 200


@pytest.mark.real
def test_no_ready_pod_is_a_bad_answer_and_nobody_is_asked(
    sites: KubernetesSites, kubelet: FakeKubelet
) -> None:
    sites.pod("starting", ready=False)

    answer = ask(sites)

    assert answer.health is Health.UNHEALTHY
    assert "none of its 1 pods is ready" in answer.why
    assert kubelet.asked == []


@pytest.mark.real
def test_before_the_service_leads_there_no_answer_is_a_good_one(kubelet: FakeKubelet) -> None:
    sites = KubernetesSites()
    sites.pod("warm")
    warm = ask(sites)
    finish(sites, a_move(MoveKind.FAIL_OVER))
    early = ask(sites)
    finish(sites, a_move(MoveKind.SWITCH))

    assert [warm.health, early.health, ask(sites).health] == [
        Health.UNHEALTHY,
        Health.UNHEALTHY,
        Health.HEALTHY,
    ]
    assert ask(sites, drill=OTHER).health is Health.UNHEALTHY


@pytest.mark.real
def test_the_pods_of_a_test_are_asked_behind_their_fence(kubelet: FakeKubelet) -> None:
    sites = KubernetesSites()
    finish(sites, a_move(MoveKind.FAIL_OVER, test=True))
    sites.pod("fenced")

    assert ask(sites).health is Health.HEALTHY


@pytest.mark.real
def test_without_the_right_to_exec_nothing_is_proven_and_the_right_is_named(
    sites: KubernetesSites, kubelet: FakeKubelet
) -> None:
    sites.pod("ready")
    grant(sites, rules=[
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["services"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
    ])  # fmt: skip
    as_reader(sites)

    answer = ask(sites)

    assert answer.health is Health.UNKNOWN
    assert "pods/exec" in answer.why
    assert kubelet.asked == []


@pytest.mark.real
def test_the_rights_of_the_guide_are_enough(sites: KubernetesSites, kubelet: FakeKubelet) -> None:
    sites.pod("ready")
    grant(sites, rules=[
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["services"], "verbs": ["get"]},
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["list"]},
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["get", "create"]},
    ])  # fmt: skip
    as_reader(sites)

    answer = ask(sites)

    assert answer.health is Health.HEALTHY, answer.why


@pytest.mark.real
def test_a_platform_that_does_not_answer_proves_nothing(sites: KubernetesSites) -> None:
    answer = sites.unreachable().ask(Side.RECOVERY, CHECK, drill=DRILL, timeout_seconds=1)

    assert answer.health is Health.UNKNOWN


def grant(sites: KubernetesSites, rules: list[dict[str, Any]]) -> None:
    path, version = (
        f"apis/rbac.authorization.k8s.io/v1/namespaces/{sites.away}",
        "rbac.authorization.k8s.io/v1",
    )
    sites.make(f"{path}/roles", version, "Role", "prober", {"rules": rules})
    group = "rbac.authorization.k8s.io"
    bound = {
        "roleRef": {"apiGroup": group, "kind": "Role", "name": "prober"},
        "subjects": [{"apiGroup": group, "kind": "User", "name": "reader"}],
    }
    sites.make(f"{path}/rolebindings", version, "RoleBinding", "prober", bound)


def as_reader(sites: KubernetesSites) -> None:
    settings = sites.settings()
    for side in ("primary", "recovery"):
        settings[side] = {**settings[side], "credentials": {"token": "env:READER"}}
    sites.member = replace(sites.member, settings=settings)


def test_every_way_to_select_is_a_listings_way() -> None:
    rules = [
        {"key": "tier", "operator": "In", "values": ["a", "b"]},
        {"key": "old", "operator": "NotIn", "values": ["yes"]},
        {"key": "app", "operator": "Exists"},
        {"key": "gone", "operator": "DoesNotExist"},
    ]

    assert (
        selector_of({"matchLabels": {"x": "y"}, "matchExpressions": rules})
        == "x=y,tier in (a,b),old notin (yes),app,!gone"
    )


def test_a_pod_on_its_way_out_is_not_ready() -> None:
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}

    assert is_ready({"metadata": {}, "status": ready})
    assert not is_ready({"metadata": {"deletionTimestamp": "now"}, "status": ready})
    assert not is_ready({"metadata": {}})


def test_without_an_annotation_the_first_container_is_asked() -> None:
    pod = {"metadata": {}, "spec": {"containers": [{"name": "first"}, {"name": "second"}]}}

    assert container_of(pod) == "first"
