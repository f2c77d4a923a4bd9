"""From drift, missing patches and the calendar to plans: each fresh snapshot is asked for once."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import dagster as dg

from qlrf_pipelines.domain.datasets import DRIFT, GOLDEN_IMAGES, INVENTORY
from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.domain.estate import Estate, Tenant
from qlrf_pipelines.domain.patching import PatchPolicy, Trigger
from qlrf_pipelines.domain.schedules import cron
from qlrf_pipelines.jobs.approval import TENANT_TAG
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.submission import ENVIRONMENT_TAG, JOB, POLICY_TAG
from qlrf_pipelines.services.triggers import (
    BY_ITSELF,
    Due,
    asked_for,
    due,
    in_the_way,
    open_requests,
)
from sensors.approvals import in_turn

TRIGGER_TAG = "qlrf/trigger"
TENANTS_PER_TICK = 25
RUNS_PER_TICK = 50
SECONDS = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """Which snapshot of each tenant was looked at, when each calendar last fired, whose turn it is.

    `fired` is by tenant and policy; a calendar seen for the first time fires from then on, never
    for the past. `waiting`, by the same, is the time of a calendar that met something in its way:
    it is looked at with every snapshot and hour until it was asked for, or the next time comes.
    """

    seen: Mapping[str, str] = field(default_factory=dict)
    fired: Mapping[str, str] = field(default_factory=dict)
    waiting: Mapping[str, str] = field(default_factory=dict)
    turn: str = ""

    @classmethod
    def read(cls, text: str | None) -> "Cursor":
        """From what a sensor keeps; none at all means from the beginning."""
        return cls(**json.loads(text)) if text else cls()

    def text(self) -> str:
        """As a sensor keeps it."""
        kept = {"seen": self.seen, "fired": self.fired, "waiting": self.waiting}
        named = {name: dict(marks) for name, marks in kept.items()}
        return json.dumps(named | {"turn": self.turn}, sort_keys=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """What came of looking at some tenants."""

    requests: tuple[dg.RunRequest, ...] = ()
    cursor: Cursor = field(default_factory=Cursor)
    said: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Wish:
    """What a policy wants planned: the run that would plan it, or why it must not ask now.

    `waits` if that is in its way, and not the very thing it would ask for.
    """

    policy: str
    request: dg.RunRequest | None
    why_not: str = ""
    waits: bool = False


def look_around(
    world: World,
    estate: Estate,
    cursor: Cursor,
    *,
    tenants: int = TENANTS_PER_TICK,
    runs: int = RUNS_PER_TICK,
) -> Look:
    """Look at the next tenants whose snapshot, hour or calendar is another one; at most so many.

    One tenant's trouble is told and stops no other one: it is looked at again on the next tick.
    """
    mine = {str(t.name): t for t in estate.tenants if _policies(estate, t)}
    requests: list[dg.RunRequest] = []
    said: list[str] = []
    seen = {name: mark for name, mark in cursor.seen.items() if name in mine}
    fired = dict(cursor.fired)
    waiting = {own: at for own, at in cursor.waiting.items() if own.partition("/")[0] in mine}
    looked = 0
    for name in in_turn(list(mine), cursor.turn):
        if looked == tenants or len(requests) >= runs:
            kept = Cursor(seen=seen, fired=fired, waiting=waiting, turn=name)
            return _look(requests, said, kept)
        tenant = mine[name]
        try:
            mark, calendar = _mark(world), _calendar(world, estate, tenant, fired)
            if seen.get(name) == mark and not calendar.due:
                fired |= calendar.fired
                continue
            looked += 1
            held = {} if seen.get(name) == mark else _held(estate, tenant, waiting)
            times = {**held, **calendar.due}
            wishes = list(_wishes(world, estate, tenant, times))
        except QlrfError as error:
            said.append(f"Tenant {name} is looked at again later: {error}")
            continue
        requests += [wish.request for wish in wishes if wish.request is not None]
        said += [wish.why_not for wish in wishes if wish.why_not]
        waiting = _still_waiting(waiting, tenant, times, wishes)
        seen[name] = mark
        fired |= calendar.fired
    return _look(requests, said, Cursor(seen=seen, fired=fired, waiting=waiting))


def _look(requests: Sequence[dg.RunRequest], said: Sequence[str], cursor: Cursor) -> Look:
    return Look(requests=tuple(requests), cursor=cursor, said=tuple(said))


def _policies(estate: Estate, tenant: Tenant) -> Sequence[PatchPolicy]:
    return [p for p in estate.patches_of(tenant.name) if p.schedule.type in BY_ITSELF]


def _mark(world: World) -> str:
    """The snapshot, and the hour: drift comes of age though nothing else happens."""
    versions = [world.lake.version(dataset) for dataset in (INVENTORY, DRIFT, GOLDEN_IMAGES)]
    return f"{'.'.join(map(str, versions))}@{world.clock.now():%Y%m%d%H}"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Calendar:
    """The policies whose time has come, with that time; and when each was last asked."""

    due: Mapping[str, datetime]
    fired: Mapping[str, str]


def _calendar(world: World, estate: Estate, tenant: Tenant, fired: Mapping[str, str]) -> _Calendar:
    now = world.clock.now()
    due_now: dict[str, datetime] = {}
    marks: dict[str, str] = {}
    for policy in _policies(estate, tenant):
        if policy.schedule.type is not Trigger.SCHEDULED:
            continue
        own = f"{tenant.name}/{policy.name}"
        last = datetime.fromisoformat(fired[own]) if own in fired else now
        came = _latest(policy, after=last, until=now)
        if came is not None:
            due_now[policy.name] = came
        marks[own] = (came or last).isoformat()
    return _Calendar(due=due_now, fired=marks)


def _held(estate: Estate, tenant: Tenant, waiting: Mapping[str, str]) -> dict[str, datetime]:
    """The policies of a tenant with a time of their calendar that is still to be asked for."""
    return {
        policy.name: datetime.fromisoformat(waiting[own])
        for policy in _policies(estate, tenant)
        if (own := f"{tenant.name}/{policy.name}") in waiting
    }


def _still_waiting(
    waiting: Mapping[str, str],
    tenant: Tenant,
    times: Mapping[str, datetime],
    wishes: Sequence[_Wish],
) -> dict[str, str]:
    """What waits after a look; in an environment that was asked for, its run's key is the same."""
    left = {own: at for own, at in waiting.items() if not _of(tenant, own, times)}
    blocked = {wish.policy for wish in wishes if wish.waits and wish.policy in times}
    return left | {f"{tenant.name}/{name}": times[name].isoformat() for name in blocked}


