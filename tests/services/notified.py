"""Tenants with listeners, a ledger to write into, and the sensor that tells of it."""

from dataclasses import replace
from typing import Any

from qlrf_pipelines.domain.channels import Channel, Place
from qlrf_pipelines.domain.estate import Estate, Tenant, TenantId
from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.domain.notifications import Note
from sensors.notifications import Cursor, Told, tell
from tests.fakes.approvals import ACME, begun, first
from tests.fakes.clock import FakeClock
from tests.fakes.estate import FakeEstate
from tests.fakes.ledger import FakeLedger
from tests.fakes.notifier import FakeNotifier
from tests.fakes.outbox import FakeOutbox
from tests.fakes.tasks import FakeTasks
from tests.fakes.world import fake_world
from tests.services.rollout_house import Hands, House, phase, plan

EVENTS = ["started", "progress", "paused", "completed", "failed", "rollback"]
SLACK = Place(channel=Channel.SLACK, credentials={"url": "env:HOOK"})


def listener(target: str = "#ops", **parts: Any) -> dict[str, Any]:
    given = {"channel": "slack", "events": EVENTS, "progress_every_seconds": 900}
    return given | {"target": target} | parts


class Desk:
    """Tenants whose task t-1 has listeners, a ledger to write into, and one sensor's cursor."""

    def __init__(self, *heard: dict[str, Any], tenants: tuple[TenantId, ...] = (ACME,)) -> None:
        self.clock, self.notifier, self.ledger = FakeClock(), FakeNotifier(), FakeLedger()
        self.tasks = FakeTasks(self.ledger)
        self.outbox = FakeOutbox(self.ledger)
        self.estate = FakeEstate(
            Estate(
                tenants=tuple(
                    Tenant(name=name, display_name=name, notifications=(SLACK,)) for name in tenants
                )
            )
        )
        content = {"environment": "staging", "notifications": list(heard or [listener()])}
        for name in tenants:
            self.tasks.submit(name, first(tenant=name, content=content))
        self.world = fake_world(
            clock=self.clock,
            notifier=self.notifier,
            ledger=self.ledger,
            tasks=self.tasks,
            outbox=self.outbox,
            estate=self.estate,
        )
        for name in tenants:  # claimed: something of it is running
            begun(self.tasks, name)
        self.cursor = Cursor()

    def happens(self, step: str, *, tenant: TenantId = ACME, **content: Any) -> None:
        kind = f"rollout_{step}"
        now = self.clock.now()
        fact = NewEntry(kind=kind, subject="t-1", recorded_at=now, content=content)
        self.ledger.append({tenant: [fact]})

    def tick(self, **parts: Any) -> Told:
        came = tell(self.world, self.cursor, **parts)
        self.cursor = Cursor.read(came.cursor.text())
        return came

    def notes(self, tenant: TenantId = ACME) -> list[Note]:
        return list(self.outbox.kept.get(tenant, {}).values())

    def lost(self, tenant: TenantId = ACME) -> list[dict[str, Any]]:
        kept = self.ledger.kept[tenant]
        return [dict(entry.content) for entry in kept if entry.kind == "notification_lost"]


def listening_house(*names: str) -> House:
    """A house whose plan changes these machines one by one, and has a listener."""
    document = plan(phase("wave-1", [[name] for name in names]), notifications=[listener()])
    house = House(document, Hands(list(names)))
    (tenant,) = house.world.estate.load().tenants
    listened = replace(tenant, notifications=(SLACK,))
    house.world.estate.estate = Estate(tenants=(listened,))  # type: ignore[attr-defined]
    return house
