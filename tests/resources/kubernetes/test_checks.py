"""What a workload says of itself, where it is reached, and scripts in its pods."""

from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Denied, Rejected, Truncated
from qlrf_pipelines.domain.operations import Health, Operation, OperationKind, Status, Target
from resources.clouds.kubernetes.pod_exec import NotBegun, Ran
from tests.fakes.kubernetes_change import Change
from tests.fakes.kubernetes_fleet import BAD, Fleet, carry_out, operation
from tests.fakes.kubernetes_watched import Death

pytestmark = pytest.mark.real
STATUS = {"type": "cloud-status"}


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def ended(code: int, err: str = "") -> Ran:
    return Ran(code=code, out="", err=err)


@pytest.mark.parametrize("kind", ["Deployment", "StatefulSet", "DaemonSet"])
def test_a_workload_is_healthy_if_every_pod_it_wants_is_available(fleet: Fleet, kind: str) -> None:
    target = fleet.deploy(kind=kind)
    before = fleet.operator().check(target, STATUS)
    fleet.set_image(target, BAD)
    fleet.until(lambda: "ImagePullBackOff" in fleet.operator().check(target, STATUS).why)

    after = fleet.operator().check(target, STATUS)

    assert before.health is Health.HEALTHY
    assert after.health is Health.UNHEALTHY


def test_pods_that_crash_say_so(fleet: Fleet) -> None:
    target = fleet.deploy()

    fleet.set_image(target, "shop.example/web:crashing")

    fleet.until(lambda: "CrashLoopBackOff" in fleet.operator().check(target, STATUS).why)


@pytest.mark.parametrize(
    "check", [{"type": "ssm-ping"}, {"type": "exec"}, {"type": "cloud-status"}], ids=str
)
def test_what_nobody_can_say_is_unknown(fleet: Fleet, check: dict[str, Any]) -> None:
    target = fleet.deploy(replicas=0)

    assert fleet.operator().check(target, check).health is Health.UNKNOWN
    gone = fleet.target("nothing")
    assert fleet.operator().check(gone, check).health is Health.UNKNOWN


def test_a_check_runs_in_a_ready_pod(fleet: Fleet) -> None:
    target = fleet.deploy()
    fleet.watch.scripts = {"good": ended(0), "bad": ended(3, "no disk\nmore"), "slow": None}

    found = {
        script: fleet.operator().check(target, {"type": "exec", "target": script})
        for script in fleet.watch.scripts
    }

    assert [found[one].health for one in ("good", "bad", "slow")] == [
        Health.HEALTHY,
        Health.UNHEALTHY,
        Health.UNKNOWN,
    ]
    assert "ended with 3: no disk." in found["bad"].why
    assert {pod for pod, _ in fleet.watch.ran} <= {
        pod["metadata"]["name"] for pod in fleet.pods(app="web")
    }


def test_an_address_is_that_of_a_service_leading_there_or_else_of_a_pod(fleet: Fleet) -> None:
    target = fleet.deploy()
    pods = {pod["status"]["podIP"] for pod in fleet.pods()}
    alone = fleet.operator().address(target)
    fleet.service("inside", app="web")
    path = fleet.path("services", name="inside")
    address = fleet.ask("GET", path)["spec"]["clusterIP"]
    change = Change(fleet, target)
    change.done(change.start())
    pods_of_new = {
        p["status"]["podIP"] for p in fleet.pods() if change.is_new(p["metadata"]["name"])
    }

    previewed = [fleet.operator().address(one) for one in (target, change.side)]
    change.done(change.switch())
    switched = [fleet.operator().address(one) for one in (target, change.side)]

    assert alone in pods
    assert previewed[0] == switched[1] == address
    assert previewed[1] in pods_of_new
    assert switched[0] in pods


def test_a_workload_with_no_ready_pod_has_no_address(fleet: Fleet) -> None:
    assert fleet.operator().address(fleet.deploy(replicas=0)) is None


def hook(target: Target, script: str = "notify", **parameters: str) -> Operation:
    given = {"type": "script", "target": script, "timeout_seconds": "60"} | parameters
    return operation(OperationKind.HOOK, target, parameters=given)


@pytest.mark.parametrize(("code", "status"), [(0, Status.SUCCEEDED), (4, Status.FAILED)])
def test_a_script_runs_once_in_a_ready_pod(fleet: Fleet, code: int, status: Status) -> None:
    target = fleet.deploy()
    fleet.watch.scripts["notify"] = ended(code)

    progress = [carry_out(fleet, hook(target)) for _ in range(2)]

    assert {one.status for one in progress} == {status}
    assert f"ended with {code}" in progress[0].detail
    assert len(fleet.watch.ran) == 1


@pytest.mark.parametrize("ends", [None, Truncated("it broke off")], ids=["hangs", "breaks off"])
def test_a_script_nobody_heard_the_end_of_is_unknown_and_not_run_again(
    fleet: Fleet, ends: Truncated | None
) -> None:
    target = fleet.deploy()
    fleet.watch.scripts["notify"] = ends

    progress = [carry_out(fleet, hook(target)) for _ in range(2)]

    assert {one.status for one in progress} == {Status.UNKNOWN}
    assert len(fleet.watch.ran) == 1


def test_a_script_that_was_turned_away_before_it_began_is_asked_for_again(fleet: Fleet) -> None:
    target = fleet.deploy()
    fleet.watch.scripts["notify"] = NotBegun("too many requests")

    with pytest.raises(NotBegun) as raised:
        fleet.operator().advance(hook(target))
    kept = fleet.get(target)["metadata"]["annotations"]
    fleet.watch.scripts["notify"] = ended(0)
    progress = carry_out(fleet, hook(target))

    assert raised.value.retryable
    assert "qlrf.io/claim" not in kept
    assert progress.status is Status.SUCCEEDED, progress.detail


@pytest.mark.parametrize("change", [0, 1])
@pytest.mark.parametrize("death", list(Death))
def test_a_script_whose_caller_died_is_never_run_twice(
    fleet: Fleet, change: int, death: Death
) -> None:
    target = fleet.deploy()
    fleet.watch.scripts["notify"] = ended(0)
    fleet.watch.dies(change, death)

    progress = carry_out(fleet, hook(target))

    noted = change == 1 and death is not Death.BEFORE
    never_asked = change == 0 and death is Death.BEFORE
    expected = Status.SUCCEEDED if noted or never_asked else Status.UNKNOWN
    assert progress.status is expected, progress.detail
    assert len(fleet.watch.ran) <= 1


def test_a_script_that_is_not_permitted_does_not_run(fleet: Fleet) -> None:
    target = fleet.deploy()
    fleet.take_away("pods/exec")

    with pytest.raises(Denied, match="403"):
        fleet.operator().advance(hook(target))

    assert "qlrf.io/claim" not in fleet.get(target)["metadata"].get("annotations", {})


def test_a_hook_that_is_none_of_kubernetes_is_rejected(fleet: Fleet) -> None:
    target = fleet.deploy(replicas=0)

    for kind in ("ssm-document", "lambda"):
        with pytest.raises(Rejected, match="script"):
            fleet.operator().advance(hook(target, type=kind))
    with pytest.raises(Rejected, match="names no target"):
        fleet.operator().advance(hook(target, ""))
    assert carry_out(fleet, hook(target)).status is Status.FAILED
