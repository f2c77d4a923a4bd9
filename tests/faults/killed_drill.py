"""Drivers of drills of real servers, in processes of their own that are killed -9 at one place.

    python -m tests.faults.killed_drill

Reads one JSON request a line (`settings` of the store, `drill`, `place` to die at), forks a driver
for it, and answers with how the driver ended: a process is new each time, what it imports is not.
"""

import importlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from qlrf_pipelines.domain.operations import HealthReport, Progress, Status
from qlrf_pipelines.domain.recovery import Member, Move, Replication, Serving, Side
from qlrf_pipelines.ports.recovery import Canary, RecoveryAdapter, RecoverySession
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import drills
from qlrf_pipelines.settings import Settings
from tests.fakes.approvals import ACME

LOADED = (
    *(f"resources.database.{name}" for name in ("drills", "ledger", "locks", "sessions")),
    *(f"resources.{name}" for name in ("probes", "recovery.postgres", "secrets", "stopwatch")),
    "tests.fakes.world",
)


def die() -> None:
    """As the kernel does it: nothing is flushed, closed or said."""
    os.kill(os.getpid(), signal.SIGKILL)


class DyingSession(RecoverySession):
    """Hands everything on, and dies at its place."""

    def __init__(self, session: RecoverySession, place: str) -> None:
        self._session, self._place, self._steps = session, place, 0

    def replication(self) -> Replication:
        return self._session.replication()

    def serving(self) -> Mapping[Side, Serving]:
        found = self._session.serving()
        if self._place == "validation":
            die()
        return found

    def advance(self, move: Move) -> Progress:
        said = self._session.advance(move)
        here = self._place.split(":")
        if here[0] == move.kind:
            self._steps += 1
            # After the step was taken, before anybody heard of it.
            if self._steps >= int(here[1]) or said.status is not Status.RUNNING:
                die()
        return said

    def leftovers(self, drill: str) -> Sequence[str]:
        if self._place == "leftovers":
            die()
        return self._session.leftovers(drill)

    def canary(self, side: Side, *, drill: str) -> Canary | None:
        found = self._session.canary(side, drill=drill)
        return None if found is None else DyingCanary(found, side, self._place)

    def ask(
        self, side: Side, check: Mapping[str, Any], *, drill: str, timeout_seconds: float
    ) -> HealthReport:
        if self._place == "service_validation":
            die()
        return self._session.ask(side, check, drill=drill, timeout_seconds=timeout_seconds)


class DyingCanary(Canary):
    """Dies after a number was written, and before that was told."""

    def __init__(self, canary: Canary, side: Side, place: str) -> None:
        self._canary, self._side, self._place = canary, side, place

    def write(self, drill: str, number: int) -> None:
        self._canary.write(drill, number)
        if self._place == f"write:{number}" or (
            self._place == "workload" and self._side is Side.RECOVERY
        ):
            die()

    def read(self, drill: str) -> Sequence[int]:
        found = self._canary.read(drill)
        if self._place == "read":
            die()
        return found


class DyingAdapter(RecoveryAdapter):
    """Opens sessions that die at their place."""

    def __init__(self, adapter: RecoveryAdapter, place: str) -> None:
        self.name, self.version = adapter.name, adapter.version
        self.answers = adapter.answers
        self._adapter, self._place = adapter, place

    def open(self, member: Member) -> RecoverySession:
        return DyingSession(self._adapter.open(member), self._place)


def real_world(settings: Settings, place: str = "") -> World:
    """A world with a real store, real clocks and real servers."""
    from resources.database.drills import SqlDrills
    from resources.database.ledger import SqlLedger
    from resources.database.locks import SqlLocks
    from resources.database.sessions import Sessions
    from resources.probes import NetworkProbes
    from resources.recovery.postgres import PostgresRecovery
    from resources.secrets import Secrets
    from resources.stopwatch import SystemStopwatch
    from tests.fakes.world import fake_world

    sessions = Sessions(settings)
    adapter: RecoveryAdapter = PostgresRecovery(secrets=Secrets({}))
    return fake_world(
        drills=SqlDrills(sessions),
        ledger=SqlLedger(sessions),
        locks=SqlLocks(sessions),
        stopwatch=SystemStopwatch(),
        probes=NetworkProbes(),
        recovery={adapter.name: DyingAdapter(adapter, place) if place else adapter},
    )


def drive_once(wanted: Mapping[str, Any]) -> None:
    """One driver, until it is killed."""
    world = real_world(Settings.from_env(wanted["settings"]), wanted["place"])
    drills.drive(world, ACME, wanted["drill"], holder=f"process-{os.getpid()}")


def main() -> None:
    """Answer one request after the other."""
    for name in LOADED:
        importlib.import_module(name)  # here, not in every driver
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            drive_once(json.loads(line))
            os._exit(0)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
