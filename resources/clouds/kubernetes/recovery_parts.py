"""Workloads, policies and Services as a drill changes them: each change carries its own way back.

What an object said before is written into its annotations by the very patch that changes it, so no
crash can lose it. The patch names the version that was read: what was changed since is read again.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qlrf_pipelines.domain.errors import Refused
from resources.clouds.kubernetes.calls import KubernetesCalls
from resources.clouds.kubernetes.complaints import Object
from resources.clouds.kubernetes.recovery_settings import ServiceSettings, Workload
from resources.recovery.steps import digest

PREFIX = "qlrf.io/"
DRILL, MEMBER, BEFORE, TEST = (PREFIX + word for word in ("drill", "member", "before", "test"))
_MARKS = (DRILL, MEMBER, BEFORE, TEST)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """Who changes something: a drill, for a member."""

    drill: str
    member: str


def marks(found: Object) -> Mapping[str, str]:
    """The annotations a drill has left on an object."""
    annotations = found["metadata"].get("annotations") or {}
    return {key: value for key, value in annotations.items() if key in _MARKS}


def owned(found: Object, owner: Owner) -> bool:
    """Whether an object carries the marks of this drill and member."""
    kept = marks(found)
    return kept.get(DRILL) == owner.drill and kept.get(MEMBER) == owner.member


def member_of(found: Object) -> str | None:
    """The member a drill has changed an object for."""
    return marks(found).get(MEMBER)


def _change(found: Object, annotations: Mapping[str, str | None], spec: object = None) -> Object:
    version = found["metadata"]["resourceVersion"]
    change: Object = {"metadata": {"resourceVersion": version, "annotations": dict(annotations)}}
    return change if spec is None else change | {"spec": spec}


def _unmarked() -> dict[str, str | None]:
    return dict.fromkeys(_MARKS)


class Workloads:
    """Deployments and StatefulSets of one namespace."""

    def __init__(self, calls: KubernetesCalls) -> None:
        self._calls = calls

    def read(self, workload: Workload) -> Object | None:
        """A workload as it is now."""
        return self._calls.read(workload.path)

    def needed(self, workload: Workload) -> Object:
        """A workload that must be there.

        Raises:
            Refused: it is not.
        """
        found = self.read(workload)
        if found is None:
            raise Refused(f"There is no {workload}; correct workloads or deploy it.")
        return found

    def scale(self, workload: Workload, replicas: int, owner: Owner, *, test: bool = False) -> bool:
        """Mark a workload and set its replicas; whether it was so already.

        Raises:
            Refused: another drill or member has changed it, or it is not there.
        """
        found = self.needed(workload)
        if owned(found, owner):
            # More than asked for is an autoscaler's doing; a fence is zero and nothing else.
            if wanted(found) == replicas or 0 < replicas < wanted(found):
                return True
            self._calls.patch(workload.path, _change(found, {}, {"replicas": replicas}))
            return False
        kept = marks(found)
        if kept:
            raise Refused(
                f"{workload} is changed by drill {kept.get(DRILL)} for member "
                f"{kept.get(MEMBER)}; end that one first."
            )
        annotations = {
            DRILL: owner.drill,
            MEMBER: owner.member,
            BEFORE: str(wanted(found)),
            TEST: str(test).lower(),
        }
        self._calls.patch(workload.path, _change(found, annotations, {"replicas": replicas}))
        return False

    def give_back(self, workload: Workload, owner: Owner, *, down: bool) -> bool:
        """Set a workload's replicas to what they were, up or down; whether it rests there."""
        found = self.read(workload)
        if found is None or not owned(found, owner):
            return True
        before, now = int(marks(found)[BEFORE]), wanted(found)
        if now > before if down else now < before:
            self._calls.patch(workload.path, _change(found, {}, {"replicas": before}))
            return False
        return settled(found)

    def unmark(self, workload: Workload, owner: Owner) -> bool:
        """Remove the drill's marks; whether there were none."""
        found = self.read(workload)
        if found is None or not owned(found, owner):
            return True
        self._calls.patch(workload.path, _change(found, _unmarked()))
        return False


def wanted(found: Object) -> int:
    """The replicas a workload is told to have; a spec without the field means one."""
    value = found["spec"].get("replicas")
    return 1 if value is None else int(value)


