"""The whole platform under `qlrf up`: its memory when idle, and how soon a yes acts.

No run waits for the yes. It is followed through Dagster's own records: seen by the sensor, taken
from the queue, begun by a run worker (nearly all of it imports), claimed. Decisions fall at random
moments of the sensor's interval; first with nothing waiting, then with ten thousand requests of a
hundred tenants.
"""

import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import dagster as dg

from bench.approvals import DECIDED, PENDING, TENANTS, approve, fill, row
from qlrf_pipelines import wiring
from qlrf_pipelines.domain.approval import Requirement
from qlrf_pipelines.domain.tasks import Launch
from qlrf_pipelines.jobs.approval import TASK_TAG
from qlrf_pipelines.operate.instance import opened
from qlrf_pipelines.operate.status import status
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import submit_task
from qlrf_pipelines.settings import Settings
from resources.database.server import free_port

DECISIONS, SETTLE_SECONDS, LOOKS = 7, 60, 5
PARTS = ("sensor", "queue", "launch and import", "claim")
_EVENTS = (
    dg.DagsterEventType.RUN_ENQUEUED,
    dg.DagsterEventType.RUN_STARTING,
    dg.DagsterEventType.RUN_START,
)


@dataclass(frozen=True, slots=True)
class Taken:
    """What one decision took, in seconds, and its parts in order."""

    whole: float
    parts: Sequence[float]


def measure() -> list[dict[str, object]]:
    """Start it, look at it idle, decide, fill, decide."""
    with tempfile.TemporaryDirectory(prefix="qlrf-bench-") as folder, ExitStack() as over:
        env = {
            "QLRF_HOME": f"{folder}/home",
            "QLRF_ESTATE": f"{folder}/estate",
            "QLRF_UI_PORT": str(free_port()),
            "QLRF_REFRESH_CRON": "0 0 1 1 *",
        }
        _declare(Path(folder, "estate", "tenants"))
        _qlrf("up", env)
        over.callback(_qlrf, "down", env)
        settings = Settings.from_env(env)
        idle = _idle(settings)
        database = over.enter_context(wiring.database(settings))
        os.environ |= env
        instance = over.enter_context(
            opened(settings, dagster_url=database.dagster_url, capture_logs=False)
        )
        world = wiring.live(settings)
        alone = [_decision(world, instance, number) for number in range(DECISIONS)]
        fill(world)
        crowd = [_decision(world, instance, number) for number in range(DECISIONS)]
        return [
            idle,
            _told("decision to claim, parked, nothing waiting", alone),
            _told(f"decision to claim, parked, {PENDING} waiting", crowd),
        ]


def _declare(tenants: Path) -> None:
    tenants.mkdir(parents=True)
    for number in range(TENANTS):
        name = f"t-{number:03d}"
        tenants.joinpath(f"{name}.yaml").write_text(
            f"apiVersion: qlrf/v1\nkind: Tenant\nmetadata: {{name: {name}}}\n"
            f"spec: {{displayName: Tenant {number}, connectors: []}}\n"
        )


def _qlrf(command: str, env: dict[str, str]) -> None:
    words = [sys.executable, "-m", "qlrf_pipelines.cli.main", command]
    subprocess.run(words, env={**os.environ, **env}, check=True, stdout=subprocess.DEVNULL)


def _idle(settings: Settings) -> dict[str, object]:
    time.sleep(SETTLE_SECONDS)
    looks: list[float] = []
    for _ in range(LOOKS):
        time.sleep(2)
        found = status(settings)
        assert found.ready
        looks.append(found.memory_mib or 0)
    median = statistics.median(looks)
    parts = ", ".join(f"{part.name} {part.memory_mib:.0f}" for part in found.parts)
    detail = f"PSS of all processes, {SETTLE_SECONDS} s after start: {parts}"
    return row("`qlrf up` idle", median, "<= 800 MiB", 0 < median <= 800, detail, unit="MiB")


def _decision(world: World, instance: dg.DagsterInstance, number: int) -> Taken:
    task = submit_task(
        world,
        DECIDED,
        kind="bench",
        title=f"Parked {number} at {time.time()}",
        document={"change": f"{number} at {time.time()}"},
        requested_by="rita",
        requirement=Requirement(expires_at=world.clock.now() + timedelta(hours=24)),
        launch=Launch(job="approved_change"),
    )
    time.sleep(random.Random(number).uniform(1, 6))
    decided = time.time()
    approve(world, task)
    while not (claims := world.tasks.get(DECIDED, task.id).claims):
        time.sleep(0.1)
        assert time.time() < decided + 120, "nobody claimed it"
    claimed = claims[0].claimed_at.timestamp()
    [run] = instance.get_runs(dg.RunsFilter(tags={TASK_TAG: task.id}))
    told = {
        event.get_dagster_event().event_type: event.timestamp
        for event in instance.all_logs(run.run_id, of_type=set(_EVENTS))
    }
    moments = [decided, *(told[kind] for kind in _EVENTS), claimed]
    return Taken(claimed - decided, [b - a for a, b in pairwise(moments)])


def _told(what: str, taken: Sequence[Taken]) -> dict[str, object]:
    wholes = [one.whole for one in taken]
    median = statistics.median(wholes)
    parts = [statistics.median(one.parts[n] for one in taken) for n in range(len(PARTS))]
    detail = (
        f"median of {len(taken)}, {min(wholes):.1f} to {max(wholes):.1f} s; of it "
        + ", ".join(f"{name} {part:.1f}" for name, part in zip(PARTS, parts, strict=True))
    )
    return row(what, median, "<= 10 s", median <= 10, detail)
