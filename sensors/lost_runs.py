"""From approvals whose run was lost to one more run: killed, or never launched, before its gate.

A run that failed by what it met says so in a step, and is left to people. One that died says
nothing: nothing of its approval was begun, so another one is asked for. Were it alive after all,
the claim is still given once.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

import dagster as dg

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.tasks import Task
from qlrf_pipelines.ports.world import World
from sensors.approvals import run_request
from sensors.rest import requests_of

SECONDS = 14  # see approvals: the daemon looks every five seconds
PER_TICK = 50
# A run that dies as often as this does not die by bad luck.
MOST = 5
_LISTED = 1000
_PATIENCE = timedelta(seconds=10)
# The decision sensor asks within seconds; after a daemon was away it first goes on where it was.
_ASKED_WITHIN = timedelta(minutes=10)
_RUN_KEY = "dagster/run_key"


def lost(
    instance: dg.DagsterInstance, task: Task, request: dg.RunRequest, now: datetime
) -> dg.RunRequest | None:
    """The run to ask for in the place of one that was lost; None if none was, or not yet.

    Each one has a key of its own, so that asking twice for the same is asking once.
    """
    for number in range(MOST + 1):
        again = request.with_replaced_attrs(run_key=_key(request, number))
        found = instance.get_run_records(dg.RunsFilter(tags={_RUN_KEY: str(again.run_key)}))
        if not found:
            waited = number or now - task.changed_at > _ASKED_WITHIN
            return again if number < MOST and waited else None
        if not all(_died(instance, one, now, patience=_PATIENCE * number) for one in found):
            return None
    return None


def _key(request: dg.RunRequest, number: int) -> str:
    return f"{request.run_key}:lost-{number}" if number else str(request.run_key)


def _died(
    instance: dg.DagsterInstance, record: dg.RunRecord, now: datetime, *, patience: timedelta
) -> bool:
    """Whether a run ended without a step that says why, and long enough ago."""
    run = record.dagster_run
    if run.status is not dg.DagsterRunStatus.FAILURE or record.end_time is None:
        return False
    if now - datetime.fromtimestamp(record.end_time, UTC) < patience:
        return False
    failed = instance.get_records_for_run(
        run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=1
    )
    return not failed.records


def lost_runs(jobs: Sequence[dg.JobDefinition]) -> dg.SensorDefinition:
    """Asks once more for the run of an approval whose run died before it took it."""
    known = {job.name for job in jobs}

    @dg.sensor(
        name="lost_runs",
        jobs=list(jobs),
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts another run for approvals whose run died before its gate.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, world: dg.ResourceParam[World]
    ) -> dg.SensorResult | dg.SkipReason:
        requests = requests_of(
            context,
            world.tasks.tenants(),
            lambda tenant, room: _of(context, world, tenant, known, room=room),
            lambda tenant: not any(_approved(world, tenant, known)),
            most=PER_TICK,
        )
        if not requests:
            return dg.SkipReason("No approval has lost its run.")
        return dg.SensorResult(run_requests=requests)

    return sensor


def _of(
    context: dg.SensorEvaluationContext,
    world: World,
    tenant: TenantId,
    known: set[str],
    *,
    room: int,
) -> list[dg.RunRequest]:
    found: list[dg.RunRequest] = []
    for task, request in _approved(world, tenant, known):
        if len(found) >= room:
            break
        again = lost(context.instance, task, request, world.clock.now())
        if again is not None:
            context.log.warning(f"The run of task {task.id} of tenant {tenant} died; once more.")
            found.append(again)
    return found


def _approved(
    world: World, tenant: TenantId, known: set[str]
) -> Iterator[tuple[Task, dg.RunRequest]]:
    for task in world.tasks.approved_since(tenant, cursor=0, limit=_LISTED):
        request = run_request(task)
        if request is not None and request.job_name in known:
            yield task, request
