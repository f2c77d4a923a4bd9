"""Blue-green, both ways out: back to the old side, or on to one Deployment of the new image.

Either way ends with what an operator knows: one Deployment under its own name, not paused, and
Services with their own selectors. The mark on the Deployment goes last, so whoever was killed
on the way goes on.
"""

from qlrf_pipelines.domain.operations import FIRST_TRY, Operation, OperationKind, Progress
from resources.clouds.kubernetes.beside import side_beside
from resources.clouds.kubernetes.captured import Captured, is_same, is_untouched, undone
from resources.clouds.kubernetes.complaints import Object
from resources.clouds.kubernetes.following import counts_of, follow, is_available, is_over
from resources.clouds.kubernetes.hands import (
    HASH,
    SIDE,
    Hands,
    annotations_of,
    beside,
    labels_of,
    side_of,
    workload_of,
)
from resources.clouds.kubernetes.owned import TEMPLATE_HASH, ready_pods, template_hash
from resources.clouds.kubernetes.recovery_parts import wanted
from resources.clouds.kubernetes.recovery_settings import Workload
from resources.clouds.kubernetes.rolling import ask, left_by_us, put_back
from resources.clouds.kubernetes.said import done, foreign
from resources.clouds.kubernetes.services import (
    is_intact,
    leading_to,
    led_to,
    name_of,
    pin,
    pinned_for,
    pinned_to,
    unpin,
)
from resources.clouds.kubernetes.switching import led_only_to
from resources.clouds.kubernetes.templates import (
    images_of,
    template_of,
    with_images,
)
from resources.recovery.steps import failed, running

START_BESIDE, SWITCH = OperationKind.START_BESIDE, OperationKind.SWITCH


def restore(hands: Hands, operation: Operation) -> Progress:
    """One step of bringing a workload back to what was captured, from wherever it is."""
    workload = workload_of(operation.target)
    old = hands.calls.read(workload.path)
    side = None if old is None else _own_side(old, operation)
    if old is None or side is None or not is_same(old, operation.before):
        return _left_unmarked(hands, operation, workload, old) or put_back(hands, operation)
    if _is_renewed(old, operation.before):
        template = undone(template_of(old), operation.before)
        ask(hands, operation, workload, old, template, spec__paused=False)
        return running(f"{workload} is asked to run as it was.", poll_seconds=1)
    return (
        _led_back(hands, operation, workload, old)
        or _serving_alone(hands, operation, workload, old)
        or _side_removed(hands, operation, workload, side)
        or _unpinned(hands, side)
        or _resumed(hands, workload, old)
    )


def finalise(hands: Hands, operation: Operation) -> Progress:
    """One step of becoming one Deployment again, of the new side's image and the old name."""
    workload = workload_of(operation.target)
    old = hands.calls.read(workload.path)
    side = None if old is None else _own_side(old, operation)
    if old is None or side is None:
        kept = _left_unmarked(hands, operation, workload, old)
        return kept or done(f"Nothing is kept beside {workload}.", operation.target.id)
    if not is_same(old, operation.before):
        return foreign(workload, "was deleted and made anew")
    new = side_beside(hands, workload, side)
    services = pinned_for(hands, side)
    if new is None:
        # It is removed last, so the Services have let go of it, or somebody else removed it.
        if services or not _is_renewed(old, operation.before):
            return failed(
                f"Side {side} beside {workload} was removed by somebody else; look at it."
            )
        return _led_as_before(hands, operation, old) or _resumed(hands, workload, old)
    if images_of(template_of(old)) != images_of(template_of(new)):
        return _renewed(hands, operation, workload, old, new, services)
    taken = follow(hands, operation, workload, old)
    if taken is not None:
        return taken
    return (
        _unpinned(hands, side)
        or _led_to_all(hands, old)
        or _side_removed(hands, operation, workload, side, retain=False)
        or _led_as_before(hands, operation, old)
        or _resumed(hands, workload, old)
    )


def _own_side(old: Object, operation: Operation) -> str | None:
    """The side this operation's rollout has beside a Deployment; another's is let alone."""
    side = annotations_of(old).get(SIDE)
    known = FIRST_TRY in operation.parameters
    return None if known and side != side_of(operation) else side


def _left_unmarked(
    hands: Hands, operation: Operation, workload: Workload, old: Object | None
) -> Progress | None:
    """This operation's side stands, though no mark says so any more; None if there is none."""
    if operation.parameters.get("operation") not in (START_BESIDE, SWITCH):
        return None
    side = side_of(operation)
    new = side_beside(hands, workload, side)
    left = [f"Service {name_of(service)} is pinned" for service in pinned_for(hands, side)]
    # One without pods was kept by a restore that is over.
    if new is not None and wanted(new) > 0:
        left.append(f"{beside(workload, side)} stands")
    if not left:
        return None
    what = "was deleted" if old is None else f"lost its mark {SIDE}"
    return failed(
        f"{workload} {what} by somebody else's hand, but {' and '.join(left)} for side {side}; "
        "end that by hand, nothing was touched."
    )


def _led_back(
    hands: Hands, operation: Operation, workload: Workload, old: Object
) -> Progress | None:
    """Every Service leads to the old side alone; None if it is so."""
    side, hash_before = annotations_of(old)[SIDE], annotations_of(old)[HASH]
    services = pinned_for(hands, side)
    for service in services:
        if not is_intact(service):
            return foreign(f"Service {name_of(service)}")
    away = [service for service in services if pinned_to(service) != hash_before]
    if away:
        taken = _not_served(hands, operation, workload, old)
        if taken is not None:
            return taken
        pin(hands, away[0], side, hash_before)
        return running(f"Service {name_of(away[0])} is switched back.", poll_seconds=1)
    return led_only_to(hands, services, old)


