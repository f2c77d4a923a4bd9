"""Blue-green, the first half: a new side beside a Deployment, and no traffic to it.

While a side stands beside it, the Deployment is paused: its Services are pinned to its present
pods, and a rollout that somebody else starts meanwhile would leave them without any.
"""

import copy
from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import Operation, Progress
from resources.clouds.kubernetes.captured import is_same, is_untouched
from resources.clouds.kubernetes.complaints import Object
from resources.clouds.kubernetes.following import check_free, follow
from resources.clouds.kubernetes.hands import (
    BESIDE,
    FIRST,
    HASH,
    IMAGES,
    OPERATION,
    RESTARTED,
    SIDE,
    Hands,
    annotations_of,
    beside,
    first_try,
    id_of,
    labels_of,
    side_of,
    workload_of,
)
from resources.clouds.kubernetes.owned import ready_pods, template_hash
from resources.clouds.kubernetes.recovery_parts import wanted
from resources.clouds.kubernetes.recovery_settings import Workload
from resources.clouds.kubernetes.rolling import ask, image_for, marks_for
from resources.clouds.kubernetes.said import done, foreign, gone
from resources.clouds.kubernetes.services import (
    is_intact,
    is_pinned_by_others,
    leading_to,
    led_to,
    name_of,
    others_behind,
    pin,
    pinned_to,
)
from resources.clouds.kubernetes.templates import (
    Template,
    annotated,
    container_for,
    images_of,
    images_text,
    labelled,
    template_of,
    with_images,
)
from resources.recovery.steps import failed, running

# What a new side has as the old one has it; its labels are left out, as whoever tracks the old one
# by them (Helm, Argo CD) would take the new side for its own, and remove it.
_KEPT = ("replicas", "strategy", "minReadySeconds", "progressDeadlineSeconds")


def start_beside(hands: Hands, operation: Operation) -> Progress:
    """One step of bringing up a side of the operation's image, healthy and without traffic."""
    workload, before = deployment_of(operation), operation.before
    image = image_for(operation)
    old = hands.calls.read(workload.path)
    if old is None or not is_same(old, before):
        return gone(workload)
    standing = annotations_of(old).get(SIDE)
    if standing is None:
        return _begin(hands, operation, workload, old)
    if standing != side_of(operation):
        return failed(f"Side {standing} of another rollout stands beside {workload}; end that one.")
    if not is_untouched(old, before) or not old["spec"].get("paused"):
        return foreign(workload, "was changed or resumed")
    taken = _pinned(hands, old, standing)
    if taken is not None:
        return taken
    container = container_for(before["containers"], image)
    return _side(hands, operation, old, with_images(template_of(old), {container: image}))


def deployment_of(operation: Operation) -> Workload:
    """The Deployment an operation is about.

    Raises:
        Rejected: it is about another kind of workload.
    """
    workload = workload_of(operation.target)
    if workload.kind != "Deployment":
        raise Rejected(
            f"{workload} cannot have a second side: its pods have names or nodes of their own. "
            "Blue-green is for Deployments; give it a rolling update."
        )
    return workload


def side_beside(hands: Hands, workload: Workload, side: str) -> Object | None:
    """The Deployment that is a side beside another one; None if there is none.

    Raises:
        Rejected: something else has its name.
    """
    there = beside(workload, side)
    found = hands.calls.read(there.path)
    if found is None:
        return None
    if labels_of(found).get(SIDE) != side or annotations_of(found).get(BESIDE) != workload.name:
        raise Rejected(f"{there} is not the side {side} beside {workload}; rename or remove it.")
    return found


def _begin(hands: Hands, operation: Operation, workload: Workload, old: Object) -> Progress:
    if not is_untouched(old, operation.before):
        return foreign(workload, "was changed since it was captured,")
    check_free(workload, old)
    _check_image(operation, workload)
    _check_scaler(hands, workload)
    for service in leading_to(hands, old):
        _check_service(hands, service, old)
    side = side_of(operation)
    marks = marks_for(operation, old, template_of(old))
    marks |= {SIDE: side, HASH: template_hash(hands, old)}
    hands.put(workload.path, old, marks, spec__paused=True)
    return running(f"{workload} is paused while side {side} stands beside it.", poll_seconds=1)


