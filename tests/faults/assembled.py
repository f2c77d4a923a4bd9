"""The assembled platform, as `qlrf up` runs it, over a simulated AWS that outlives its processes.

Real are PostgreSQL, the supervisor, the code server, the daemon, the run workers, the lake, the
policies and the AWS executor. The AWS API is moto in the test's own process, so that what was done
to the machines is told by somebody nobody kills.
"""

import contextlib
import os
import queue
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import dagster as dg
import pytest
import sqlalchemy as sa

from qlrf_pipelines import wiring
from qlrf_pipelines.domain.approval import DecisionKind, Requirement
from qlrf_pipelines.domain.datasets import GOLDEN_IMAGES
from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.plans import plan_digest
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.rollout import Rollout
from qlrf_pipelines.domain.tasks import Launch, Task
from qlrf_pipelines.domain.vocabulary import Environment
from qlrf_pipelines.jobs.approval import TASK_TAG
from qlrf_pipelines.jobs.approved_change import APPROVED_CHANGE
from qlrf_pipelines.operate import state
from qlrf_pipelines.operate.children import Child, Program
from qlrf_pipelines.operate.instance import opened
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import decide, submit_task
from qlrf_pipelines.services.planning import make_plan
from qlrf_pipelines.services.planning_request import PlanRequest
from qlrf_pipelines.services.rollout_history import hands_of
from qlrf_pipelines.services.submission import submit_plan
from qlrf_pipelines.settings import Settings
from resources.database.server import free_port
from resources.database.sessions import Sessions, enter_tenant
from tests.fakes.aws_book import Book
from tests.fakes.drifted import drifted, machine, release
from tests.fakes.moto_aws import OWN, MotoAws, moto_aws
from tests.fakes.observations import keep, observed

ACME = TenantId("acme")
T = TypeVar("T")
PATIENCE = 400.0
_HOLD = sa.text("SELECT 1 FROM task WHERE tenant = 'acme' AND id = :task FOR UPDATE")
_LOOK_ANEW = sa.text("SELECT pg_stat_clear_snapshot()")
_WAITS = sa.text(
    "SELECT 1 FROM pg_stat_activity WHERE pg_backend_pid() = ANY(pg_blocking_pids(pid))"
)
TENANT = """
apiVersion: qlrf/v1
kind: Tenant
metadata: {{name: acme}}
spec:
  displayName: Acme
  connectors:
    - name: aws-main
      platform: aws
      regions: [us-east-1]
      endpointUrl: "{url}"
      credentials: {{accessKeyId: "env:QLRF_TEST_KEY", secretAccessKey: "env:QLRF_TEST_KEY"}}
  notifications:
    - {{channel: webhook, target: change-log, url: "{hook}"}}
"""