def _not_served(
    hands: Hands, operation: Operation, workload: Workload, old: Object
) -> Progress | None:
    """Why no Service can be pinned back to the pods there were before; None if it can."""
    hash_before, replicas = annotations_of(old)[HASH], operation.before["replicas"]
    pods = ready_pods(hands, old)
    mine = [pod for pod in pods if labels_of(pod).get(TEMPLATE_HASH) == hash_before]
    # Paused, it may want another template by now: its pods are those of before until it is resumed.
    # Also if some of them are ill: those that serve are better than the new side.
    if mine and (old["spec"].get("paused") or is_over(old)):
        return None
    if wanted(old) == 0:
        # Somebody took its pods away, as nothing led to them.
        hands.put(workload.path, old, {}, spec__replicas=replicas)
        return running(f"{workload} is asked for its {replicas} pods again.", poll_seconds=1)
    taken = follow(hands, operation, workload, old)
    if taken is not None or mine:
        return taken
    if template_hash(hands, old) == hash_before:
        return running(f"{workload} has no ready pod at the moment.", poll_seconds=1)
    return failed(
        f"{workload} was rolled on by somebody else: it has no pod any more of what it ran before, "
        "so the Services are left with the new side; look at it."
    )


def _serving_alone(
    hands: Hands, operation: Operation, workload: Workload, old: Object
) -> Progress | None:
    """The old side can do without the new one, should both serve; None if it can."""
    # Its Services let go already, finalising had come so far: they lead to the pods of both.
    if old["spec"].get("paused") or pinned_for(hands, annotations_of(old)[SIDE]):
        return None
    return follow(hands, operation, workload, old)


def _side_removed(
    hands: Hands, operation: Operation, workload: Workload, side: str, *, retain: bool | None = None
) -> Progress | None:
    """The new side is gone, or without pods if it is to be retained; None if it is so."""
    new = side_beside(hands, workload, side)
    if new is None:
        return None
    there = beside(workload, side)
    keep = operation.parameters.get("retain") == "true" if retain is None else retain
    if not keep:
        if "deletionTimestamp" not in new["metadata"]:
            hands.calls.remove(there.path, new["metadata"]["uid"], owned_first=True)
        return running(f"{there} and its pods are being removed.", poll_seconds=1)
    if wanted(new) != 0:
        hands.put(there.path, new, {}, spec__replicas=0)
        return running(f"{there} is kept, without pods.", poll_seconds=1)
    if not is_available(new) or counts_of(new).total:
        return running(f"{there} is kept; its pods are ending.", poll_seconds=1)
    return None


def _unpinned(hands: Hands, side: str) -> Progress | None:
    """Every Service has its own selector; None if it is so."""
    for service in pinned_for(hands, side):
        if not is_intact(service):
            return foreign(f"Service {name_of(service)}")
        unpin(hands, service)
        return running(f"Service {name_of(service)} has its own selector again.", poll_seconds=1)
    return None


def _resumed(hands: Hands, workload: Workload, old: Object) -> Progress:
    """No side stands beside it any more: the last step, after which it is looked at as a whole."""
    hands.put(workload.path, old, {SIDE: None, HASH: None}, spec__paused=False)
    return running(f"{workload} stands alone, and is not paused.", poll_seconds=1)


def _renewed(
    hands: Hands,
    operation: Operation,
    workload: Workload,
    old: Object,
    new: Object,
    services: list[Object],
) -> Progress:
    """Give the old Deployment the new image, now that no Service leads to its pods."""
    there = f"Deployment {new['metadata']['name']}"
    target = template_hash(hands, new)
    away = [name_of(service) for service in services if pinned_to(service) != target]
    if away:
        return failed(f"{', '.join(away)} does not lead to {there}; switch to it first.")
    coming = follow(hands, operation, beside(workload, annotations_of(old)[SIDE]), new)
    if coming is not None:
        return coming
    if not is_untouched(old, operation.before):
        return foreign(workload)
    renewed = with_images(template_of(old), images_of(template_of(new)))
    # As many pods as serve now, should somebody have given that side more.
    replicas = max(wanted(old), wanted(new))
    parts = {"spec__paused": False, "spec__replicas": replicas}
    ask(hands, operation, workload, old, renewed, **parts)
    return running(f"{workload} is asked to run what {there} runs.", poll_seconds=1)


def _is_renewed(old: Object, before: Captured) -> bool:
    return left_by_us(old, before) and images_of(template_of(old)) != before["images"]


def _led_to_all(hands: Hands, old: Object) -> Progress | None:
    """Every Service leads to every ready pod of the renewed Deployment; None if it is so."""
    mine = {str(pod["metadata"]["name"]) for pod in ready_pods(hands, old)}
    for service in leading_to(hands, old):
        if not mine or not mine <= led_to(hands, service):
            return running(f"Service {name_of(service)} does not lead to all its pods yet.")
    return None


def _led_as_before(hands: Hands, operation: Operation, old: Object) -> Progress | None:
    """The captured Services lead to the renewed Deployment alone; None if it is so."""
    names = {item["name"] for item in operation.before["services"]}
    captured = [item for item in leading_to(hands, old) if name_of(item) in names]
    return led_only_to(hands, captured, old)
