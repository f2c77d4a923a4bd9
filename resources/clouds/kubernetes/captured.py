"""A workload as it is, as JSON: its images, its numbers, and the Services leading to it.

Of its pod template only a digest is kept, because its environment may hold secrets. What the
executor changes in one are images and one annotation; these are what is put back.
"""

from collections.abc import Mapping
from typing import Any

from resources.clouds.kubernetes.complaints import Object
from resources.clouds.kubernetes.hands import (
    OPERATION,
    RESTARTED,
    Hands,
    annotations_of,
    owner_of,
)
from resources.clouds.kubernetes.recovery_parts import wanted
from resources.clouds.kubernetes.recovery_settings import Workload
from resources.clouds.kubernetes.services import leading_to, own_selector
from resources.clouds.kubernetes.templates import (
    Template,
    annotated,
    annotation_of,
    containers_of,
    images_of,
    template_digest,
    template_of,
    with_images,
)

Captured = Mapping[str, Any]


def capture_workload(hands: Hands, workload: Workload) -> Captured:
    """What restoring, and whoever looks at a rollout, needs to know of a workload.

    Raises:
        NotFound: there is none.
    """
    found = hands.found(workload)
    spec, owner, template = found["spec"], owner_of(found), template_of(found)
    return {
        "kind": workload.kind,
        "name": workload.name,
        "uid": found["metadata"]["uid"],
        "generation": found["metadata"]["generation"],
        "operation": annotations_of(found).get(OPERATION),
        "images": images_of(template),
        "containers": containers_of(template),
        "restarted": annotation_of(template, RESTARTED),
        "template": template_digest(template),
        "replicas": None if workload.kind == "DaemonSet" else wanted(found),
        "strategy": spec.get("strategy") or spec.get("updateStrategy") or {},
        "paused": bool(spec.get("paused")),
        "controller": owner and f"{owner['kind']} {owner['name']}",
        "services": [
            {"name": item["metadata"]["name"], "selector": own_selector(item)}
            for item in leading_to(hands, found)
        ],
    }


def is_untouched(found: Object, before: Captured) -> bool:
    """Whether a workload's pod template is exactly the one that was captured."""
    return bool(template_digest(template_of(found)) == before["template"])


def undone(template: Template, before: Captured) -> Template:
    """A template with the captured images, and without a restart that was not captured."""
    return annotated(with_images(template, before["images"]), RESTARTED, before["restarted"])


def is_same(found: Object, before: Captured) -> bool:
    """Whether a workload is still the one that was captured, however changed."""
    return bool(found["metadata"]["uid"] == before["uid"])
