"""From evidence to messages: what happened is told to whom policies and tenants name."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

import dagster as dg

from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.domain.estate import Estate, TenantId
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.news import Estates, Read, queue_news, written_to
from qlrf_pipelines.services.news_spans import queue_progress, queue_reviews
from qlrf_pipelines.services.notifications import at_rest, deliver
from sensors.approvals import in_turn

SECONDS = 9  # see approvals: the daemon looks every five seconds
PER_TENANT = 20
PAGES = 20
# A tick begins nothing more after this long: the next one goes on with the tenant whose turn it is.
BUDGET = timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """How far each tenant's ledger was read, who is at rest since which step, and whose turn it is.

    A tenant at rest is not looked at until its tasks or drills take another step.
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
    estate = _once(world.estate.load)
    newest = _newest(world, estate)
    stop_at = world.clock.now() + budget
    seen = {name: seq for name, seq in cursor.seen.items() if name in newest}
    rest = {name: seq for name, seq in cursor.rest.items() if name in newest}
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
            news = _read_on(world, tenant, estate, after=seen.get(name, 0), stop_at=stop_at)
            seen[name] = news.seq
            queue_progress(world, tenant)
            queue_reviews(world, tenant, estate)
            came = deliver(world, tenant, estate, limit=PER_TENANT, stop_at=stop_at)
            # The number was read before everything else: a later step wakes the tenant again.
            if not news.more and at_rest(world, tenant):
                rest[name] = newest[tenant]
        except QlrfError as error:
            said.append(f"Tenant {name} is looked at again later: {error}")
            continue
        sent, lost = sent + came.sent, lost + len(came.lost)
        said += [f"Given up: {one}" for one in came.lost]
        said += [f"Tried again later: {one}" for one in came.failed]
        said += [f"Not sent: {one}" for one in came.obsolete]
    return Told(
        cursor=Cursor(seen=seen, rest=rest, turn=turn), sent=sent, lost=lost, said=tuple(said)
    )


def _read_on(
    world: World, tenant: TenantId, estate: Estates, *, after: int, stop_at: datetime
) -> Read:
    """Read to the end, or far: a week of other evidence may lie before a request for approval."""
    read = queue_news(world, tenant, estate, after=after)
    for _ in range(PAGES - 1):
        if not read.more or world.clock.now() >= stop_at:
            break
        read = queue_news(world, tenant, estate, after=read.seq)
    return read


def _once(load: Estates) -> Estates:
    """The estate, read once, also if it cannot be: a large one takes seconds to be refused."""
    found: list[Estate | QlrfError] = []

    def look() -> Estate:
        if not found:
            try:
                found.append(load())
            except QlrfError as error:
                found.append(error)
        if isinstance(found[0], QlrfError):
            raise found[0]
        return found[0]

    return look


def _newest(world: World, estate: Estates) -> Mapping[TenantId, int]:
    """Every tenant of whom something can be told; no alarm is written without an estate."""
    try:
        declared = estate()
    except QlrfError:
        declared = Estate()
    return written_to(world, declared)


@dg.sensor(
    name="notifications",
    minimum_interval_seconds=SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Tells people and systems of rollouts, approvals and drills, as contracts ask for.",
)
def notifications(
    context: dg.SensorEvaluationContext, world: dg.ResourceParam[World]
) -> dg.SkipReason:
    """Queue what is new, send what is due; nothing ever waits for it."""
    came = tell(world, Cursor.read(context.cursor))
    for line in came.said:
        context.log.warning(line)
    context.update_cursor(came.cursor.text())
    return dg.SkipReason(f"{came.sent} messages sent, {came.lost} given up.")
