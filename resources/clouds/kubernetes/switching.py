"""Blue-green, the switch: every Service leads to the new side, by one patch each.

A Service's selector changes one value, the template hash it is pinned to. What clients see is what
its EndpointSlices say, so the switch is over when those name pods of the new side, and no other.
"""

from collections.abc import Collection

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import NEW_SIDE, Operation, Progress
from resources.clouds.kubernetes.beside import deployment_of, side_beside
from resources.clouds.kubernetes.captured import is_same
from resources.clouds.kubernetes.complaints import Object
from resources.clouds.kubernetes.following import follow
from resources.clouds.kubernetes.hands import (
    SIDE,
    Hands,
    annotations_of,
    beside,
    id_of,
    workload_of,
)
from resources.clouds.kubernetes.owned import ready_pods, template_hash
from resources.clouds.kubernetes.recovery_parts import wanted
from resources.clouds.kubernetes.said import done, foreign, gone
from resources.clouds.kubernetes.services import (
    is_intact,
    leading_to,
    led_to,
    name_of,
    pin,
    pinned_to,
)
from resources.recovery.steps import failed, running


def switch(hands: Hands, operation: Operation) -> Progress:
    """One step of leading every Service of a Deployment to the side beside it."""
    workload = deployment_of(operation)
    asked = operation.parameters.get(NEW_SIDE)
    if not asked:
        raise Rejected(f"{operation.target.key}: name the new side to switch to ({NEW_SIDE}).")
    old = hands.calls.read(workload.path)
    if old is None or not is_same(old, operation.before):
        return gone(workload)
    side = annotations_of(old).get(SIDE)
    if side is None or id_of(beside(workload, side)) != asked:
        return failed(f"{asked} does not stand beside {workload}; nothing was switched.")
    new = side_beside(hands, workload, side)
    if new is None:
        return failed(f"{asked} was deleted by somebody else; bring {workload} back.")
    return _switched(hands, operation, old, new)


def _switched(hands: Hands, operation: Operation, old: Object, new: Object) -> Progress:
    side, target = annotations_of(old)[SIDE], template_hash(hands, new)
    services, there = leading_to(hands, old), beside(workload_of(operation.target), side)
    for service in services:
        if annotations_of(service).get(SIDE) == side and not is_intact(service):
            return foreign(f"Service {name_of(service)}")
    left = [service for service in services if pinned_to(service) != target]
    if left == services and wanted(new) < wanted(old):
        # Somebody gave the old side more pods meanwhile: the new side takes over at full strength.
        hands.put(there.path, new, {}, spec__replicas=wanted(old))
        return running(f"The new side gets {wanted(old)} pods, as the old one.", poll_seconds=1)
    coming = follow(hands, operation, there, new) if left or not services else None
    if coming is not None:
        return coming
    if left:
        pin(hands, left[0], side, target)
        return running(f"Service {name_of(left[0])} is switched.", poll_seconds=1)
    taken = led_only_to(hands, services, new)
    if taken is not None:
        return taken
    every = ", ".join(name_of(service) for service in services) or "no Service, as there is none,"
    verb = "leads" if len(services) < 2 else "lead"
    return done(
        f"{every} {verb} to {operation.parameters[NEW_SIDE]} alone.", operation.parameters[NEW_SIDE]
    )


def led_only_to(hands: Hands, services: Collection[Object], workload: Object) -> Progress | None:
    """Every Service leads to every ready pod of a workload, and to no other; None if so."""
    mine = {str(pod["metadata"]["name"]) for pod in ready_pods(hands, workload)}
    for service in services:
        seen = led_to(hands, service)
        if not mine or seen != mine:
            odd = ", ".join(sorted(seen ^ mine)) or "no pod at all"
            return running(
                f"Service {name_of(service)} does not lead to exactly the pods of "
                f"{workload['metadata']['name']} yet ({odd}).",
                poll_seconds=1,
            )
    return None
