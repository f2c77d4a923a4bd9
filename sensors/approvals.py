"""From decisions to runs: one run per approved digest, and time that never approves anything."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg

from qlrf_pipelines.domain.approval import Extent
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.tasks import Task
from qlrf_pipelines.jobs.approval import DIGEST_TAG, STAGE_TAG, TASK_TAG, TENANT_TAG
from qlrf_pipelines.ports.tasks import Tasks
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.claims import sweep

PER_TICK = 100
# The daemon looks at its sensors every five seconds: five would be just too late every other time.
SECONDS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Cursor:
    """The newest step seen of each tenant, and whose turn is first next time."""

    seen: Mapping[str, int] = field(default_factory=dict)
    turn: str = ""

    @classmethod
    def read(cls, text: str | None) -> "Cursor":
        """From what a sensor keeps; none at all means from the beginning."""
        return cls(**json.loads(text)) if text else cls()

    def text(self) -> str:
        """As a sensor keeps it."""
        return json.dumps({"seen": dict(self.seen), "turn": self.turn}, sort_keys=True)


def in_turn(names: Sequence[str], first: str) -> list[str]:
    """The names in their order, starting with `first`: nobody is served last for ever."""
    ordered = sorted(names)
    return [n for n in ordered if n >= first] + [n for n in ordered if n < first]


def newly_ready(
    tasks: Tasks, cursor: Cursor, *, limit: int = PER_TICK
) -> tuple[list[Task], Cursor]:
    """The next tasks that became ready to run, at most `limit`, and where to go on from."""
    newest = tasks.tenants()
    seen = dict(cursor.seen)
    found: list[Task] = []
    for name in in_turn([n for n, seq in newest.items() if seq > seen.get(n, 0)], cursor.turn):
        if (room := limit - len(found)) == 0:
            return found, Cursor(seen=seen, turn=name)
        tenant = TenantId(name)
        ready = tasks.approved_since(tenant, cursor=seen.get(name, 0), limit=room)
        found += ready
        last = max((task.ready_seq or 0 for task in ready), default=0)
        # The number was read before the tasks, and numbers become visible in their order.
        seen[name] = last if len(ready) == room else max(last, newest[tenant])
    return found, Cursor(seen=seen)


def run_request(task: Task) -> dg.RunRequest | None:
    """The one run for what was approved; None if the task is carried out by no job."""
    launch = task.launch
    if launch is None:
        return None
    again = f":r{task.revision}" if task.revision > 1 else ""
    if task.requirement.unattended is Extent.CANARY:
        # The platform's word on the canary and people's on the whole of it are two occasions to go.
        again += f":{task.ready_seq}"
    group = {
        "dagster/parent_run_id": launch.parent_run,
        "dagster/root_run_id": launch.root_run,
    }
    return dg.RunRequest(
        run_key=f"{task.id}:{task.digest}:{task.stage}{again}",
        job_name=launch.job,
        run_config=dict(launch.config),
        tags={
            **launch.tags,
            **{tag: run for tag, run in group.items() if run},
            TENANT_TAG: task.tenant,
            TASK_TAG: task.id,
            DIGEST_TAG: task.digest,
            STAGE_TAG: task.stage,
        },
    )


def decision_sensor(
    jobs: Sequence[dg.JobDefinition], *, name: str = "decision_sensor"
) -> dg.SensorDefinition:
    """Starts the run that goes on, once, for approved tasks of these jobs."""
    known = {job.name for job in jobs}

    @dg.sensor(
        name=name,
        jobs=list(jobs),
        minimum_interval_seconds=SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description="Starts one run for every approved digest.",
    )
    def sensor(
        context: dg.SensorEvaluationContext, world: dg.ResourceParam[World]
    ) -> dg.SensorResult | dg.SkipReason:
        before = Cursor.read(context.cursor)
        ready, after = newly_ready(world.tasks, before)
        requests = [request for task in ready if (request := run_request(task)) is not None]
        mine = [request for request in requests if request.job_name in known]
        if len(mine) < len(ready):
            context.log.info(f"{len(ready) - len(mine)} approved tasks belong to no job here.")
        if not mine:
            context.update_cursor(after.text())
            return dg.SkipReason("Nothing was approved since the last look.")
        return dg.SensorResult(run_requests=mine, cursor=after.text())

    return sensor


@dg.sensor(
    name="expiry_sweep",
    minimum_interval_seconds=60,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Expires requests nobody decided in time, reminds, and opens approved windows.",
)
def expiry_sweep(
    context: dg.SensorEvaluationContext, world: dg.ResourceParam[World]
) -> dg.SkipReason:
    """Let the clock do what it must; it never approves."""
    done = sweep(world, world.tasks.tenants())
    for tenant, task in done.reminded:
        context.log.warning(f"Task {task} of tenant {tenant} still waits for a decision.")
    for tenant, task in done.too_late:
        context.log.warning(
            f"Nobody approved the rest of task {task} of tenant {tenant} in time; its canary is "
            "brought back."
        )
    for tenant, task in done.expired:
        context.log.warning(f"Task {task} of tenant {tenant} expired; nothing of it runs.")
    return dg.SkipReason(
        f"{len(done.expired)} expired, {len(done.reminded)} reminded, {len(done.opened)} windows "
        f"opened{'; more is due.' if done.left else '.'}"
    )
