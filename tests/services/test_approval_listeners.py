"""Who hears of requests for approval, once each, and whom nobody can make us write to."""

from dataclasses import replace
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.messages import Message
from qlrf_pipelines.domain.patching import (
    Notification,
    PatchPolicy,
    PatchSelector,
    PatchSource,
    SourceType,
    Strategy,
    StrategyType,
)
from sensors.notifications import Cursor
from tests.fakes.approvals import ACME, BETA
from tests.services.gated import PLAN, Gate, subscriber

ASKED = ("approval_requested", "approval_reminder", "approval_expired")


def policy(*heard: Notification) -> PatchPolicy:
    return PatchPolicy(
        name="critical-security",
        tenant=None,
        description="",
        selector=PatchSelector(),
        source=PatchSource(type=SourceType.OS_VENDOR),
        strategy=Strategy(type=StrategyType.IMMEDIATE),
        notifications=heard,
    )


def naming(*targets: str, events: tuple[str, ...] = ASKED) -> dict[str, Any]:
    heard = [
        {"channel": "slack", "target": one, "events": list(events), "progress_every_seconds": 900}
        for one in targets
    ]
    return PLAN | {"notifications": heard}


def test_a_tenant_hears_of_its_own_and_of_nothing_else() -> None:
    gate = Gate(tenants=(ACME, BETA))
    gate.ask(tenant=BETA)

    assert gate.told() == []
    assert gate.notes(BETA) == []


def test_a_policy_s_listeners_hear_of_the_approval_of_its_plans() -> None:
    mine = subscriber("#security", ASKED)
    gate = Gate(subscriber("#nobody", ("drill_due",)), patches=(policy(mine),))
    gate.ask(naming("#security"))

    (message,) = gate.told()

    assert message.event.value == "approval_requested"
    assert [target for _, _, target in gate.notifier.taken] == ["#security"]


def test_an_unapproved_document_does_not_choose_whom_to_write_to() -> None:
    mine = subscriber("#security", ("approval_requested", "failed"))
    gate = Gate(subscriber("#nobody", ("drill_due",)), patches=(policy(mine),))
    gate.ask(naming("#elsewhere", "mallory@example.com"))
    gate.ask({"notifications": naming("#security")["notifications"]}, key="no policy")

    assert gate.told() == []


def test_one_place_that_tenant_and_policy_name_hears_it_once() -> None:
    both = subscriber("#security", ASKED)
    gate = Gate(both, patches=(policy(both),))
    gate.ask(naming("#security"))

    assert len(gate.told()) == 1


def test_an_estate_that_cannot_be_read_delays_a_request_and_does_not_lose_it() -> None:
    gate = Gate()
    gate.ask()
    gate.estate.error = Unavailable("tenants/acme.yaml cannot be read")
    came = gate.tick()
    assert any("tenants/acme.yaml" in line for line in came.said)

    gate.estate.error = None

    assert [message.event.value for message in gate.told()] == ["approval_requested"]


def test_killed_between_queue_and_send_a_request_is_sent_once() -> None:
    gate = Gate()
    gate.ask()
    whole = gate.world

    class Killed(BaseException):
        pass

    def die(message: Message, target: str) -> None:
        raise Killed

    gate.notifier.refuse = die
    with pytest.raises(Killed):
        gate.tick()  # queued; the cursor died with the process
    gate.notifier.refuse = lambda message, target: None
    gate.cursor, gate.world = Cursor(), replace(whole)
    gate.tick()
    gate.cursor = Cursor()
    gate.tick()

    assert gate.notifier.events == ["approval_requested"]
    assert len(gate.notes()) == 1


def test_who_subscribes_to_nothing_like_it_is_not_even_looked_up() -> None:
    gate = Gate(subscriber(events=("drill_held",)))
    task = gate.ask()

    def get(*_: object) -> None:
        raise AssertionError("nobody asked for it")

    gate.world.tasks.get = get  # type: ignore[assignment,method-assign]
    gate.tick()

    assert gate.cursor.seen == {"acme": task.seq}
