"""Drivers of rollouts in processes of their own, which kill themselves, kill -9, at chosen points.

    python -m tests.faults.killed_rollout FOLDER DATABASE_URL STARTED

Reads one JSON request a line (`rollout`, `point`, `seed`), forks a driver for it, and answers with
how the driver ended: a process is new each time, what it imports is not. `point` counts over every
call to the cloud and every step that is kept; 0 is never, -1 is when something is sent to a frail
machine. The cloud is a folder: what was done to
it is a file per token, and every call is a line of its log.
"""

import importlib
import json
import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.domain.estate import Connector, Estate, Tenant, TenantId
from qlrf_pipelines.domain.operations import (
    NEW_SIDE,
    Health,
    HealthReport,
    Operation,
    OperationKind,
    Progress,
    Status,
    Target,
)
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.clock import Clock
from qlrf_pipelines.ports.executors import Executor, Operator
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.rollout_drive import drive
from qlrf_pipelines.settings import Settings
from tests.fakes.clock import NOON
from tests.fakes.estate import FakeEstate
from tests.fakes.world import fake_world

ACME = TenantId("acme")
# What was sent to these and not answered cannot be told apart from done.
FRAGILE = "frail"
SICK = "sick"


class LateClock(Clock):
    """The time that passes, counted from the noon of all tests."""

    def __init__(self, started: float) -> None:
        self._started = started

    def now(self) -> datetime:
        return NOON + timedelta(seconds=time.time() - self._started)


class FolderCloud(Executor, Operator):
    """A cloud in a folder: safe to be killed in, and it tells how often it was asked for what."""

    platform = Platform.AWS
    version = "folder/1"

    def __init__(self, folder: Path, reached: Callable[[str], None] = lambda where: None) -> None:
        self.folder = folder
        self._reached = reached
        for name in ("effects", "images"):
            (folder / name).mkdir(parents=True, exist_ok=True)

    def operator(self, connector: Connector, account: str) -> Operator:
        return self

    def capture(self, target: Target) -> Mapping[str, Any]:
        self._reached("")
        return {"image": self.image(target.id)}

    def image(self, name: str) -> str:
        path = self.folder / "images" / name
        return path.read_text() if path.exists() else "ami-old"

    def advance(self, operation: Operation) -> Progress:
        self._log(operation)
        self._reached(FRAGILE if self._cannot_tell(operation) else "")
        effect = self.folder / "effects" / operation.token
        if not effect.exists():
            if operation.begun and self._cannot_tell(operation):
                return Progress(status=Status.UNKNOWN, detail="nobody knows whether it was sent")
            self._do(operation, effect)
        self._reached("")
        if operation.kind in (OperationKind.START_BESIDE, OperationKind.SWITCH):
            new = _new(operation.target.id)
            return Progress(status=Status.SUCCEEDED, detail="done", asset_id=new)
        return Progress(status=Status.SUCCEEDED, detail="done")

    def _cannot_tell(self, operation: Operation) -> bool:
        changes = operation.kind is OperationKind.REPLACE_WITH_IMAGE
        return changes and FRAGILE in operation.target.id

    def _do(self, operation: Operation, effect: Path) -> None:
        named = f"{operation.kind} {operation.target.id}"
        if operation.kind is OperationKind.REPLACE_WITH_IMAGE:
            self._set(operation.target.id, str(operation.image))
        elif operation.kind is OperationKind.START_BESIDE:
            self._set(_new(operation.target.id), str(operation.image))
        elif operation.kind is OperationKind.SWITCH:
            assert operation.parameters[NEW_SIDE] == _new(operation.target.id)
            self._set(operation.target.id, self.image(_new(operation.target.id)))
        elif operation.kind is OperationKind.RESTORE:
            self._set(operation.target.id, str(operation.before["image"]))
            (self.folder / "images" / _new(operation.target.id)).unlink(missing_ok=True)
        fresh = self.folder / f"{operation.token}.{os.getpid()}.{threading.get_ident()}"
        fresh.write_text(named)
        os.link(fresh, effect)  # whole or not at all, and never over another one

    def _set(self, name: str, image: str) -> None:
        path = self.folder / "images" / name
        fresh = self.folder / f"{name}.{os.getpid()}.{threading.get_ident()}"
        fresh.write_text(image)
        fresh.replace(path)

    def _log(self, operation: Operation) -> None:
        how = "again" if operation.begun else "fresh"
        with (self.folder / "log").open("a") as log:
            log.write(f"{operation.token} {operation.kind} {operation.target.id} {how}\n")

    def check(self, target: Target, check: Mapping[str, Any]) -> HealthReport:
        self._reached("")
        sick = SICK in target.id and self.image(target.id) != "ami-old"
        return HealthReport(health=Health.UNHEALTHY if sick else Health.HEALTHY, why="so it is")

    def address(self, target: Target) -> str | None:
        return None


