"""The guide's Role permits what the executor asks for, and nothing else.

That it permits all of it is what every other test here shows: their executor has this Role alone.
"""

from dataclasses import replace

import pytest

from qlrf_pipelines.domain.operations import OperationKind, Status
from tests.fakes.kubelet import fake_kubelet
from tests.fakes.kubernetes_change import Change
from tests.fakes.kubernetes_fleet import (
    BAD,
    NEW,
    Fleet,
    carry_out,
    operation,
    role_of_the_guide,
)

UPDATE, RESTORE = OperationKind.ROLLING_UPDATE, OperationKind.RESTORE


@pytest.mark.real
def test_the_role_of_the_guide_is_exactly_what_is_asked_for() -> None:
    fleet = Fleet()
    change = Change(fleet, fleet.deploy())
    fleet.service()
    change.done(change.start())
    change.done(change.switch())
    change.done(change.finalise())
    for kind in ("StatefulSet", "DaemonSet"):
        _there_and_back(fleet, kind)
    fake_kubelet().clear()
    script = {"type": "script", "target": "true"}
    fleet.operator().advance(operation(OperationKind.HOOK, change.target, parameters=script))

    permitted = {
        (group, kind, verb)
        for rule in role_of_the_guide()["rules"]
        for group in rule["apiGroups"]
        for kind in rule["resources"]
        for verb in rule["verbs"]
    }
    assert {(one.group, one.kind, one.verb) for one in fleet.watch.asked} == permitted


def _there_and_back(fleet: Fleet, kind: str) -> None:
    """An update that fails, and its way back past a pod that cannot get ready."""
    target = fleet.deploy(f"a-{kind.lower()}", kind=kind)
    before = fleet.operator().capture(target)
    wanted = operation(UPDATE, target, image=BAD, before=before)
    fleet.operator().advance(wanted)
    fleet.until(lambda: BAD in fleet.images_running())
    fleet.operator().advance(replace(wanted, begun=True))
    fleet.later(minutes=10)
    back = carry_out(fleet, operation(RESTORE, target, number=2, image=NEW, before=before))
    assert back.status is Status.SUCCEEDED, back.detail
