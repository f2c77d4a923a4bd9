"""The Services that lead to a workload, pinned to the pods of one template and let go again.

A Service keeps its own selector in an annotation while it is pinned: `pod-template-hash` is added
to it, so that it leads to the pods of one ReplicaSet, whatever else carries its labels.
"""

import json
from collections.abc import Mapping, Sequence

from resources.clouds.kubernetes.complaints import Object
from resources.clouds.kubernetes.hands import SELECTOR, SIDE, Hands, annotations_of
from resources.clouds.kubernetes.owned import TEMPLATE_HASH, pods_of
from resources.clouds.kubernetes.templates import template_of

Selector = Mapping[str, str]


def leading_to(hands: Hands, workload: Object) -> list[Object]:
    """The Services that select a workload's pods by their own selectors, pinned or not."""
    labels = template_of(workload)["metadata"].get("labels") or {}
    return [item for item in _all(hands) if _selects(own_selector(item), labels)]


def leading_now(hands: Hands, labels: Mapping[str, str]) -> list[Object]:
    """The Services that select a pod with these labels as they are at this moment."""
    return [
        item
        for item in _all(hands)
        if (selector := selector_of(item)) and selector.items() <= labels.items()
    ]


def pinned_for(hands: Hands, side: str) -> list[Object]:
    """The Services that are pinned because of a new side."""
    return [item for item in _all(hands) if annotations_of(item).get(SIDE) == side]


def own_selector(service: Object) -> Selector:
    """The selector a Service has when nobody pins it; empty if it selects nothing."""
    kept = annotations_of(service).get(SELECTOR)
    if kept is None:
        return selector_of(service)
    own: Selector = json.loads(kept)
    return own


def selector_of(service: Object) -> Selector:
    """The selector a Service has now."""
    return service["spec"].get("selector") or {}


def pinned_to(service: Object) -> str | None:
    """The template hash a Service is pinned to; None if it is not."""
    return selector_of(service).get(TEMPLATE_HASH)


def is_pinned_by_others(service: Object) -> bool:
    """Whether something else than a new side of ours pins a Service."""
    return SIDE not in annotations_of(service) and pinned_to(service) is not None


def is_intact(service: Object) -> bool:
    """Whether a pinned Service still has its own selector, but for the pin."""
    now = {key: value for key, value in selector_of(service).items() if key != TEMPLATE_HASH}
    return now == own_selector(service)


def pin(hands: Hands, service: Object, side: str, template_hash: str) -> None:
    """Lead a Service to the pods of one template, by one patch."""
    own = own_selector(service)
    marks = {SIDE: side, SELECTOR: json.dumps(own, sort_keys=True)}
    selector = {**own, TEMPLATE_HASH: template_hash}
    hands.put(path_of(service), service, marks, spec__selector=selector)


def unpin(hands: Hands, service: Object) -> None:
    """Give a Service its own selector back, and take our marks away."""
    own = own_selector(service)
    hands.put(path_of(service), service, {SIDE: None, SELECTOR: None}, spec__selector=own)


def led_to(hands: Hands, service: Object) -> set[str]:
    """The names of the pods a Service leads to now, as its EndpointSlices say."""
    label = f"kubernetes.io/service-name={name_of(service)}"
    slices = hands.calls.labelled("endpointslices", label)
    ends = (end for item in slices for end in item.get("endpoints") or ())
    return {
        str((end.get("targetRef") or {}).get("name"))
        for end in ends
        # Not said means ready, as everybody who routes by it takes it.
        if (end.get("conditions") or {}).get("ready") is not False
    }


def others_behind(hands: Hands, service: Object, workload: Object) -> Sequence[str]:
    """The pods a Service leads to that are not the workload's."""
    own = own_selector(service)
    found = hands.calls.labelled("pods", ",".join(f"{k}={v}" for k, v in own.items()))
    mine = {pod["metadata"]["uid"] for pod in pods_of(hands, workload)}
    return sorted(p["metadata"]["name"] for p in found if p["metadata"]["uid"] not in mine)


def name_of(service: Object) -> str:
    """A Service's name."""
    return str(service["metadata"]["name"])


def path_of(service: Object) -> str:
    """Where a Service is."""
    return f"services/{name_of(service)}"


def _all(hands: Hands) -> list[Object]:
    found = hands.calls.labelled("services", "")
    return sorted(found, key=name_of)


def _selects(selector: Selector, labels: Mapping[str, str]) -> bool:
    # Pinned by somebody else, it leads to these pods as well: whoever pins has to know of it.
    own = {key: value for key, value in selector.items() if key != TEMPLATE_HASH}
    return bool(own) and own.items() <= labels.items()
