"""The hands in one namespace, and the marks the executor leaves on what it changes.

A mark is written by the very patch that changes something, and every patch names the version that
was read: a patch nobody heard the answer of is found out by looking, and is never made twice.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from qlrf_pipelines.domain.errors import NotFound, Rejected
from qlrf_pipelines.domain.operations import FIRST_TRY, Operation, Target
from qlrf_pipelines.ports.clock import Clock
from resources.clouds.kubernetes.complaints import Object
from resources.clouds.kubernetes.recovery_settings import Workload
from resources.recovery.steps import digest

if TYPE_CHECKING:
    from resources.clouds.kubernetes.calls import KubernetesCalls

_PREFIX = "qlrf.io/"
# On a workload: who changed it last and by which first try, the images it was left with, and when
# its rollout had made its last progress before that.
OPERATION, FIRST, IMAGES, SEEN = (
    _PREFIX + word for word in ("operation", "first-try", "images", "progress-seen")
)
# On a workload a new side stands beside, on that side, and on the Services: which side, the
# template hash of the old one, what it stands beside, and a Service's own selector.
SIDE, HASH, BESIDE, SELECTOR = (
    _PREFIX + word for word in ("side", "old-hash", "beside", "selector")
)
# On a workload: a hook that was asked for. On its pods: the operation that restarted them.
CLAIM, RESTARTED = _PREFIX + "claim", _PREFIX + "restarted"
OURS = (OPERATION, FIRST, IMAGES, SEEN, SIDE, HASH, BESIDE, SELECTOR, CLAIM)
KINDS = {"deployment": "Deployment", "statefulset": "StatefulSet", "daemonset": "DaemonSet"}
_NAME_LENGTH, _SIDE_LENGTH = 63, 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Hands:
    """One namespace as one identity may change it."""

    calls: "KubernetesCalls"
    clock: Clock

    def found(self, workload: Workload) -> Object:
        """A workload as it is now.

        Raises:
            NotFound: there is none.
        """
        found = self.calls.read(workload.path)
        if found is None:
            raise NotFound(f"There is no {workload}; it was deleted, or lives elsewhere.")
        return found

    def put(
        self, path: str, found: Object, marks: Mapping[str, str | None], **parts: object
    ) -> None:
        """Put parts and marks into an object as it was found; a mark of None is taken away.

        A part is named by its path with two underscores between its members.
        """
        pointers = {f"/{name.replace('__', '/')}": value for name, value in parts.items()}
        annotations: dict[str, str | None] = {**annotations_of(found), **marks}
        pointers["/metadata/annotations"] = {k: v for k, v in annotations.items() if v is not None}
        self.calls.put(path, str(found["metadata"]["resourceVersion"]), pointers)


def workload_of(target: Target) -> Workload:
    """The workload a target is.

    Raises:
        Rejected: its id names none.
    """
    kind, _, name = target.id.partition("/")
    if kind not in KINDS or not name or "/" in name:
        ids = ", ".join(f"{one}/<name>" for one in KINDS)
        raise Rejected(f"{target.key} is no workload: ids are {ids}.")
    return Workload(kind=KINDS[kind], name=name)


def id_of(workload: Workload) -> str:
    """A workload's id, as the inventory stores it."""
    return f"{workload.kind.lower()}/{workload.name}"


def first_try(operation: Operation) -> str:
    """The token of an operation's first try; its own if this is the first."""
    return operation.parameters.get(FIRST_TRY) or operation.token


def side_of(operation: Operation) -> str:
    """What a new side is called, the same at every try."""
    return digest(first_try(operation), length=_SIDE_LENGTH)


def beside(workload: Workload, side: str) -> Workload:
    """The workload that is a side beside another one."""
    stem = workload.name[: _NAME_LENGTH - _SIDE_LENGTH - 1].rstrip("-.")
    return Workload(kind=workload.kind, name=f"{stem}-{side}")


def annotations_of(found: Object) -> Mapping[str, str]:
    """An object's annotations."""
    return found["metadata"].get("annotations") or {}


def labels_of(found: Object) -> Mapping[str, str]:
    """An object's labels."""
    return found["metadata"].get("labels") or {}


def owner_of(found: Object) -> Object | None:
    """The reference to what controls an object; None if nothing does."""
    references = found["metadata"].get("ownerReferences") or ()
    return next((item for item in references if item.get("controller")), None)
