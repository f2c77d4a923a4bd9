"""Tenants who subscribe, tasks people decide about, and the sensors that remind and tell."""

from dataclasses import replace
from typing import Any

from qlrf_pipelines.domain.approval import DecisionKind
from qlrf_pipelines.domain.channels import Channel, Place
from qlrf_pipelines.domain.estate import Estate, Tenant, TenantId
from qlrf_pipelines.domain.messages import OF_TENANTS, Message
from qlrf_pipelines.domain.notifications import Note
from qlrf_pipelines.domain.patching import Notification, PatchPolicy
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import Record, Task
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import approvals
from qlrf_pipelines.services.approvals import submit_task
from qlrf_pipelines.services.claims import Sweep, sweep
from sensors.notifications import Cursor, Told, tell
from tests.fakes.approvals import ACME, need
from tests.fakes.clock import FakeClock
from tests.fakes.estate import FakeEstate
from tests.fakes.notifier import FakeNotifier
from tests.fakes.world import fake_world

EVERYTHING = tuple(event.value for event in OF_TENANTS)
SLACK = Place(channel=Channel.SLACK, credentials={"url": "env:HOOK"})
PLAN = {
    "environment": "production",
    "policy": "critical-security",
    "risk": {"level": "high", "score": 61.5},
    "total_assets": 12,
}


def subscriber(target: str = "#approvals", events: tuple[str, ...] = EVERYTHING) -> Notification:
    return Notification(channel="slack", target=target, events=events)


class Gate:
    """A world in which people are asked, and everybody who subscribes is told."""

    def __init__(
        self,
        *heard: Notification,
        tenants: tuple[TenantId, ...] = (ACME,),
        patches: tuple[PatchPolicy, ...] = (),
        **parts: Any,
    ) -> None:
        self.clock, self.notifier = FakeClock(), FakeNotifier()
        subscriptions = heard or (subscriber(),)
        declared = [
            Tenant(name=name, display_name=name, notifications=(SLACK,)) for name in tenants
        ]
        declared[0] = replace(declared[0], subscriptions=subscriptions)
        self.estate = FakeEstate(Estate(tenants=tuple(declared), patches=patches))
        given = {"clock": self.clock, "notifier": self.notifier, "estate": self.estate}
        self.world: World = fake_world(**(given | parts))
        self.cursor = Cursor()

    def ask(
        self, content: dict[str, Any] | None = None, *, tenant: TenantId = ACME, **parts: Any
    ) -> Task:
        given: dict[str, Any] = {
            "kind": "restart",
            "title": "Restart the web tier",
            "requested_by": "rita",
            "requirement": need(),
        }
        document = {"restart": ["i-1", "i-2"]} if content is None else content
        return submit_task(self.world, tenant, document=document, **(given | parts))

    def decide(self, task: Task, kind: str, by: str = "ann", **parts: Any) -> Record:
        given: dict[str, Any] = {"role": Role.ENGINEER, "reason": "because it is so"}
        return approvals.decide(
            self.world,
            task.tenant,
            task.id,
            kind=DecisionKind(kind),
            digest=self.world.tasks.get(task.tenant, task.id).task.digest,
            by=by,
            **(given | parts),
        )

    def sweep(self) -> Sweep:
        """What the clock asks for, as the sensor `expiry_sweep` does it."""
        return sweep(self.world, self.world.tasks.tenants())

    def tick(self) -> Told:
        came = tell(self.world, self.cursor)
        self.cursor = Cursor.read(came.cursor.text())
        return came

    def told(self) -> list[Message]:
        """What was sent since this was asked last, after another tick."""
        before = len(self.notifier.taken)
        self.tick()
        return [message for message, _, _ in self.notifier.taken[before:]]

    def notes(self, tenant: TenantId = ACME) -> list[Note]:
        return list(self.world.outbox.list(tenant))[::-1]
