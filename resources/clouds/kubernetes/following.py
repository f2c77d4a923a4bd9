"""Following a rollout the cluster's own controllers carry out, until every pod is available."""

from dataclasses import dataclass
from datetime import timedelta

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.moments import from_iso
from qlrf_pipelines.domain.operations import Operation, Progress
from resources.clouds.kubernetes.asking import is_ready
from resources.clouds.kubernetes.complaints import Object
from resources.clouds.kubernetes.hands import SEEN, Hands, annotations_of, labels_of, owner_of
from resources.clouds.kubernetes.owned import REVISION_HASH, ailments, conditions_of, pods_of
from resources.clouds.kubernetes.recovery_parts import wanted
from resources.clouds.kubernetes.recovery_settings import Workload
from resources.recovery.steps import failed, running

POLL_SECONDS = 5.0
# Where a Deployment is done, or paused, no deadline of its own runs.
_UNTIMED = ("NewReplicaSetAvailable", "DeploymentPaused")
# What has no deadline gets as long as Deployments have by default.
PATIENCE = timedelta(minutes=10)
# A pod that is not ready for so long does not get ready by itself.
STUCK = timedelta(minutes=3)
_STATUS = {
    "Deployment": (None, "updatedReplicas", "replicas", "availableReplicas"),
    "StatefulSet": (None, "updatedReplicas", "replicas", "availableReplicas"),
    "DaemonSet": (
        "desiredNumberScheduled",
        "updatedNumberScheduled",
        "currentNumberScheduled",
        "numberAvailable",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """The pods of a workload: how many it wants, has of its newest template, has, can use."""

    wanted: int
    updated: int
    total: int
    available: int

    def __str__(self) -> str:
        return f"{self.updated} updated and {self.available} available of {self.wanted}"


def counts_of(found: Object) -> Counts:
    """A workload's counts, as its controller reports them."""
    names = _STATUS[found["kind"]]
    status = found.get("status") or {}
    asked, updated, total, available = (int(status.get(n) or 0) if n else None for n in names)
    return Counts(
        wanted=wanted(found) if asked is None else asked,
        updated=updated or 0,
        total=total or 0,
        available=available or 0,
    )


def is_over(found: Object) -> bool:
    """Whether no rollout is under way: all pods are of the newest template, ready or not."""
    counts = counts_of(found)
    status = found.get("status") or {}
    return (
        _is_observed(found)
        and counts.updated == counts.wanted == counts.total
        and status.get("currentRevision") == status.get("updateRevision")
    )


def is_available(found: Object) -> bool:
    """Whether no rollout is under way and every pod that is wanted is available."""
    counts = counts_of(found)
    return is_over(found) and counts.available >= counts.wanted


def check_free(workload: Workload, found: Object, *, again: bool = False) -> None:
    """That a workload may be changed by us; `again` if it was, and its rollout did not succeed.

    Raises:
        Rejected: it is not ours to change now, and why.
    """
    owner, spec = owner_of(found), found["spec"]
    update = spec.get("updateStrategy") or {}
    partition = (update.get("rollingUpdate") or {}).get("partition") or 0
    reasons = {
        f"it is controlled by {owner and owner['kind']} {owner and owner['name']}, which would "
        "change it back; change that one": owner is not None,
        "it is paused; resume it first": bool(spec.get("paused")),
        "it is updated only when its pods are deleted (OnDelete); let it be RollingUpdate": (
            update.get("type") == "OnDelete"
        ),
        f"only its pods from {partition} on are updated; set partition to 0": partition > 0,
        "it wants no pod, so nothing would show what the change does; scale it up, or exclude it": (
            counts_of(found).wanted == 0
        ),
        "a rollout of it is under way; let it end first": not again and not is_over(found),
    }
    for why, is_so in reasons.items():
        if is_so:
            raise Rejected(f"{workload} cannot be changed: {why}.")


def progress_seen(found: Object) -> str:
    """When a workload's rollout made its last progress; noted when it is changed."""
    condition = _progressing(found)
    return str((condition or {}).get("lastUpdateTime", ""))


def follow(
    hands: Hands, operation: Operation, workload: Workload, found: Object
) -> Progress | None:
    """What is still to be waited for; None once every pod is updated and available."""
    if is_available(found):
        return None
    counts = counts_of(found)
    if not _is_observed(found):
        return running(f"{workload}: its controller has not seen the change.", poll_seconds=1)
    said = ailments(hands, found)
    detail = f"{workload}: {counts}; {said}."
    if _is_past_deadline(found):
        return failed(f"{workload} made no progress within its deadline: {counts}; {said}.")
    if workload.kind == "StatefulSet" and _clear_the_way(hands, found):
        return running(f"{workload}: a pod that cannot get ready is replaced.", poll_seconds=1)
    if _has_a_deadline(found):
        return running(detail, poll_seconds=POLL_SECONDS)
    return _patiently(hands, operation, counts, detail)


def _patiently(hands: Hands, operation: Operation, counts: Counts, detail: str) -> Progress:
    """For as long as the counts change, and for some time after they did last."""
    now, seen = hands.clock.now(), str(counts)
    since = operation.checkpoint.get("since")
    if operation.checkpoint.get("counts") != seen or since is None:
        since = now.isoformat()
    elif now - from_iso(since) > PATIENCE:
        minutes = PATIENCE.total_seconds() / 60
        return failed(f"No progress for {minutes:.0f} minutes: {detail}")
    return running(detail, {"counts": seen, "since": since}, poll_seconds=POLL_SECONDS)


def _clear_the_way(hands: Hands, found: Object) -> bool:
    """Delete a pod of an earlier template that is stuck; whether there was one.

    Its controller waits for such a pod before it touches the next one, also if it can never get
    ready. A deletion asks no disruption budget and keeps no order, so it is the last resort: not
    for a pod that is unready for a moment, and not while the controller itself gets on.
    """
    newest = (found.get("status") or {}).get("updateRevision")
    pods = pods_of(hands, found)
    if newest is None or any(_is_moving(hands, pod, newest) for pod in pods):
        return False
    for pod in pods:
        if labels_of(pod).get(REVISION_HASH) != newest and _is_stuck(hands, pod):
            hands.calls.remove(f"pods/{pod['metadata']['name']}", pod["metadata"]["uid"])
            return True
    return False


def _is_moving(hands: Hands, pod: Object, newest: str) -> bool:
    """Whether a pod is being replaced, or has just been."""
    is_newest = labels_of(pod).get(REVISION_HASH) == newest
    young = not _is_past(hands, pod["metadata"]["creationTimestamp"])
    return "deletionTimestamp" in pod["metadata"] or (is_newest and young)


def _is_stuck(hands: Hands, pod: Object) -> bool:
    """Whether a pod has not been ready for some time; one that says nothing, since it was made."""
    if is_ready(pod):
        return False
    said = next((one for one in conditions_of(pod) if one.get("type") == "Ready"), {})
    return _is_past(hands, said.get("lastTransitionTime") or pod["metadata"]["creationTimestamp"])


def _is_past(hands: Hands, moment: str) -> bool:
    return hands.clock.now() - from_iso(moment) > STUCK


def _is_observed(found: Object) -> bool:
    seen = int((found.get("status") or {}).get("observedGeneration") or 0)
    return seen >= int(found["metadata"]["generation"])


def _progressing(found: Object) -> Object | None:
    return next((one for one in conditions_of(found) if one.get("type") == "Progressing"), None)


def _has_a_deadline(found: Object) -> bool:
    """Whether the cluster itself will say that it takes too long."""
    condition = _progressing(found)
    if condition is None or condition.get("reason") in _UNTIMED:
        return False
    return not _is_old_news(found)


def _is_past_deadline(found: Object) -> bool:
    condition = _progressing(found) or {}
    late = condition.get("reason") == "ProgressDeadlineExceeded"
    return late and not _is_old_news(found)


def _is_old_news(found: Object) -> bool:
    # Rolled back to a template it had before, a Deployment keeps saying that it is late until the
    # first pod comes up.
    seen = annotations_of(found).get(SEEN)
    return seen is not None and seen == progress_seen(found)
