"""From rollouts nobody drives to the next attempt: after a wait, a resume, or a dead process.

Also from what was claimed to its first attempt, if the run that claimed it died in between; and
from a canary that went by itself to the rest people approved, or back if they said no.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from qlrf_pipelines.domain.errors import NotFound, Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.rollout import ENDED, OUT, Rollout, RolloutState
from qlrf_pipelines.domain.tasks import RUNNING, Record, TaskState
from qlrf_pipelines.jobs.approval import DIGEST_TAG, TASK_TAG, TENANT_TAG
from qlrf_pipelines.jobs.rollout import ATTEMPT_TAG, rollout
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.rollout_rest import heed, may_go_on
from qlrf_pipelines.services.rollout_takeup import claim_of
from qlrf_pipelines.services.rollout_task import lock_name
from qlrf_pipelines.services.submission import KIND
from sensors.rest import requests_of

SECONDS = 4  # see approvals: the daemon looks every five seconds
PER_TICK = 50
_LISTED = 1000
# A run that was asked for needs this long at most from its launch to its first word here.
STARTS_WITHIN = timedelta(minutes=10)
# From the claim to the first row in the same run, and from the first row to the first drive.
BEGINS_WITHIN = timedelta(minutes=2)
# A run that let go of its rollout still has a moment to end by itself.
ENDS_WITHIN = timedelta(seconds=30)
_PATIENCE, _MOST_PATIENCE = timedelta(seconds=10), timedelta(minutes=5)
# So many attempts that failed within the hour are no bad luck: from then on with most patience.
_BAD_LUCK = 5
UNBEGUN = "unbegun"
_UNFINISHED = tuple(state for state in RolloutState if state not in ENDED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Idle:
    """What has something to do and is driven by no process; `step` names where it stands."""

    tenant: TenantId
    task: str
    digest: str
    attempt: str
    step: str
    holder: str
    root_run: str
    since: datetime


def idle(world: World, tenant: TenantId, now: datetime) -> Iterator[Idle]:
    """The rollouts of a tenant to be driven now: the lock of a living driver is held."""
    for found in world.rollouts.with_work(tenant, now=now, limit=_LISTED):
        if found.attempt == 0 and now - found.started_at < BEGINS_WITHIN:
            continue  # whoever began it is about to drive it
        if _free(world, found.tenant, found.id):
            yield _driven(found, world.tasks.get(tenant, found.id))


def awaiting(world: World, tenant: TenantId, now: datetime) -> Iterator[Idle]:
    """Canaries that went by themselves and are done: those whose rest may go on now.

    Those for whose rest people said no, or nobody yes in time, are on their way back from here on.
    """
    for found in world.rollouts.list(tenant, states=OUT, limit=_LISTED):
        if found.bound is None:
            continue
        after = heed(world, found)
        record = world.tasks.get(tenant, found.id)
        waits = after.state is RolloutState.AWAITING_APPROVAL
        if waits and may_go_on(record, now) and _free(world, tenant, found.id):
            yield _driven(after, record)


def unbegun(world: World, tenant: TenantId, now: datetime) -> Iterator[Idle]:
    """What a run claimed some time ago, and of which no rollout was begun."""
    for task in world.tasks.list(tenant, states=[TaskState.EXECUTING], limit=_LISTED):
        young = now - task.changed_at < BEGINS_WITHIN
        if task.kind != KIND or young or _begun(world, tenant, task.id):
            continue
        record = world.tasks.get(tenant, task.id)
        claim = claim_of(record)
        if claim is not None and _free(world, tenant, task.id):
            yield Idle(
                tenant=tenant,
                task=task.id,
                digest=task.digest,
                attempt=UNBEGUN,
                step="",
                holder=claim.holder,
                root_run=_root(record),
                since=claim.claimed_at,
            )


def at_rest(world: World, tenant: TenantId, now: datetime) -> bool:
    """Whether no rollout of a tenant goes on or keeps a lock, and none may begin."""
    running = world.tasks.count(tenant)
    return (
        not any(running.get(state, 0) for state in RUNNING)
        and not world.rollouts.list(tenant, states=_UNFINISHED, limit=1)
        and not world.rollouts.with_work(tenant, now=now, limit=1)
    )


def _driven(found: Rollout, record: Record) -> Idle:
    return Idle(
        tenant=found.tenant,
        task=found.id,
        digest=found.digest,
        attempt=str(found.attempt),
        step=f":{found.seq}",
        holder=found.holder,
        root_run=_root(record),
        since=found.changed_at,
    )


def _root(record: Record) -> str:
    launch = record.task.launch
    first = record.claims[0].holder if record.claims else ""
    return (launch.root_run if launch else "") or first


def _begun(world: World, tenant: TenantId, task: str) -> bool:
    try:
        world.rollouts.get(tenant, task)
    except NotFound:
        return False
    return True


def _free(world: World, tenant: TenantId, task: str) -> bool:
    try:
        with world.locks.hold([lock_name(tenant, task)], wait_seconds=0):
            return True
    except Refused:
        return False


def next_attempt(
    idle: Idle, runs: Sequence[dg.RunRecord], now: datetime, *, asked: int
) -> dg.RunRequest | None:
    """The run to ask for; None while one that was asked for may still be starting.

    `runs` are the newest of the `asked` runs that were to take this very step: the more of them
    ended without it, the longer is waited before the next one.
    """
    for record in runs:
        age = now - record.create_timestamp
        if not record.dagster_run.is_finished and age < STARTS_WITHIN:
            return None
        if age < min(_PATIENCE * asked, _MOST_PATIENCE):
            return None
    group = {"dagster/parent_run_id": idle.holder, "dagster/root_run_id": idle.root_run}
    return dg.RunRequest(
        run_key=f"{idle.task}:{idle.digest}:rollout:{idle.attempt}{idle.step}:{asked}",
        job_name=rollout.name,
        tags={
            **{tag: run for tag, run in group.items() if run},
            TENANT_TAG: idle.tenant,
            TASK_TAG: idle.task,
            DIGEST_TAG: idle.digest,
            ATTEMPT_TAG: idle.attempt,
        },
    )


@dg.sensor(
    name="rollout_reconcile",
    job=rollout,
    minimum_interval_seconds=SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts the next attempt of every rollout that has work and no living driver.",
)
def rollout_reconcile(
    context: dg.SensorEvaluationContext, world: dg.ResourceParam[World]
) -> dg.SensorResult | dg.SkipReason:
    """Look at every tenant that is awake; one tenant's trouble does not stop the others."""
    now = world.clock.now()
    requests = requests_of(
        context,
        world.tasks.tenants(),
        lambda tenant, room: _requests(context, world, tenant, now, most=room),
        lambda tenant: at_rest(world, tenant, now),
        most=PER_TICK,
    )
    if not requests:
        return dg.SkipReason("Every rollout that has work is driven.")
    return dg.SensorResult(run_requests=requests)