def _of(tenant: Tenant, own: str, times: Mapping[str, datetime]) -> bool:
    name, _, policy = own.partition("/")
    return name == tenant.name and policy in times


def _latest(policy: PatchPolicy, *, after: datetime, until: datetime) -> datetime | None:
    """The last time a calendar fired in between; times missed while nobody looked are one."""
    calendar, zone = cron(policy.schedule.cron or ""), policy.schedule.timezone
    found, at = None, calendar.next_after(after, timezone=zone)
    while at is not None and at <= until:
        found, at = at, calendar.next_after(at, timezone=zone)
    return found


def _wishes(
    world: World, estate: Estate, tenant: Tenant, calendar: Mapping[str, datetime]
) -> Iterator[_Wish]:
    """What the tenant's policies would ask for now, one request per environment."""
    records = open_requests(world, tenant.name)
    for policy in _policies(estate, tenant):
        scheduled = policy.schedule.type is Trigger.SCHEDULED
        if scheduled and policy.name not in calendar:
            continue
        for wanted in due(world, tenant, policy, now=world.clock.now()):
            blocked = in_the_way(records, policy, wanted)
            if blocked:
                where = f"{tenant.name}, {wanted.environment}"
                yield _Wish(
                    policy=policy.name,
                    request=None,
                    why_not=f"{policy.name} waits in {where}: {blocked}.",
                    waits=not asked_for(records, policy, wanted),
                )
            else:
                request = run_request(tenant, policy, wanted, calendar.get(policy.name))
                yield _Wish(policy=policy.name, request=request)


def run_request(
    tenant: Tenant, policy: PatchPolicy, wanted: Due, at: datetime | None = None
) -> dg.RunRequest:
    """The one run for a snapshot, or for a time of the calendar; it carries names, no plan."""
    snapshot = wanted.digest if at is None else at.isoformat()
    names = {"tenant": tenant.name, "policy": policy.name, "environment": wanted.environment.value}
    return dg.RunRequest(
        run_key=f"{policy.name}:{tenant.name}:{wanted.environment}:{snapshot}",
        job_name=JOB,
        run_config={"ops": {"plan_remediation": {"config": {**names, "due": True}}}},
        tags={
            TENANT_TAG: tenant.name,
            POLICY_TAG: policy.name,
            ENVIRONMENT_TAG: wanted.environment.value,
            TRIGGER_TAG: policy.schedule.type.value,
        },
    )


@dg.sensor(
    name="remediation_sensor",
    job_name=JOB,
    minimum_interval_seconds=SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Plans, once per fresh snapshot, what policies want changed by themselves.",
)
def remediation_sensor(
    context: dg.SensorEvaluationContext, world: dg.ResourceParam[World]
) -> dg.SensorResult | dg.SkipReason:
    """Ask for one run per policy, environment and snapshot."""
    before = Cursor.read(context.cursor)
    try:
        came = look_around(world, world.estate.load(), before)
    except QlrfError as error:
        return dg.SkipReason(f"Nothing is planned by itself: {error}")
    for line in came.said:
        context.log.info(line)
    if not came.requests:
        context.update_cursor(came.cursor.text())
        return dg.SkipReason("No policy wants a change it has not asked for already.")
    return dg.SensorResult(run_requests=list(came.requests), cursor=came.cursor.text())
