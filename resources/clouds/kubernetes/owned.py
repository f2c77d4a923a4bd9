"""What a workload owns: its ReplicaSets, its pods, and what ails them."""

from collections.abc import Sequence

from qlrf_pipelines.domain.errors import Unavailable
from resources.clouds.kubernetes.asking import is_ready, selector_of
from resources.clouds.kubernetes.complaints import Object
from resources.clouds.kubernetes.hands import Hands, annotations_of, labels_of, owner_of

TEMPLATE_HASH = "pod-template-hash"
REVISION_HASH = "controller-revision-hash"
_REVISION = "deployment.kubernetes.io/revision"
_SHOWN = 3
# Waiting for these is no trouble: a pod that starts passes through them.
_HARMLESS = ("ContainerCreating", "PodInitializing")


def replica_sets(hands: Hands, deployment: Object) -> list[Object]:
    """The ReplicaSets a Deployment owns; other Deployments' may carry the same labels."""
    found = hands.calls.labelled("replicasets", selector_of(deployment["spec"]["selector"]))
    return [item for item in found if is_owned(item, deployment)]


def template_hash(hands: Hands, deployment: Object) -> str:
    """The template hash of the pods a Deployment wants now.

    Raises:
        Unavailable: its controller has not come so far.
    """
    revision = annotations_of(deployment).get(_REVISION)
    for item in replica_sets(hands, deployment):
        if revision is not None and annotations_of(item).get(_REVISION) == revision:
            return labels_of(item)[TEMPLATE_HASH]
    name = deployment["metadata"]["name"]
    raise Unavailable(f"Deployment {name} has no ReplicaSet of its revision yet; asked again.")


def pods_of(hands: Hands, found: Object) -> list[Object]:
    """The pods a workload owns, through its ReplicaSets if it has such."""
    pods = hands.calls.labelled("pods", selector_of(found["spec"]["selector"]))
    owners = [found]
    if found["kind"] == "Deployment":
        owners = replica_sets(hands, found)
    owned = (pod for pod in pods if any(is_owned(pod, owner) for owner in owners))
    return sorted(owned, key=lambda pod: str(pod["metadata"]["name"]))


def ready_pods(hands: Hands, found: Object) -> list[Object]:
    """The pods of a workload that serve, by name."""
    return [pod for pod in pods_of(hands, found) if is_ready(pod)]


def is_owned(item: Object, owner: Object) -> bool:
    """Whether an object is controlled by another one."""
    reference = owner_of(item)
    return reference is not None and reference["uid"] == owner["metadata"]["uid"]


def ailments(hands: Hands, found: Object) -> str:
    """What keeps a workload's pods from being ready, in one sentence."""
    pods = pods_of(hands, found)
    said = [f"pod {pod['metadata']['name']}: {why}" for pod in pods if (why := ailment(pod))]
    more = f" and {len(said) - _SHOWN} more" if len(said) > _SHOWN else ""
    if said:
        return "; ".join(said[:_SHOWN]) + more
    return (
        refusal(found) or f"{len([p for p in pods if is_ready(p)])} of {len(pods)} pods are ready"
    )


def ailment(pod: Object) -> str:
    """Why a pod does not get ready; nothing if it is, or if it just starts."""
    status = pod.get("status") or {}
    if is_ready(pod):
        return ""
    containers = [*(status.get("initContainerStatuses") or ())]
    containers += status.get("containerStatuses") or ()
    for one in containers:
        waiting = (one.get("state") or {}).get("waiting") or {}
        if waiting.get("reason") and waiting["reason"] not in _HARMLESS:
            return _joined(f"{one['name']} is in {waiting['reason']}", waiting.get("message"))
    for one in status.get("conditions") or ():
        if one.get("type") == "PodScheduled" and one.get("status") == "False":
            return _joined(str(one.get("reason", "not scheduled")), one.get("message"))
    return ""


def refusal(found: Object) -> str:
    """Why no pods can be made, as a workload's controller says; nothing if they can."""
    for one in conditions_of(found):
        if one.get("type") == "ReplicaFailure" and one.get("status") == "True":
            return _joined(str(one.get("reason")), one.get("message"))
    return ""


def conditions_of(found: Object) -> Sequence[Object]:
    """The conditions of an object."""
    return (found.get("status") or {}).get("conditions") or ()


def _joined(what: str, message: object) -> str:
    return f"{what} ({str(message)[:200]})" if message else what