def _requests(
    context: dg.SensorEvaluationContext, world: World, tenant: TenantId, now: datetime, *, most: int
) -> list[dg.RunRequest]:
    found: list[dg.RunRequest] = []
    going = (*awaiting(world, tenant, now), *idle(world, tenant, now))
    for one in (*going, *unbegun(world, tenant, now)):
        if len(found) >= most:
            break
        if one.attempt == UNBEGUN and _alive(context.instance, one.holder, now):
            continue
        _bury(context, one, now)
        if _keeps_failing(context, one, now):
            continue
        mine = dg.RunsFilter(
            job_name=rollout.name, tags={TASK_TAG: one.task, ATTEMPT_TAG: one.attempt}
        )
        newest = context.instance.get_run_records(mine, limit=5)
        asked = context.instance.get_runs_count(mine)
        request = next_attempt(one, newest, now, asked=asked)
        if request is not None:
            found.append(request)
    return found


def _keeps_failing(context: dg.SensorEvaluationContext, one: Idle, now: datetime) -> bool:
    """Whether every attempt fails, whatever its number, and the last one only just did."""
    failed = dg.RunsFilter(
        job_name=rollout.name,
        tags={TASK_TAG: one.task},
        statuses=[dg.DagsterRunStatus.FAILURE],
        created_after=now - timedelta(hours=1),
    )
    newest = context.instance.get_run_records(failed, limit=_BAD_LUCK)
    if len(newest) < _BAD_LUCK or now - newest[0].create_timestamp >= _MOST_PATIENCE:
        return False
    context.log.warning(
        f"Rollout {one.task} of tenant {one.tenant}: {_BAD_LUCK} attempts failed within the hour; "
        f"read the error of run {newest[0].dagster_run.run_id}, the next one waits."
    )
    return True


def _alive(instance: dg.DagsterInstance, holder: str, now: datetime) -> bool:
    """Whether a run may still begin what it claimed: it has not ended, and it spoke lately.

    To be wrong is safe: what is begun twice is one rollout, and one process drives it.
    """
    run = instance.get_run_by_id(holder)
    if run is None or run.is_finished:
        return False
    spoken = instance.get_records_for_run(holder, limit=1, ascending=False).records
    return bool(spoken) and now.timestamp() - spoken[0].timestamp < BEGINS_WITHIN.total_seconds()


def _bury(context: dg.SensorEvaluationContext, one: Idle, now: datetime) -> None:
    """Say of a run whose process is gone that it is: the UI would show it running for ever."""
    if not one.holder or now - one.since < ENDS_WITHIN:
        return
    run = context.instance.get_run_by_id(one.holder)
    if run is not None and run.status is dg.DagsterRunStatus.STARTED:
        said = f"Its process is gone; the next attempt goes on with rollout {one.task}."
        context.instance.report_run_failed(run, said)
