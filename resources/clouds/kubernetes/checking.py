"""What a workload says of itself, where it is reached, and commands in one of its pods."""

from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.errors import Denied, QlrfError, Refused, Rejected, Unavailable
from qlrf_pipelines.domain.operations import Health, HealthReport, Operation, Progress, Target
from resources.clouds.kubernetes.asking import container_of
from resources.clouds.kubernetes.complaints import Object
from resources.clouds.kubernetes.following import counts_of, is_available
from resources.clouds.kubernetes.hands import CLAIM, Hands, annotations_of, labels_of, workload_of
from resources.clouds.kubernetes.owned import ailments, ready_pods
from resources.clouds.kubernetes.pod_exec import NotBegun
from resources.clouds.kubernetes.recovery_settings import Workload
from resources.clouds.kubernetes.said import gone
from resources.clouds.kubernetes.services import leading_now
from resources.recovery.steps import failed, running, succeeded, unknown

EXEC_SECONDS = 30.0
HOOK_SECONDS = 300.0
_ASKED, _DONE, _OK = "asked", "done", "0"


def check_workload(hands: Hands, target: Target, check: Mapping[str, Any]) -> HealthReport:
    """One answer to one check; whatever keeps it away is the reason of an unknown."""
    try:
        workload = workload_of(target)
        found = hands.found(workload)
        if check.get("type") == "cloud-status":
            return _status(hands, workload, found)
        if check.get("type") == "exec":
            return _exec(hands, workload, found, check)
    except QlrfError as error:
        return HealthReport(health=Health.UNKNOWN, why=str(error))
    return HealthReport(
        health=Health.UNKNOWN, why=f"Kubernetes has no check {check.get('type')!r}."
    )


def address_of(hands: Hands, target: Target) -> str | None:
    """The address of a Service that leads to its pods now; else that of one of them.

    Raises:
        NotFound: there is no such workload.
    """
    ready = ready_pods(hands, hands.found(workload_of(target)))
    if not ready:
        return None
    for service in leading_now(hands, labels_of(ready[0])):
        address = service["spec"].get("clusterIP")
        if address and address != "None":
            return str(address)
    address = (ready[0].get("status") or {}).get("podIP")
    return str(address) if address else None


def hook(hands: Hands, operation: Operation) -> Progress:
    """One step of a workload's hook: a script, in one of its ready pods, once."""
    kind, script = operation.parameters.get("type"), operation.parameters.get("target")
    if not script:
        raise Rejected(f"The hook of {operation.target.key} names no target.")
    if kind != "script":
        raise Rejected(f"A hook on Kubernetes is a script, run in a ready pod, not {kind!r}.")
    workload = workload_of(operation.target)
    found = hands.calls.read(workload.path)
    if found is None:
        return gone(workload)
    token, _, rest = annotations_of(found).get(CLAIM, "").partition(" ")
    state, _, note = rest.partition(" ")
    if token != operation.token:
        return _run_once(hands, operation, workload, found)
    if state != _DONE:
        return unknown(f"The script may or may not have run in {workload}; it is not run again.")
    pod, _, code = note.partition(" ")
    if code == _OK:
        return succeeded(f"The script ended with 0 in pod {pod}.")
    return failed(f"The script ended with {code} in pod {pod}.")


def _run_once(hands: Hands, operation: Operation, workload: Workload, found: Object) -> Progress:
    ready = ready_pods(hands, found)
    if not ready:
        return failed(f"{workload} has no ready pod to run the script in; nothing was run.")
    pod = str(ready[0]["metadata"]["name"])
    seconds = float(operation.parameters.get("timeout_seconds", 0)) or HOOK_SECONDS
    earlier = annotations_of(found).get(CLAIM)
    hands.put(workload.path, found, {CLAIM: f"{operation.token} {_ASKED}"})
    words = _shell(str(operation.parameters["target"]))
    try:
        ran = hands.calls.run(pod, container_of(ready[0]), words, seconds=seconds)
    except (Denied, Refused, NotBegun):
        # It was turned away before it began.
        _note(hands, workload, earlier)
        raise
    except Unavailable as error:
        return unknown(f"The script may or may not have run in pod {pod}: {error}")
    if ran is None:
        return unknown(f"The script has not ended within {seconds:g} s in pod {pod}.")
    _note(hands, workload, f"{operation.token} {_DONE} {pod} {ran.code}")
    return running(f"The script ended with {ran.code} in pod {pod}.", poll_seconds=0)


def _note(hands: Hands, workload: Workload, claim: str | None) -> None:
    # Whatever else changed meanwhile: how the script ended would else be lost.
    hands.calls.patch(workload.path, {"metadata": {"annotations": {CLAIM: claim}}})


def _status(hands: Hands, workload: Workload, found: Object) -> HealthReport:
    counts = counts_of(found)
    if counts.wanted == 0:
        why = f"{workload} wants no pod, so nothing of it can be looked at."
        return HealthReport(health=Health.UNKNOWN, why=why)
    if is_available(found):
        why = f"{workload}: all of its {counts.wanted} pods are available."
        return HealthReport(health=Health.HEALTHY, why=why)
    why = f"{workload}: {counts}; {ailments(hands, found)}."
    return HealthReport(health=Health.UNHEALTHY, why=why)


def _exec(
    hands: Hands, workload: Workload, found: Object, check: Mapping[str, Any]
) -> HealthReport:
    text = str(check.get("target") or check.get("command") or "")
    if not text:
        return HealthReport(health=Health.UNKNOWN, why="The exec check names no command.")
    ready = ready_pods(hands, found)
    if not ready:
        why = f"{workload} has no ready pod to run it in."
        return HealthReport(health=Health.UNHEALTHY, why=why)
    pod = str(ready[0]["metadata"]["name"])
    seconds = float(check.get("timeout_seconds", EXEC_SECONDS))
    ran = hands.calls.run(pod, container_of(ready[0]), _shell(text), seconds=seconds)
    if ran is None:
        why = f"pod {pod}: not ended within {seconds:g} s."
        return HealthReport(health=Health.UNKNOWN, why=why)
    why = f"pod {pod}: ended with {ran.code}{_said(ran.err or ran.out)}."
    health = Health.HEALTHY if ran.code == 0 else Health.UNHEALTHY
    return HealthReport(health=health, why=why)


def _shell(text: str) -> tuple[str, ...]:
    return ("sh", "-c", text)


def _said(text: str) -> str:
    line = text.strip().partition("\n")[0]
    return f": {line[:200]}" if line else ""
