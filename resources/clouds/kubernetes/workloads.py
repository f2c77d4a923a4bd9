"""Workloads as assets: what a Deployment, a StatefulSet or a DaemonSet says of itself.

The asset is the workload and not its pods: pods come and go, and only the workload can be changed.
What its answer leaves out is unknown; a count that the controller left out of a status it has
written is zero, because that is how the API writes zero.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from qlrf_pipelines.domain.vocabulary import AssetState
from resources.clouds.kubernetes.asking import DEFAULT_CONTAINER
from resources.clouds.kubernetes.complaints import Object

# kind, as an asset's id begins -> where its list is, and the kind of that
LISTS = {
    "deployment": ("deployments", "DeploymentList"),
    "statefulset": ("statefulsets", "StatefulSetList"),
    "daemonset": ("daemonsets", "DaemonSetList"),
}
# Labels cannot hold a colon, so what the platform says of itself cannot be taken for a label.
CONTAINER, OWNER, IMAGE = "kubernetes:container", "kubernetes:owner", "kubernetes:image/"
_OURS = "qlrf/"  # a label `qlrf/criticality` is the tag `qlrf:criticality`
_NAMESPACE_NAME = "kubernetes.io/metadata.name"


def main_container(template: Object) -> Object:
    """The container of a pod template that is the workload: the one kubectl would choose.

    That is the one the annotation names, if it is there, else the first.

    Raises:
        KeyError, TypeError: it is no pod template.
    """
    containers: list[Object] = template["spec"]["containers"]
    wanted = _texts((template.get("metadata") or {}).get("annotations")).get(DEFAULT_CONTAINER)
    return next((c for c in containers if c["name"] == wanted), containers[0])


def workload_row(kind: str, item: Object, *, inherited: Mapping[str, str]) -> dict[str, Any]:
    """What inventory keeps of a workload; `inherited` are the labels of its namespace.

    Raises:
        KeyError, TypeError, IndexError: it is no workload.
    """
    metadata, template = item["metadata"], item["spec"]["template"]
    main = main_container(template)
    tags = {**_labels(inherited), **_labels(_texts(metadata.get("labels")))}
    tags |= _said(metadata, template, main)
    return {
        "asset_id": f"{kind}/{metadata['name']}",
        "image_ref": main.get("image") or None,
        "instance_type": kind,
        "state": _state(kind, item),
        "launched_at": None,  # its pods' matter: it says when it was declared, not when they began
        "tags": sorted(tags.items()),
        "volume_ids": None,
        "group_ids": None,
        "imds_v2": None,
        "public_ip": None,
        "monitoring": None,
    }


def _state(kind: str, item: Object) -> str | None:
    """What it is doing, as its controller last wrote it; None if it never wrote anything."""
    status = item.get("status") or {}
    if status.get("observedGeneration") is None:
        return None
    if kind == "daemonset":
        wanted, there = status.get("desiredNumberScheduled", 0), status.get("numberReady", 0)
        running = status.get("currentNumberScheduled", 0)
    else:
        wanted, there = item["spec"].get("replicas", 1), status.get("readyReplicas", 0)
        running = status.get("replicas", 0)
    if there > 0:
        return AssetState.RUNNING.value
    # Scaled to nothing, it is stopped once its last pod is gone.
    return AssetState.STOPPED.value if wanted == running == 0 else AssetState.PENDING.value


def _labels(given: Mapping[str, str]) -> dict[str, str]:
    return {
        key.replace("/", ":", 1) if key.startswith(_OURS) else key: value
        for key, value in given.items()
        if key != _NAMESPACE_NAME
    }


def _said(metadata: Object, template: Object, main: Object) -> dict[str, str]:
    """Which container is judged, the images of all others, and who else manages the workload."""
    spec = template["spec"]
    others: Iterable[Object] = [*(spec.get("initContainers") or ()), *spec["containers"]]
    found = {CONTAINER: str(main["name"])}
    found |= {
        f"{IMAGE}{other['name']}": str(other.get("image") or "")
        for other in others
        if other is not main
    }
    for owner in metadata.get("ownerReferences") or ():
        if owner.get("controller"):
            found[OWNER] = f"{owner['kind']}/{owner['name']}"
    return found


def _texts(given: object) -> dict[str, str]:
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise TypeError("labels or annotations that are no mapping")
    return {str(key): str(value) for key, value in given.items()}
