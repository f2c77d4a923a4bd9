"""When a drill goes on: asked for, signed, or left by a dead process; and what is overdue."""

import json
from collections.abc import Iterator
from datetime import timedelta

import dagster as dg

from qlrf_pipelines.domain.drills import Drill, Phase
from qlrf_pipelines.domain.errors import QlrfError, Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.tasks import ENDED, NOT_STARTED, Task
from qlrf_pipelines.jobs.approval import TENANT_TAG
from qlrf_pipelines.jobs.dr_drill import DR_RETURN, DRILL_TAG, dr_drill, dr_return
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.drill_alarms import Alarm, alarms
from qlrf_pipelines.services.drills import withdraw

SECONDS = 4  # see approvals: the daemon looks every five seconds
PER_TICK = 50
# Between two phases a living run holds nothing for a moment.
QUIET = timedelta(seconds=60)


@dg.sensor(
    name="drill_reconcile",
    jobs=[dr_drill, dr_return],
    minimum_interval_seconds=SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Starts a run for every drill that has something to do and no living process.",
)
def drill_reconcile(
    context: dg.SensorEvaluationContext, world: dg.ResourceParam[World]
) -> dg.SensorResult | dg.SkipReason:
    """Look at every tenant; one tenant's trouble does not stop the others."""
    requests: list[dg.RunRequest] = []
    for tenant in world.drills.tenants():
        try:
            requests += _of_tenant(context, world, tenant)
        except QlrfError as error:
            context.log.warning(f"Tenant {tenant} could not be looked at: {error}")
    if not requests:
        return dg.SkipReason("Every drill that has something to do is driven.")
    return dg.SensorResult(run_requests=requests[:PER_TICK])


def _of_tenant(
    context: dg.SensorEvaluationContext, world: World, tenant: TenantId
) -> Iterator[dg.RunRequest]:
    for record in world.drills.list(tenant, open_only=True, limit=PER_TICK):
        drill = record.drill
        task = next(iter(world.tasks.find(tenant, key=f"drill:{drill.id}")), None)
        if (why := no_longer_wanted(drill, task)) and not world.drills.get(tenant, drill.id).moves:
            withdraw(world, tenant, drill.id, why=why, holder=f"sensor:{drill.attempt}")
            context.log.info(f"Drill {drill.id} is closed: {why}.")
        elif wants_a_run(drill, task) and _idle(context, world, drill):
            yield _request(context, drill)


def no_longer_wanted(drill: Drill, task: Task | None) -> str:
    """Why a drill that has touched nothing will not begin; '' if it may."""
    if drill.phase not in (Phase.VALIDATION, Phase.ISOLATION):
        return ""
    if drill.abort:
        return drill.abort
    if task is not None and task.state in ENDED:
        return f"its task {task.id} is {task.state}"
    return ""


def wants_a_run(drill: Drill, task: Task | None) -> bool:
    """Whether a process has something to do; people decide and sign without one."""
    if drill.phase in (Phase.CLOSED, Phase.HELD) or drill.waiting:
        return False
    at_the_gate = drill.phase is Phase.ISOLATION and task is not None
    return not (at_the_gate and task is not None and task.state in NOT_STARTED)


def _idle(context: dg.SensorEvaluationContext, world: World, drill: Drill) -> bool:
    try:
        with world.locks.hold([f"drill:{drill.tenant}:{drill.id}"], wait_seconds=0):
            pass
    except Refused:
        return False
    run = context.instance.get_run_by_id(drill.holder) if drill.holder else None
    if run is None or run.is_finished:
        return True
    if world.clock.now() - drill.changed_at < QUIET:
        return False
    if run.status is dg.DagsterRunStatus.STARTED:
        said = f"Its process is gone; the next attempt goes on with drill {drill.id}."
        context.instance.report_run_failed(run, said)
    return True


def _request(context: dg.SensorEvaluationContext, drill: Drill) -> dg.RunRequest:
    job = DR_RETURN if drill.phase in (Phase.FAILBACK, Phase.REPORTING) else dr_drill.name
    group = {"dagster/parent_run_id": drill.holder, "dagster/root_run_id": drill.holder}
    known = context.instance.get_run_by_id(drill.holder) is not None if drill.holder else False
    return dg.RunRequest(
        run_key=f"{drill.id}:{drill.attempt}:{drill.phase}:{drill.seq}",
        job_name=job,
        tags={
            **(group if known else {}),
            TENANT_TAG: drill.tenant,
            DRILL_TAG: drill.id,
        },
    )


@dg.sensor(
    name="drill_alarms",
    minimum_interval_seconds=900,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Says which drills are due or failed, and where replication lags; once each.",
)
def drill_alarms(
    context: dg.SensorEvaluationContext, world: dg.ResourceParam[World]
) -> dg.SkipReason:
    """Write every new alarm into the log and the tenant's evidence."""
    before: dict[str, str] = json.loads(context.cursor) if context.cursor else {}
    now: dict[str, str] = {}
    for alarm in alarms(world):
        key = f"{alarm.tenant}:{alarm.plan}:{alarm.kind}"
        now[key] = before.get(key) or iso(world.clock.now())
        context.log.warning(alarm.text)
        if key not in before:
            world.ledger.append({alarm.tenant: [_entry(world, alarm)]})
    context.update_cursor(json.dumps(now, sort_keys=True))
    return dg.SkipReason(f"{len(now)} alarms, {len(set(now) - set(before))} of them new.")


def _entry(world: World, alarm: Alarm) -> NewEntry:
    return NewEntry(
        kind=f"drill_alarm_{alarm.kind}",
        subject=alarm.plan,
        recorded_at=world.clock.now(),
        content={"application": alarm.application, "text": alarm.text},
    )
