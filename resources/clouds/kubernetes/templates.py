"""Pod templates: which images they run, and the same template with another image."""

import copy
import json
from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.container_images import parse_reference
from qlrf_pipelines.domain.errors import Rejected
from resources.clouds.kubernetes.complaints import Object
from resources.recovery.steps import digest

Template = dict[str, Any]


def template_of(found: Object) -> Template:
    """A workload's pod template."""
    template: Template = found["spec"]["template"]
    return template


def images_of(template: Template) -> dict[str, str]:
    """The image of every container, init containers too, by its name."""
    spec = template["spec"]
    containers = [*(spec.get("initContainers") or ()), *spec["containers"]]
    return {item["name"]: item["image"] for item in containers}


def images_text(template: Template) -> str:
    """The same, as it is noted on an object."""
    return json.dumps(images_of(template), sort_keys=True)


def repository_of(image: str) -> str:
    """What an image is called without its tag and digest, as far as it can be read."""
    found = parse_reference(image)
    return image if found is None else found.repository


def containers_of(template: Template) -> dict[str, str]:
    """The image of every container but the init containers, by its name."""
    return {item["name"]: item["image"] for item in template["spec"]["containers"]}


def container_for(containers: Mapping[str, str], image: str) -> str:
    """The container an image is meant for: the one that runs the same repository.

    Raises:
        Rejected: none does, or several do.
    """
    wanted = repository_of(image)
    fitting = [name for name, runs in containers.items() if repository_of(runs) == wanted]
    if len(fitting) == 1:
        return fitting[0]
    there = ", ".join(f"{name} ({runs})" for name, runs in containers.items())
    if fitting:
        raise Rejected(f"Several containers run {wanted}: {', '.join(fitting)}. They are {there}.")
    raise Rejected(f"No container runs {wanted}, so none can get {image}. They are {there}.")


def with_images(template: Template, images: Mapping[str, str]) -> Template:
    """A template with these images, by the containers' names."""
    changed = copy.deepcopy(template)
    spec = changed["spec"]
    for item in [*(spec.get("initContainers") or ()), *spec["containers"]]:
        item["image"] = images.get(item["name"], item["image"])
    return changed


def template_digest(template: Template) -> str:
    """A template in short: the whole of it may hold secrets, which are stored nowhere."""
    return digest(json.dumps(template, sort_keys=True))


def annotation_of(template: Template, name: str) -> str | None:
    """An annotation of a template's pods."""
    found: Mapping[str, str] = (template.get("metadata") or {}).get("annotations") or {}
    return found.get(name)


def annotated(template: Template, name: str, value: str | None) -> Template:
    """A template whose pods carry an annotation; with None, carry it no more."""
    return _marked(template, "annotations", {name: value})


def labelled(template: Template, name: str, value: str) -> Template:
    """A template whose pods carry a label."""
    return _marked(template, "labels", {name: value})


def _marked(template: Template, where: str, more: Mapping[str, str | None]) -> Template:
    metadata = dict(template.get("metadata") or {})
    marks = {**(metadata.pop(where, None) or {}), **more}
    kept = {name: value for name, value in marks.items() if value is not None}
    return {**template, "metadata": {**metadata, **({where: kept} if kept else {})}}
