"""kill -9 of whoever drives a rollout, anywhere: each asset is changed exactly once, or held."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qlrf_pipelines.domain.evidence import verify_chain
from qlrf_pipelines.domain.rollout import ENDED, Rollout
from qlrf_pipelines.services import rollouts
from tests.faults.killed_rollout import ACME, FRAGILE, SICK, FolderCloud, world_of
from tests.services.rollout_house import House, as_engineer, phase, plan, two_sides

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
TASKS = {
    "completed": "completed",
    "rolled_back": "rolled_back",
    "held": "paused",
    "stuck": "paused",
    "cancelled": "cancelled",
}


class Street:
    """One cloud and one database; rollouts on it, and drivers that may be told when to die."""

    def __init__(self, folder: Path, database: Any) -> None:
        self.started = time.time()
        self.folder = folder
        self.cloud = FolderCloud(folder)
        self.database = database
        self.world = world_of(database.settings, self.cloud, self.started)
        self.count = 0
        self.drivers = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "tests.faults.killed_rollout",
                str(folder),
                database.url(),
                str(self.started),
            ],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def begin(self, *kinds: str, sides: int = 1) -> "Begun":
        """A rollout over machines of these kinds: the first one is the canary."""
        self.count += 1
        names = [f"i-{self.count}-{n}-{kind}" for n, kind in enumerate(kinds)]
        hook = {
            "when": "postPatch",
            "type": "script",
            "target": "warm-up",
            "timeout_seconds": 60,
            "fail_policy": "abort",
        }
        quick = {"health_checks": [{"type": "cloud-status", "interval_seconds": 0.01}]}
        if sides == 2:
            phases = [two_sides("wave-1", [names[:3], names[3:]], preview=0, wait=0, **quick)]
        else:
            phases = [
                phase("canary", [names[:1]], wait=0, **quick),
                phase("wave-1", [names[1:3], names[3:]], wait=0, **quick),
            ]
        document = plan(*phases, hooks=[hook], id=f"p-{self.count}")
        return Begun(self, names, document)

    def driver(self, rollout: str, *, point: int = 0, seed: int = 0) -> int:
        """Let one driver run to its end; how it ended."""
        assert self.drivers.stdin is not None
        assert self.drivers.stdout is not None
        line = json.dumps({"rollout": rollout, "point": point, "seed": seed})
        self.drivers.stdin.write(line + "\n")
        self.drivers.stdin.flush()
        return int(self.drivers.stdout.readline())

    def close(self) -> None:
        assert self.drivers.stdin is not None
        self.drivers.stdin.close()
        self.drivers.wait(60)


class Begun:
    """A rollout that has begun, and what the cloud says was done to its machines."""

    def __init__(self, street: Street, names: list[str], document: dict[str, Any]) -> None:
        self.street, self.names = street, names
        parts = {"tasks": street.world.tasks, "ledger": street.world.ledger}
        self.house = House(
            document,
            street.cloud,  # type: ignore[arg-type]
            rollouts=street.world.rollouts,
            locks=street.world.locks,
            ids=street.world.ids,
            **parts,
        )
        self.house.begin()

    @property
    def now(self) -> Rollout:
        return self.house.now

    def drive(self, *, point: int = 0, seed: int = 0) -> int:
        return self.street.driver(self.house.id, point=point, seed=seed)

    def drive_to_its_end(self) -> Rollout:
        for _ in range(20):
            assert self.drive() == 0
            if self.now.state in ENDED or self.now.state in ("held", "stuck"):
                return self.now
        raise AssertionError(f"never came to an end: {self.now}")

    def calls(self) -> list[list[str]]:
        lines = (self.street.folder / "log").read_text().splitlines()
        return [parts for line in lines if (parts := line.split())[2] in self.names]

    def effects(self, *kinds: str) -> Counter[str]:
        """How often each machine was really changed, whatever the token."""
        files = (self.street.folder / "effects").iterdir()
        said = [path.read_text().split() for path in files]
        wanted = kinds or ("replace_with_image", "switch")
        return Counter(name for kind, name in said if kind in wanted and name in self.names)

    def check(self) -> None:
        """What holds of every rollout that came to its end, however often its drivers died."""
        state = self.now.state.value
        assert self.house.task_state() == TASKS[state]
        assert max(self.effects().values(), default=0) <= 1
        first: set[str] = set()
        for token, _, name, how in self.calls():
            assert how == "again" or token not in first, f"{name} was begun twice: {token}"
            first.add(token)
        for name, row in self.house.rows().items():
            if row.state == "done":
                assert self.effects()[name] == 1
                assert self.street.cloud.image(name) == "ami-new"
            elif row.state in ("restored", "waiting"):
                assert self.street.cloud.image(name) == "ami-old"
            else:
                assert row.state == "unknown"
                assert state == "held"
        if state in ENDED:
            assert self.street.world.rollouts.with_work(ACME, now=self.house.clock.now()) == []


@pytest.fixture
def street(tmp_path: Path, postgres: Any) -> Iterator[Street]:
    made = Street(tmp_path, postgres)
    yield made
    made.close()
    assert verify_chain(made.world.ledger.entries(ACME)) > 0


# One seed is what a usual run has time for; seven of them (QLRF_TEST_SEED=1 to 7) walk every point.
SEED = int(os.environ.get("QLRF_TEST_SEED", "1")) - 1
FORWARD = range(1 + SEED % 5, 64, 5)
BACK = range(2 + SEED % 6, 62, 6)
BESIDE = range(2 + SEED % 7, 80, 7)


def test_a_driver_killed_at_any_point_is_followed_by_one_that_finishes(street: Street) -> None:
    died = 0
    for point in FORWARD:
        begun = street.begin("a", "b", "c", "d")

        died += begun.drive(point=point, seed=point) == -signal.SIGKILL
        ended = begun.drive_to_its_end()

        assert ended.state == "completed"
        begun.check()
    assert died > len(FORWARD) * 0.8


def test_a_driver_killed_on_the_way_back_is_followed_by_one_that_brings_all_back(
    street: Street,
) -> None:
    died = 0
    for point in BACK:
        begun = street.begin("a", "b", SICK, "d")

        died += begun.drive(point=point, seed=point) == -signal.SIGKILL
        ended = begun.drive_to_its_end()

        assert ended.state == "rolled_back"
        begun.check()
    assert died > len(BACK) * 0.8


@pytest.mark.parametrize("sick", [False, True], ids=["forward", "back"])
def test_a_driver_killed_between_two_sides_leaves_one_that_serves(
    street: Street, sick: bool
) -> None:
    died = 0
    for point in BESIDE:
        begun = street.begin("a", "b", SICK if sick else "c", "d", sides=2)

        died += begun.drive(point=point, seed=point) == -signal.SIGKILL
        ended = begun.drive_to_its_end()

        assert ended.state == ("rolled_back" if sick else "completed")
        begun.check()
        assert max(begun.effects("start_beside").values()) == 1
        images = street.cloud.folder / "images"
        if sick:
            assert begun.effects("switch") == {}  # it was found before anything had traffic
            assert not [path for path in images.iterdir() if path.name.endswith("+new")]
        else:
            assert set(begun.effects("switch")) == set(begun.names)
            for path in images.iterdir():
                path.unlink()
    assert died >= 3


@pytest.mark.parametrize("seed", range(4 * SEED, 4 * SEED + 4))
def test_drivers_killed_again_and_again_change_every_asset_once(street: Street, seed: int) -> None:
    chance = random.Random(seed)
    begun = street.begin("a", "b", SICK if seed % 2 else "c", "d")

    for _ in range(8):
        begun.drive(point=chance.randint(1, 30), seed=chance.randint(1, 999))
    ended = begun.drive_to_its_end()

    assert ended.state == ("rolled_back" if seed % 2 else "completed")
    begun.check()


def test_what_a_killed_driver_may_have_sent_is_held_and_never_sent_again(street: Street) -> None:
    begun = street.begin("a", FRAGILE, "c", "d")

    assert begun.drive(point=-1) == -signal.SIGKILL
    held = begun.drive_to_its_end()

    assert held.state == "held"
    assert "nobody knows" in held.reason
    begun.check()
    assert sum(begun.effects().values()) <= 2
    rollouts.retry(street.world, ACME, begun.house.id, **as_engineer())
    assert begun.drive_to_its_end().state == "held"
    begun.check()
    rollouts.cancel(street.world, ACME, begun.house.id, **as_engineer(reason="looked at it"))
    assert begun.house.task_state() == "cancelled"
    assert street.world.rollouts.with_work(ACME, now=begun.house.clock.now()) == []