def _check_image(operation: Operation, workload: Workload) -> None:
    containers, image = operation.before["containers"], image_for(operation)
    if containers[container_for(containers, image)] == image:
        # Nobody could tell later which of the two it is to be.
        raise Rejected(f"{workload} runs {image} already; there is nothing to put beside it.")


def _check_scaler(hands: Hands, workload: Workload) -> None:
    for item in hands.calls.labelled("horizontalpodautoscalers", ""):
        target = item["spec"]["scaleTargetRef"]
        if (target["kind"], target["name"]) == (workload.kind, workload.name):
            raise Rejected(
                f"{workload} is scaled by HorizontalPodAutoscaler {item['metadata']['name']}: it "
                "would count the idle pods of the new side, and never scale that side. Give it a "
                "rolling update, or remove the autoscaler first."
            )


def _check_service(hands: Hands, service: Object, old: Object) -> None:
    name = name_of(service)
    if is_pinned_by_others(service) or SIDE in annotations_of(service):
        raise Rejected(f"Service {name} is pinned by something else; let that end first.")
    others = others_behind(hands, service, old)
    if others:
        raise Rejected(
            f"Service {name} leads to pods of other workloads too ({', '.join(others[:3])}): "
            "pinned to one workload it would lose them. Give it a narrower selector."
        )


def _pinned(hands: Hands, old: Object, side: str) -> Progress | None:
    """Every Service is pinned to the pods of the old side; None if it is so."""
    hash_before = annotations_of(old)[HASH]
    for service in leading_to(hands, old):
        marked = annotations_of(service).get(SIDE) == side
        if marked and (not is_intact(service) or pinned_to(service) != hash_before):
            return foreign(f"Service {name_of(service)}")
        if not marked:
            pin(hands, service, side, hash_before)
            return running(f"Service {name_of(service)} is pinned to its pods.", poll_seconds=1)
    return None


def _side(hands: Hands, operation: Operation, old: Object, template: Template) -> Progress:
    workload = workload_of(operation.target)
    side, there = side_of(operation), beside(workload, side_of(operation))
    found = side_beside(hands, workload, side)
    if found is None:
        hands.calls.create("deployments", _described(operation, old, template))
        return running(f"{there} is made, with {operation.image}.", poll_seconds=1)
    if images_of(template_of(found)) != images_of(template):
        return foreign(there)
    if wanted(found) == 0:
        # Kept from an earlier try, without pods.
        hands.put(there.path, found, {OPERATION: operation.token}, spec__replicas=wanted(old))
        return running(f"{there} is asked for its pods again.", poll_seconds=1)
    taken = follow(hands, operation, there, found)
    if taken is None:
        return _unseen(hands, old, found) or done(
            f"{there} runs {operation.image} without traffic: every pod is available.",
            id_of(there),
        )
    if annotations_of(found).get(OPERATION) == operation.token:
        return taken
    # A second try: pods that did not come up are started anew, or the deadline stays over.
    ask(hands, operation, there, found, annotated(template_of(found), RESTARTED, operation.token))
    return running(f"{there} is asked to start its pods anew.", poll_seconds=1)


def _unseen(hands: Hands, old: Object, new: Object) -> Progress | None:
    """No Service leads to a pod of the new side; None if it is so."""
    mine = {str(pod["metadata"]["name"]) for pod in ready_pods(hands, new)}
    for service in leading_to(hands, old):
        seen = led_to(hands, service) & mine
        if seen:
            return running(f"Service {name_of(service)} still leads to {', '.join(sorted(seen))}.")
    return None


def _described(operation: Operation, old: Object, template: Template) -> Object:
    workload, side = workload_of(operation.target), side_of(operation)
    spec: dict[str, Any] = copy.deepcopy({k: v for k, v in old["spec"].items() if k in _KEPT})
    spec |= {"replicas": wanted(old), "template": labelled(template, SIDE, side)}
    spec["selector"] = _narrowed(old["spec"]["selector"], side)
    marks = {
        OPERATION: operation.token,
        FIRST: first_try(operation),
        IMAGES: images_text(template),
        BESIDE: workload.name,
    }
    metadata = {
        "name": beside(workload, side).name,
        "labels": {SIDE: side},
        "annotations": marks,
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


def _narrowed(selector: Mapping[str, Any], side: str) -> Mapping[str, Any]:
    labels = {**(selector.get("matchLabels") or {}), SIDE: side}
    return {**selector, "matchLabels": labels}