def settled(found: Object) -> bool:
    """Whether a workload has exactly the replicas it is told to have, all ready."""
    status = found.get("status") or {}
    if int(status.get("observedGeneration") or 0) < int(found["metadata"]["generation"]):
        return False
    replicas = wanted(found)
    return replicas == int(status.get("replicas") or 0) == int(status.get("readyReplicas") or 0)


class Fences:
    """Network policies that let pods of a test speak to each other and to nobody else."""

    def __init__(self, calls: KubernetesCalls) -> None:
        self._calls = calls

    def put(self, workload: Workload, selector: Object, owner: Owner) -> None:
        """Put a fence around a workload's pods.

        Raises:
            Refused: something else has its name.
        """
        name = f"qlrf-{digest(owner.drill, owner.member, workload.path, length=20)}"
        rule = [{"podSelector": selector}]
        item = {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {
                "name": name,
                "labels": {DRILL: _label(owner.drill), MEMBER: _label(owner.member)},
                "annotations": {DRILL: owner.drill, MEMBER: owner.member},
            },
            "spec": {
                "podSelector": selector,
                "policyTypes": ["Ingress", "Egress"],
                "ingress": [{"from": rule}],
                "egress": [{"to": rule}],
            },
        }
        if self._calls.create("networkpolicies", item):
            return
        found = self._calls.read(f"networkpolicies/{name}")
        if found is None or not owned(found, owner):
            raise Refused(f"NetworkPolicy {name} is not of this drill; remove it.")

    def named(self, owner: Owner) -> list[str]:
        """The fences of a drill."""
        found = self._calls.labelled("networkpolicies", f"{DRILL}={_label(owner.drill)}")
        return sorted(item["metadata"]["name"] for item in found if owned(item, owner))

    def remove(self, owner: Owner) -> bool:
        """Take the fences of a drill away; whether there were none."""
        names = self.named(owner)
        for name in names:
            self._calls.delete(f"networkpolicies/{name}")
        return not names


def _label(value: str) -> str:
    # A label's value is at most 63 of few characters; the annotation has the whole.
    return digest(value, length=32)


class SwitchedService:
    """The Service that clients use, whose spec says which side serves."""

    def __init__(self, calls: KubernetesCalls, settings: ServiceSettings) -> None:
        self._calls = calls
        self._settings = settings
        self.path = f"services/{settings.name}"

    def read(self) -> Object:
        """The Service as it is now.

        Raises:
            Refused: there is none.
        """
        found = self._calls.read(self.path)
        if found is None:
            raise Refused(f"There is no Service {self._settings.name}; correct service.name.")
        return found

    def switch(self, owner: Owner) -> bool:
        """Let it lead to the recovery side; whether it did already.

        Raises:
            Refused: another drill or member has switched it, or it is not there.
        """
        found, want = self.read(), self._settings.spec
        if not owned(found, owner) and marks(found):
            raise Refused(
                f"Service {self._settings.name} is switched by drill {marks(found).get(DRILL)}; "
                "end that one first."
            )
        now = {key: found["spec"].get(key) for key in want}
        if owned(found, owner):
            if now == want:
                return True
            self._calls.patch(self.path, _change(found, {}, _replaced(now, want)))
            return False
        annotations = {DRILL: owner.drill, MEMBER: owner.member, BEFORE: json.dumps(now)}
        self._calls.patch(self.path, _change(found, annotations, _replaced(now, want)))
        return False

    def give_back(self, owner: Owner) -> bool:
        """Let it lead where it led before; whether it does, or was never switched."""
        found = self.read()
        if not owned(found, owner):
            return True
        before = json.loads(marks(found)[BEFORE])
        now = {key: found["spec"].get(key) for key in before}
        self._calls.patch(self.path, _change(found, _unmarked(), _replaced(now, before)))
        return False

    def would_reach(self, labels: Mapping[str, str]) -> bool:
        """Whether clients would be led to pods with these labels, as the Service is now."""
        selector = self.read()["spec"].get("selector") or {}
        return bool(selector) and selector.items() <= labels.items()


def _replaced(now: Mapping[str, Any], want: Mapping[str, Any]) -> Object:
    """A merge patch that makes `now` exactly `want`: keys that are too many become null."""
    change: Object = {}
    for key, value in want.items():
        had = now.get(key)
        if isinstance(value, dict) and isinstance(had, dict):
            change[key] = {**dict.fromkeys(had), **value}
        else:
            change[key] = value
    return change
