"""A command asked of one ready pod of a workload."""

from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.operations import HealthReport
from resources.clouds.kubernetes.calls import KubernetesCalls
from resources.clouds.kubernetes.complaints import Object
from resources.clouds.kubernetes.recovery_settings import Workload
from resources.recovery.answering import bad, judged

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_OPERATORS = {"In": "{key} in ({values})", "NotIn": "{key} notin ({values})",
              "Exists": "{key}", "DoesNotExist": "!{key}"}  # fmt: skip


def asked_in(
    calls: KubernetesCalls,
    workload: Workload,
    found: Object,
    check: Mapping[str, Any],
    *,
    seconds: float,
) -> HealthReport:
    """One answer of the first ready pod of a workload; no ready pod is a bad one.

    Raises:
        Unavailable: it could not be asked.
        Refused: the server does not take the question.
    """
    pods = calls.labelled("pods", selector_of(found["spec"]["selector"]))
    ready = sorted((p for p in pods if is_ready(p)), key=lambda p: str(p["metadata"]["name"]))
    if not ready:
        return bad(f"{workload}: none of its {len(pods)} pods is ready.")
    name, container = str(ready[0]["metadata"]["name"]), container_of(ready[0])
    ran = calls.run(name, container, list(check["command"]), seconds=seconds)
    if ran is None:
        return bad(f"pod {name}: no answer within {seconds:g} s.")
    return judged(
        f"pod {name}", code=ran.code, out=ran.out, err=ran.err, expect=check.get("expect")
    )


def selector_of(selector: Mapping[str, Any]) -> str:
    """A workload's selector as a listing takes it."""
    parts = [f"{key}={value}" for key, value in (selector.get("matchLabels") or {}).items()]
    for rule in selector.get("matchExpressions") or ():
        values = ",".join(rule.get("values") or ())
        parts.append(_OPERATORS[rule["operator"]].format(key=rule["key"], values=values))
    return ",".join(parts)


def is_ready(pod: Object) -> bool:
    """Whether a pod serves, and is not on its way out."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    ready = any(c.get("type") == "Ready" and c.get("status") == "True" for c in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]


def container_of(pod: Object) -> str:
    """The container `kubectl exec` would choose: the annotated one, else the first."""
    annotations = pod["metadata"].get("annotations") or {}
    return str(annotations.get(DEFAULT_CONTAINER) or pod["spec"]["containers"][0]["name"])
