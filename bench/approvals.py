"""Ten thousand requests waiting for people: what looking at them costs, and how soon a yes acts.

On an embedded Postgres of its own with its usual durability. The floor of a list is the same
interpreter importing what any command on the database imports; a held run has no floor but zero.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg

from qlrf_pipelines import wiring
from qlrf_pipelines.domain.approval import DecisionKind, Requirement
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import Launch, Task
from qlrf_pipelines.jobs.approval import Approval, await_approval, executing
from qlrf_pipelines.jobs.approved_change import approved_change
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import decide, submit_task
from qlrf_pipelines.services.claims import sweep
from qlrf_pipelines.services.gate import Proposal
from qlrf_pipelines.settings import Settings
from sensors.approvals import decision_sensor

PENDING, TENANTS, APPROVED = 10_000, 100, 100
HELD, REPETITIONS = 15, 7
DECIDED = TenantId("t-000")


@dg.op
def plan(context: dg.OpExecutionContext) -> Proposal:
    return Proposal(
        tenant=DECIDED,
        kind="bench",
        title="A change of the bench",
        document={"run": context.run_id},
        requested_by="rita",
    )


@dg.op
def begin(
    context: dg.OpExecutionContext,
    approval: Approval,
    world: dg.ResourceParam[World],
    begun: dg.ResourceParam[list[float]],
) -> None:
    begun.append(time.perf_counter())
    with executing(context, world, approval):
        pass


@dg.job(config={"ops": {"await_approval": {"config": {"hold_seconds": 60}}}})
def held() -> None:
    begin(await_approval(plan()))


def measure() -> list[dict[str, object]]:
    """Fill, look, decide."""
    with tempfile.TemporaryDirectory(prefix="qlrf-bench-") as home:
        settings = Settings.from_env({"QLRF_HOME": home})
        with wiring.database(settings):
            world = wiring.live(settings)
            tasks = fill(world)
            return [
                _held_by_nobody(settings),
                _tick(world, tasks),
                _sweep(world),
                *_list(world, home),
                _decision(world, wiring.live(settings)),
            ]


def row(
    what: str, ours: float, must: str, ok: bool, detail: str, unit: str = "s"
) -> dict[str, object]:
    return {
        "what": what,
        "ours": round(ours, 3),
        "must": must,
        "unit": unit,
        "ok": ok,
        "detail": detail,
    }


def fill(world: World) -> list[Task]:
    need = Requirement(expires_at=world.clock.now() + timedelta(hours=24))
    made = []
    for number in range(PENDING):
        made.append(
            submit_task(
                world,
                TenantId(f"t-{number % TENANTS:03d}"),
                kind="bench",
                title=f"Change {number}",
                document={"change": number, "assets": [f"i-{n:05d}" for n in range(20)]},
                requested_by="rita",
                requirement=need,
                launch=Launch(job="approved_change"),
            )
        )
    return made


def approve(world: World, task: Task) -> None:
    decide(
        world,
        task.tenant,
        task.id,
        kind=DecisionKind.APPROVE,
        digest=task.digest,
        by="ann",
        role=Role.ENGINEER,
    )


def _held_by_nobody(settings: Settings) -> dict[str, object]:
    """Sessions in the database that are not this process's own, and threads waiting here."""
    import psycopg2

    with wiring.database(settings) as database:
        url = database.app_url.replace("postgresql+psycopg2", "postgresql")
        connection = psycopg2.connect(url)
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend' "
                "AND usename = 'qlrf_app' AND application_name NOT LIKE %s "
                "AND pid <> pg_backend_pid()",
                [f"qlrf process {os.getpid()} %"],
            )
            sessions = int((cursor.fetchone() or (0,))[0])
        connection.close()
    waiting = sum("approval" in thread.name for thread in threading.enumerate())
    count = sessions + waiting
    detail = f"{PENDING} pending over {TENANTS} tenants; sessions of others + threads"
    return row("approvals: held while pending", count, "0", count == 0, detail, unit="")


def _tick(world: World, tasks: list[Task]) -> dict[str, object]:
    for task in tasks[:APPROVED]:
        approve(world, task)
    sensor = decision_sensor([approved_change])
    took: list[float] = []
    requests = 0
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(REPETITIONS):
            with dg.build_sensor_context(instance=instance, resources={"world": world}) as context:
                started = time.perf_counter()
                result: Any = sensor(context)
                took.append(time.perf_counter() - started)
                requests = len(result.run_requests)
    worst = max(took)
    detail = (
        f"{requests} run requests, no cursor: every tenant is looked at; worst of {REPETITIONS}"
    )
    return row("approvals: decision sensor tick", worst, "<= 2 s", worst <= 2, detail)


def _sweep(world: World) -> dict[str, object]:
    started = time.perf_counter()
    sweep(world, world.tasks.tenants())
    took = time.perf_counter() - started
    return row("approvals: expiry sweep, nothing due", took, "<= 2 s", took <= 2, "all tenants")


def _list(world: World, home: str) -> list[dict[str, object]]:
    pages = []
    for _ in range(REPETITIONS):
        started = time.perf_counter()
        found = world.tasks.list(DECIDED, limit=100)
        pages.append(time.perf_counter() - started)
        assert found
    page = statistics.median(pages)
    commands = {
        "floor": [sys.executable, "-c", "import sqlalchemy, psycopg2, rich.table, yaml"],
        "qlrf": [
            sys.executable, "-m", "qlrf_pipelines.cli.main", "tasks", "list", "-t", DECIDED,
        ],
    }  # fmt: skip
    took: dict[str, list[float]] = {name: [] for name in commands}
    for repetition in range(REPETITIONS + 1):
        for name, command in commands.items():
            started = time.perf_counter()
            subprocess.run(
                command,
                env={**os.environ, "QLRF_HOME": home, "PYTHONPATH": str(Path.cwd())},
                check=True,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
            if repetition:
                took[name].append(time.perf_counter() - started)
    ours, floor = (statistics.median(took[name]) for name in ("qlrf", "floor"))
    listed = row(
        "approvals: qlrf tasks list", ours, "<= 1 s", ours <= 1, f"median of {REPETITIONS}"
    )
    listed |= {"floor": round(floor, 3), "ratio": round(ours / floor, 2)}
    return [
        row("approvals: one page of 100", page, "<= 1 s", page <= 1, f"of {PENDING} pending"),
        listed,
    ]


def _decision(world: World, deciding: World) -> dict[str, object]:
    took: list[float] = []
    for _ in range(HELD):
        begun: list[float] = []
        with dg.DagsterInstance.ephemeral() as instance:
            before = world.tasks.tenants()[DECIDED]
            run = threading.Thread(
                target=held.execute_in_process,
                kwargs={"instance": instance, "resources": {"world": world, "begun": begun}},
            )
            run.start()
            task = _asked(deciding, after=before)
            time.sleep(0.3)  # until the run sleeps: a decision before that would look too good
            started = time.perf_counter()
            approve(deciding, task)
            run.join()
        took.append(begun[0] - started)
    median = statistics.median(took)
    detail = f"median of {HELD}, worst {max(took):.3f} s; woken by LISTEN/NOTIFY; in process"
    return row("approvals: decision to next step, held", median, "<= 0.5 s", median <= 0.5, detail)


def _asked(world: World, *, after: int) -> Task:
    while True:
        for task in world.tasks.list(DECIDED, limit=1):
            if task.seq > after:
                return task
        time.sleep(0.05)
