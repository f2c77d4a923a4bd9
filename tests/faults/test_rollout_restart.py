"""PostgreSQL restarts under a rollout, or a driver loses its lock: nothing is done twice."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import QlrfError, Refused
from qlrf_pipelines.domain.evidence import verify_chain
from qlrf_pipelines.domain.rollout import Rollout
from qlrf_pipelines.services.rollout_drive import drive
from tests.fakes.postgres import PostgresServer
from tests.faults.killed_rollout import ACME, FolderCloud, world_of
from tests.services.rollout_house import House, phase, plan

pytestmark = pytest.mark.slow
NAMES = [f"i-{n}" for n in range(1, 9)]


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of this module's own, so that its restarts hurt nobody else."""
    own = PostgresServer()
    yield own
    own.stop()


class Rig:
    """A rollout of eight machines over a real database, and something to happen at a call."""

    def __init__(self, folder: Path, database: Any) -> None:
        self.folder = folder
        self.calls = 0
        self.at: dict[int, Callable[[], None]] = {}
        self.door = threading.Lock()
        self.database = database
        self.started = time.time()
        self.world = self.another_world()
        self.house = House(
            plan(
                phase("canary", [NAMES[:1]], wait=0, health_checks=[]),
                phase("wave-1", [NAMES[1:4], NAMES[4:]], wait=0, health_checks=[]),
            ),
            FolderCloud(folder),  # type: ignore[arg-type]
            tasks=self.world.tasks,
            ledger=self.world.ledger,
            rollouts=self.world.rollouts,
        )
        self.house.begin()

    def another_world(self) -> Any:
        """The same database and cloud, over connections of its own."""
        cloud = FolderCloud(self.folder, self.reached)
        return world_of(self.database.settings, cloud, self.started)

    def reached(self, where: str) -> None:
        with self.door:
            self.calls += 1
            happens = self.at.pop(self.calls, None)
        if happens is not None:
            happens()

    def drive(self, world: Any = None, holder: str = "run-1") -> Rollout:
        return drive(
            world or self.world, ACME, self.house.id, holder=holder, hold_seconds=1, parallel=3
        )

    def changes(self) -> Counter[str]:
        files = (self.folder / "effects").iterdir()
        said = [path.read_text().split() for path in files]
        return Counter(name for kind, name in said if kind == "replace_with_image")

    def check(self) -> None:
        assert self.changes() == Counter(NAMES)
        assert self.house.task_state() == "completed"
        assert verify_chain(self.world.ledger.entries(ACME)) > 0


@pytest.fixture
def rig(tmp_path: Path, server: PostgresServer) -> Iterator[Rig]:
    made = server.database()
    yield Rig(tmp_path, made)
    server.drop(made)


@pytest.mark.parametrize("call", [1, 3, 8, 14])
def test_a_restart_under_a_driver_costs_an_attempt_at_most(
    rig: Rig, server: PostgresServer, call: int
) -> None:
    there, back = threading.Event(), threading.Event()

    def wait_for_it() -> None:
        there.set()
        back.wait(60)

    def drive_on() -> Rollout:
        for _ in range(4):
            try:
                return rig.drive()
            except QlrfError:
                continue
        return rig.drive()

    rig.at[call] = wait_for_it

    with ThreadPoolExecutor(1) as pool:
        driving = pool.submit(drive_on)
        assert there.wait(60)
        server.restart()  # here: a server ends with the thread that started it
        back.set()

    assert driving.result().state == "completed"
    rig.check()


def test_a_driver_that_lost_its_lock_writes_nothing_once_another_drives(rig: Rig) -> None:
    ended: list[Rollout] = []

    def lose_it() -> None:
        with rig.database.connected("postgres") as connection, connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' "
                "AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
        ended.append(rig.drive(rig.another_world(), holder="run-2"))

    rig.at[5] = lose_it

    with pytest.raises(Refused, match="driven by"):
        rig.drive()

    [by_other] = ended
    assert by_other.state == "completed"
    assert rig.house.now.seq == by_other.seq
    assert rig.house.now.holder == "run-2"
    rig.check()


def test_of_two_drivers_at_once_one_drives_and_the_other_waits_or_is_refused(rig: Rig) -> None:
    worlds = [rig.world, rig.another_world()]
    start = threading.Barrier(2)

    def one(number: int) -> str:
        start.wait()
        try:
            return rig.drive(worlds[number], holder=f"run-{number}").state.value
        except Refused as error:
            return str(error)

    with ThreadPoolExecutor(2) as pool:
        said = list(pool.map(one, range(2)))

    assert "completed" in said
    assert all(one == "completed" or "is in use by" in one for one in said)
    rig.check()
