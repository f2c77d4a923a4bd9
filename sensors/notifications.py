"""From evidence to messages: what rollouts wrote is told to whom their policies name."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import dagster as dg

from qlrf_pipelines.domain.channels import Place
from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.notifications import (
    Places,
    at_rest,
    deliver,
    queue_news,
    queue_progress,
)
from sensors.approvals import in_turn

SECONDS = 10
PER_TENANT = 20
# A tick begins nothing more after this long: the next one goes on with the tenant whose turn it is.
BUDGET = timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far each tenant's ledger was read, who is at rest since which step, and whose turn it is.

    A tenant at rest is not looked at until its tasks take another step.
    """

    seen: Mapping[str, int] = field(default_factory=dict)
    rest: Mapping[str, int] = field(default_factory=dict)
    turn: str = ""

    @classmethod
    def read(cls, text: str | None) -> "Cursor":
        """From what a sensor keeps; none at all means from the beginning."""
        return cls(**json.loads(text)) if text else cls()

    def text(self) -> str:
        """As a sensor keeps it."""
        kept = {"seen": dict(self.seen), "rest": dict(self.rest), "turn": self.turn}
        return json.dumps(kept, sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What came of one tick."""

    cursor: Cursor
    sent: int = 0
    lost: int = 0
    said: tuple[str, ...] = ()


def tell(world: World, cursor: Cursor, *, budget: timedelta = BUDGET) -> Told:
    """Look at the tenants in turn; one tenant's trouble is said and stops no other one."""
    newest = world.tasks.tenants()
    stop_at = world.clock.now() + budget
    seen = {name: seq for name, seq in cursor.seen.items() if name in newest}
    rest = {name: seq for name, seq in cursor.rest.items() if name in newest}
    places = _places(world)
    sent = lost = 0
    said: list[str] = []
    turn = ""
    awake = [name for name, seq in newest.items() if rest.get(name) != seq]
    for number, name in enumerate(in_turn(awake, cursor.turn)):
        if number and world.clock.now() >= stop_at:
            turn = name
            break
        tenant = TenantId(name)
        rest.pop(name, None)
        try:
            news = queue_news(world, tenant, after=seen.get(name, 0))
            seen[name] = news.seq
            queue_progress(world, tenant)
            came = deliver(world, tenant, places, limit=PER_TENANT, stop_at=stop_at)
            # The number was read before everything else: a later step wakes the tenant again.
            if not news.more and at_rest(world, tenant):
                rest[name] = newest[tenant]
        except QlrfError as error:
            said.append(f"Tenant {name} is looked at again later: {error}")
            continue
        sent, lost = sent + came.sent, lost + len(came.lost)
        said += [f"Given up: {one}" for one in came.lost]
        said += [f"Tried again later: {one}" for one in came.failed]
    return Told(
        cursor=Cursor(seen=seen, rest=rest, turn=turn), sent=sent, lost=lost, said=tuple(said)
    )


def _places(world: World) -> Places:
    """Each tenant's places; the estate is read once, and only if there is something to send."""
    found: dict[TenantId, Sequence[Place]] = {}

    def of(tenant: TenantId) -> Sequence[Place]:
        if not found:
            found.update({one.name: one.notifications for one in world.estate.load().tenants})
        return found.get(tenant, ())

    return of


@dg.sensor(
    name="notifications",
    minimum_interval_seconds=SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells people and systems how rollouts go, as their policies ask for.",
)
def notifications(
    context: dg.SensorEvaluationContext, world: dg.ResourceParam[World]
) -> dg.SkipReason:
    """Queue what is new, send what is due; a rollout never waits for it."""
    came = tell(world, Cursor.read(context.cursor))
    for line in came.said:
        context.log.warning(line)
    context.update_cursor(came.cursor.text())
    return dg.SkipReason(f"{came.sent} messages sent, {came.lost} given up.")