class Assembled:
    """The platform, up; what it did can be asked of the database, of Dagster and of the cloud."""

    def __init__(
        self, settings: Settings, world: World, instance: dg.DagsterInstance, moto: MotoAws
    ) -> None:
        self.settings, self.world, self.instance, self.moto = settings, world, instance, moto
        self.book = Book()
        self.image = moto.image()

    def pid(self, name: str) -> int:
        """The process of that name that runs now; waits while it is started again."""

        def there() -> int:
            if name == "database":
                return wiring.database_status(self.settings).pid or 0
            told = state.read(self.settings)
            child = told.children.get(name) if told else None
            return child.pid if child is not None and child.lives else 0

        return self.until(there)

    def kill(self, name: str) -> None:
        """kill -9 of the daemon, the code server or PostgreSQL's postmaster."""
        os.kill(self.pid(name), signal.SIGKILL)

    def kill_worker(self, run: str) -> None:
        """kill -9 of the process that carries out a run."""
        os.kill(self.until(lambda: self.worker(run)), signal.SIGKILL)

    def worker(self, run: str) -> int:
        """The process of a run that has begun."""
        events = self.instance.all_logs(run, of_type=dg.DagsterEventType.ENGINE_EVENT)
        said = [event.get_dagster_event().engine_event_data.metadata for event in events]
        return next(int(one["pid"].text) for one in said if "pid" in one)

    def until(self, look: Callable[[], T], *, seconds: float = PATIENCE) -> T:
        """Look until there is something: rows say when they changed to whoever asks again."""
        deadline = time.monotonic() + seconds
        while True:
            # PostgreSQL may be on its way back: then nobody can say yet.
            with contextlib.suppress(QlrfError, sa.exc.SQLAlchemyError):
                if found := look():
                    return found
            assert time.monotonic() < deadline, f"it did not come to that: {self.told()}"
            time.sleep(0.1)

    def told(self) -> list[str]:
        """How runs and rollouts stand, for whoever reads that something did not happen."""
        runs = self.instance.get_runs(limit=30)
        return [
            *(f"{run.job_name} {run.run_id[:8]} {run.status.value}" for run in runs),
            *(f"{one.id} {one.state} {one.reason}" for one in self.world.rollouts.list(ACME)),
        ]

    def fleet(self, count: int, environment: Environment) -> list[dict[str, Any]]:
        """Machines that lag behind, as a refresh would have found them."""
        return [
            machine(0, environment.value, asset_id=name, account=OWN)
            | {"asset_key": f"aws:{OWN}:us-east-1:{name}", "name": name}
            for name in self.moto.run(count)
        ]

    def observed(self, assets: list[dict[str, Any]]) -> None:
        """Keep them in the lake, with the release they should be at."""
        observed(self.world.lake, ACME, assets, drift=[drifted(one) for one in assets])
        coordinates = [{"platform": "aws", "region": "us-east-1", "image_ref": self.image}]
        keep(self.world.lake, GOLDEN_IMAGES, [release(coordinates=coordinates)], ACME)

    def ask(self, environment: Environment) -> Task:
        """Ask for a plan of everything in an environment: a canary and one wave, not watched."""
        request = PlanRequest(tenant=ACME, requested_by="rita", environments=(environment,))
        world = self.world
        planned = make_plan(
            world,
            request,
            engine=world.policy,
            contract=world.plan_contract,
            hands=hands_of(world),
        )
        listener = {
            "channel": "webhook",
            "target": "change-log",
            "events": ["started", "completed", "rollback"],
            "progress_every_seconds": 3600,
        }
        phases = [
            phase | {"wait_seconds": 0, "batches": [phase["assets"]]}
            for phase in planned.document["phases"]
        ]
        radius = planned.document["blast_radius"]
        radius |= {"max_at_once": max(len(phase["assets"]) for phase in phases)}
        own = {"phases": phases, "notifications": [listener], "blast_radius": radius}
        document = {**planned.document, **own}
        digest = plan_digest(document, planned.context)
        return submit_plan(world, replace(planned, document=document, digest=digest))

    def approve(self, task: Task) -> None:
        """Somebody else says yes to exactly that."""
        decide(
            self.world,
            ACME,
            task.id,
            kind=DecisionKind.APPROVE,
            digest=task.digest,
            by="ann",
            role=Role.ENGINEER,
        )

    def submit(self, title: str, *, hours: float = 24) -> Task:
        """Ask for a change that no rollout is needed for."""
        now = self.world.clock.now()
        return submit_task(
            self.world,
            ACME,
            kind="change",
            title=title,
            document={"change": title},
            requested_by="rita",
            requirement=Requirement(expires_at=now + timedelta(hours=hours)),
            launch=Launch(job=APPROVED_CHANGE),
        )

    def rollout(self, task: Task) -> Rollout | None:
        """The rollout of a task, if it was begun."""
        found = [one for one in self.world.rollouts.list(ACME) if one.id == task.id]
        return found[0] if found else None

    def rows(self, task: Task) -> Counter[str]:
        """How many assets of a rollout are in which state."""
        rows = self.world.rollouts.rows(ACME, task.id) if self.rollout(task) else ()
        return Counter(row.state.value for row in rows)

    def runs(self, task: Task) -> list[dg.DagsterRun]:
        """Every run that was started for a task, the oldest first."""
        return list(reversed(self.instance.get_runs(dg.RunsFilter(tags={TASK_TAG: task.id}))))

    def driver(self, task: Task) -> str:
        """The run that drives a rollout; waits for the first one."""
        return self.until(lambda: (found := self.rollout(task)) and found.holder) or ""

    def at_its_gate(self, task: Task, do: Callable[[str], None]) -> None:
        """Hold a task's row until its run stands at the gate and waits for it, and do something."""

        def work(connection: sa.Connection) -> None:
            enter_tenant(connection, ACME)
            connection.execute(_HOLD, {"task": task.id})

            def somebody_waits() -> bool:
                connection.execute(_LOOK_ANEW)
                return bool(connection.execute(_WAITS).scalar())

            self.until(somebody_waits)
            do(self.runs(task)[-1].run_id)

        Sessions(self.settings).run(work)

    def machines(self, of: str) -> list[tuple[str, str]]:
        """What replaced a machine: id and state, also of those that are gone."""
        asked = [{"Name": "tag:qlrf:replaces", "Values": [of]}]
        return self._described(Filters=asked)

    def state_of(self, machine: str) -> str:
        """The state of a machine."""
        [(_, found)] = self._described(InstanceIds=[machine])
        return found

    def _described(self, **asked: Any) -> list[tuple[str, str]]:
        answer = self.moto.client("ec2").describe_instances(**asked)
        found = [one for group in answer["Reservations"] for one in group["Instances"]]
        return [(one["InstanceId"], one["State"]["Name"]) for one in found]


@contextmanager
def assembled(folder: Path, hook: str) -> Iterator[Assembled]:
    """The platform over an empty home, up until the block ends, or until this process does."""
    moto = moto_aws()
    moto.reset()
    env = {
        "QLRF_HOME": str(folder / "home"),
        "QLRF_ESTATE": str(folder / "estate"),
        "QLRF_UI_PORT": str(free_port()),
        "QLRF_REFRESH_CRON": "0 0 1 1 *",
        "QLRF_TEST_KEY": "example",
    }
    (folder / "estate" / "tenants").mkdir(parents=True)
    (folder / "estate" / "tenants" / "acme.yaml").write_text(TENANT.format(url=moto.url, hook=hook))
    settings = Settings.from_env(env)
    with pytest.MonkeyPatch.context() as patch:
        for name, value in env.items():
            patch.setenv(name, value)
        for name in ("DAGSTER_HOME", "QLRF_DAGSTER_STORAGE", "DAGSTER_EVENT_BATCH_SIZE"):
            patch.setenv(name, "")  # put back afterwards, whatever opening the instance makes of it
        with (
            wiring.database(settings) as database,
            opened(settings, dagster_url=database.dagster_url, capture_logs=False) as instance,
        ):
            command = (sys.executable, "-m", "qlrf_pipelines.cli.main", "up", "--foreground")
            platform = Child(
                Program(name="up", command=command),
                environment=os.environ,
                log=folder / "up.log",
                ended=queue.SimpleQueue(),
            )
            made = Assembled(settings, wiring.live(settings), instance, moto)
            try:
                made.until(lambda: (found := state.read(settings)) and found.ready)
                yield made
            finally:
                made.book.close()
                platform.stop(seconds=90)
