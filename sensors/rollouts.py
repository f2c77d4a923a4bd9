"""From rollouts nobody drives to the next attempt: after a wait, a resume, or a dead process."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import dagster as dg

from qlrf_pipelines.domain.errors import QlrfError, Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.rollout import DRIVEN, IN_FLIGHT, Rollout, RolloutState
from qlrf_pipelines.jobs.approval import DIGEST_TAG, TASK_TAG, TENANT_TAG
from qlrf_pipelines.jobs.rollout import ATTEMPT_TAG, rollout
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.rollout_drive import lock_name

SECONDS = 5
PER_TICK = 50
# A run that was asked for needs this long at most from its launch to its first word here.
STARTS_WITHIN = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Idle:
    """A rollout that has something to do and that no process drives."""

    rollout: Rollout
    root_run: str


def idle(world: World, tenant: TenantId, now: datetime) -> Iterator[Idle]:
    """The rollouts of a tenant to be driven now: the lock of a living driver is held."""
    states = (*DRIVEN, RolloutState.CANCELLED)
    for found in world.rollouts.list(tenant, states=states, limit=PER_TICK):
        if found.wake_at is not None and found.wake_at > now:
            continue
        if found.state is RolloutState.CANCELLED and not _flying(world, found):
            continue
        if _free(world, found):
            record = world.tasks.get(tenant, found.id)
            launch = record.task.launch
            first = record.claims[0].holder if record.claims else ""
            yield Idle(found, (launch.root_run if launch else "") or first)


def _flying(world: World, found: Rollout) -> bool:
    rows = world.rollouts.rows(found.tenant, found.id)
    return any(row.state in IN_FLIGHT and row.begun for row in rows)


def _free(world: World, found: Rollout) -> bool:
    try:
        with world.locks.hold([lock_name(found.tenant, found.id)], wait_seconds=0):
            return True
    except Refused:
        return False


def next_attempt(idle: Idle, runs: Sequence[dg.RunRecord], now: datetime) -> dg.RunRequest | None:
    """The run to ask for; None while one that was asked for may still be starting."""
    found = idle.rollout
    for record in runs:
        if not record.dagster_run.is_finished and now - record.create_timestamp < STARTS_WITHIN:
            return None
    group = {"dagster/parent_run_id": found.holder, "dagster/root_run_id": idle.root_run}
    return dg.RunRequest(
        run_key=f"{found.id}:{found.digest}:rollout:{found.attempt}:{found.seq}:{len(runs)}",
        job_name=rollout.name,
        tags={
            **{tag: run for tag, run in group.items() if run},
            TENANT_TAG: found.tenant,
            TASK_TAG: found.id,
            DIGEST_TAG: found.digest,
            ATTEMPT_TAG: str(found.attempt),
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
    """Look at every tenant; one tenant's trouble does not stop the others."""
    now = world.clock.now()
    requests: list[dg.RunRequest] = []
    for tenant in world.tasks.tenants():
        try:
            for one in idle(world, tenant, now):
                if (request := _request(context, one, now)) is not None:
                    requests.append(request)
        except QlrfError as error:
            context.log.warning(f"Tenant {tenant} could not be looked at: {error}")
    if not requests:
        return dg.SkipReason("Every rollout that has work is driven.")
    return dg.SensorResult(run_requests=requests[:PER_TICK])


def _request(context: dg.SensorEvaluationContext, one: Idle, now: datetime) -> dg.RunRequest | None:
    _bury(context, one.rollout)
    mine = dg.RunsFilter(
        job_name=rollout.name,
        tags={TASK_TAG: one.rollout.id, ATTEMPT_TAG: str(one.rollout.attempt)},
    )
    return next_attempt(one, context.instance.get_run_records(mine, limit=20), now)


def _bury(context: dg.SensorEvaluationContext, found: Rollout) -> None:
    """Say of a run whose process is gone that it is: the UI would show it running for ever."""
    if not found.holder:
        return
    run = context.instance.get_run_by_id(found.holder)
    if run is not None and run.status is dg.DagsterRunStatus.STARTED:
        said = f"Its process is gone; the next attempt goes on with rollout {found.id}."
        context.instance.report_run_failed(run, said)