def _new(name: str) -> str:
    """The new side of a machine; what the machine itself is said to have is what serves."""
    return f"{name}+new"


class Mortal:
    """Passes everything on; before, during and after each kept step it may be the end."""

    def __init__(self, inner: Any, reached: Callable[[str], None]) -> None:
        self._inner = inner
        self._reached = reached

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        return self._amend if name == "amend" else found

    def _amend(self, tenant: TenantId, named: str, step: Callable[[Any], Any], **parts: Any) -> Any:
        def during(found: Any) -> Any:
            taken = step(found)
            self._reached("")
            return taken

        self._reached("")
        after = self._inner.amend(tenant, named, during, **parts)
        self._reached("")
        return after


def world_of(settings: Settings, cloud: FolderCloud, started: float, **parts: Any) -> World:
    """A world on this database, with this cloud."""
    from resources.database.ledger import SqlLedger
    from resources.database.locks import SqlLocks
    from resources.database.rollouts import SqlRollouts
    from resources.database.sessions import Sessions
    from resources.database.tasks import SqlTasks

    sessions = Sessions(settings)
    home = Connector(tenant=ACME, name="main", platform=Platform.AWS)
    tenant = Tenant(name=ACME, display_name="Acme", connectors=(home,))
    given: dict[str, Any] = {
        "clock": LateClock(started),
        "tasks": SqlTasks(sessions),
        "ledger": SqlLedger(sessions),
        "rollouts": SqlRollouts(sessions),
        "locks": SqlLocks(sessions),
        "executors": {Platform.AWS: cloud},
        "estate": FakeEstate(Estate(tenants=(tenant,))),
    }
    return fake_world(**(given | parts))


class Fate:
    """Kills this process at the n-th point that is reached, or at the first frail one for -1."""

    def __init__(self, point: int, seed: int) -> None:
        self._point = self._left = point
        self._random = random.Random(seed)
        self._door = threading.Lock()

    def __call__(self, where: str) -> None:
        with self._door:
            self._left -= 1
            if self._left == 0 or (self._point < 0 and where == FRAGILE):
                os.kill(os.getpid(), signal.SIGKILL)
            # Another order of the threads each time.
            nap = self._random.random() / 500
        time.sleep(nap)


def drive_once(folder: Path, url: str, started: float, wanted: Mapping[str, Any]) -> None:
    """One driver, until it is killed, ends, or waits for a human."""
    settings = Settings.from_env({"QLRF_HOME": str(folder / "home"), "QLRF_DATABASE_URL": url})
    fate = Fate(wanted["point"], wanted["seed"])
    plain = world_of(settings, FolderCloud(folder, fate), started)
    world = world_of(
        settings,
        FolderCloud(folder, fate),
        started,
        tasks=Mortal(plain.tasks, fate),
        rollouts=Mortal(plain.rollouts, fate),
    )
    drive(world, ACME, wanted["rollout"], holder=f"p{os.getpid()}", hold_seconds=1, parallel=3)


def main(folder: Path, url: str, started: float) -> None:
    """Answer one request after the other."""
    for name in ("ledger", "locks", "rollouts", "sessions", "tasks"):
        importlib.import_module(f"resources.database.{name}")  # here, not in every driver
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                drive_once(folder, url, started, json.loads(line))
            except QlrfError as error:
                sys.stderr.write(f"{type(error).__name__}: {error}\n")
                os._exit(3)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
