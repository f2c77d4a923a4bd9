"""The supervisor: keeps the database, the code server, the daemon and the webserver running.

`python -m qlrf_pipelines.operate.supervisor READY` is started by `qlrf up`, writes one line to the
descriptor READY (`ready`, or what is wrong) and stays until it is told to stop. It imports no
Dagster, so it stays small.
"""

import os
import queue
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime

from qlrf_pipelines import wiring
from qlrf_pipelines.domain.errors import QlrfError, Unavailable
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.operate import state
from qlrf_pipelines.operate.children import (
    Child,
    Guard,
    Program,
    answers,
    burial,
    programs,
)
from qlrf_pipelines.operate.code_location import socket_path
from qlrf_pipelines.operate.dagster_home import environment, prepare
from qlrf_pipelines.operate.processes import Identity, identify
from qlrf_pipelines.operate.state import PlatformState
from qlrf_pipelines.settings import Settings

READY = "ready"
STOP = "stop"
START_SECONDS = 240.0
WATCH_SECONDS = 30.0
BURIAL_SECONDS = 60.0
# A run is asked for by the one and is a child of the other.
LAUNCHES = ("daemon", "code")
MAX_DEATHS, WITHIN_SECONDS = 5, 600.0


class GaveUp(Exception):
    """A child dies again and again; the message names it and its log."""


class Deaths:
    """Remembers when a child died, and says how long to wait before the next try."""

    def __init__(self) -> None:
        self._moments: dict[str, deque[float]] = {}

    def record(self, name: str, *, now: float) -> float:
        """Seconds to wait before it is started again: 1, 2, 4, ...

        Raises:
            GaveUp: it died too often in too short a time.
        """
        moments = self._moments.setdefault(name, deque(maxlen=MAX_DEATHS))
        moments.append(now)
        recent = [moment for moment in moments if now - moment < WITHIN_SECONDS]
        if len(recent) >= MAX_DEATHS:
            raise GaveUp(f"The {name} died {MAX_DEATHS} times in {WITHIN_SECONDS / 60:.0f} minutes")
        return float(2 ** (len(recent) - 1))

    def counts(self) -> dict[str, int]:
        """Deaths remembered, by name."""
        return {name: len(moments) for name, moments in self._moments.items()}


class Supervisor:
    """Runs until it is stopped; use `run` once, from the main thread."""

    def __init__(self, settings: Settings, *, say: Callable[[str], None]) -> None:
        self._settings = settings
        self._say = say
        self._events: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._children: dict[str, Child] = {}
        self._deaths = Deaths()
        self._guard = Guard()
        self._ready = False
        self._since = datetime.now(UTC)  # noqa: TID251  a process's own start, for `status`
        self._url = f"http://127.0.0.1:{settings.ui_port}"

    def run(self, ready: Callable[[], None]) -> None:
        """Start everything, call `ready`, and keep it running until a signal ends it.

        Raises:
            GaveUp: a child cannot be kept running.
            Unavailable: the database cannot.
        """
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda *_: self._events.put(STOP))
        with ExitStack() as leases:
            try:
                self._serve(leases, ready)
            finally:
                self._stop()
        self._guard.dismiss()
        state.clear(self._settings)

    def _serve(self, leases: ExitStack, ready: Callable[[], None]) -> None:
        database = leases.enter_context(wiring.database(self._settings))
        prepare(self._settings)
        folder = socket_path(self._settings).parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = folder.stat()
        if own.st_uid != os.getuid() or own.st_mode & 0o022:
            raise Unavailable(
                f"{folder} can be written by others; make it yours alone (chmod 700)."
            )
        socket_path(self._settings).unlink(missing_ok=True)
        env = dict(os.environ) | environment(  # noqa: TID251  handed on to our children
            self._settings, dagster_url=database.dagster_url
        )
        plan = {program.name: program for program in programs(self._settings)}
        for program in plan.values():
            self._start(program, env)
            if program.name == "code" and not self._until(socket_path(self._settings).exists):
                return
        if not self._until(lambda: answers(self._url)):
            return
        self._ready = True
        self._write()
        ready()
        self._watch(plan, env, leases)

    def _until(self, reached: Callable[[], bool]) -> bool:
        # Nothing announces a server that listens: ask until it does. False when told to stop.
        deadline = time.monotonic() + START_SECONDS
        while not reached():
            try:
                event = self._events.get(timeout=0.2)
            except queue.Empty:
                if time.monotonic() > deadline:
                    raise GaveUp(f"Nothing answers after {START_SECONDS:.0f} s") from None
                continue
            if event == STOP:
                return False
            raise GaveUp(f"The {event} ended with code {self._children[event].code}")
        return True

    def _watch(self, plan: dict[str, Program], env: dict[str, str], leases: ExitStack) -> None:
        while True:
            try:
                event = self._events.get(timeout=WATCH_SECONDS)
            except queue.Empty:
                self._look_after_database(leases)
                continue
            if event == STOP:
                return
            child = self._children[event]
            child.stop(seconds=0)
            self._guard.forget(child.pid)
            pause = self._deaths.record(event, now=time.monotonic())
            self._say(
                f"The {event} ended with code {child.code}; starting it again in {pause:.0f} s."
            )
            if event == "code":
                socket_path(self._settings).unlink(missing_ok=True)
            if event in LAUNCHES and not self._buried(event, env):
                return
            if self._told_to_stop_within(pause):
                return
            self._start(plan[event], env)

    def _buried(self, name: str, env: dict[str, str]) -> bool:
        """Let nobody wait for runs that ended with a process; False when told to stop.

        They are found before it is started again: afterwards nobody could tell them from its own.
        """
        log = state.log_folder(self._settings) / f"{name}.log"
        work = burial(env, log)
        deadline = time.monotonic() + BURIAL_SECONDS
        while work.poll() is None and time.monotonic() < deadline:
            if self._told_to_stop_within(0.2):
                work.kill()
                return False
        if work.poll() != 0:
            work.kill()
            self._say(f"Its runs could not be looked at ({log}); run monitoring does so later.")
        return True

    def _told_to_stop_within(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        others: list[str] = []
        try:
            while (left := deadline - time.monotonic()) > 0:
                event = self._events.get(timeout=left)
                if event == STOP:
                    return True
                others.append(event)
        except queue.Empty:
            pass
        for event in others:
            self._events.put(event)
        return False

    def _look_after_database(self, leases: ExitStack) -> None:
        status = wiring.database_status(self._settings)
        if status.embedded and not status.running:
            self._say("The database is gone; starting it again.")
            try:
                leases.enter_context(wiring.database(self._settings))
            except Unavailable as error:
                self._say(f"The database does not start: {error}")

    def _start(self, program: Program, env: dict[str, str]) -> None:
        log = state.log_folder(self._settings) / f"{program.name}.log"
        child = Child(program, environment=env, log=log, ended=self._events)
        self._guard.watch(child.pid)
        self._children[program.name] = child
        self._write()

    def _stop(self) -> None:
        for name in ("webserver", "daemon", "code"):
            if child := self._children.get(name):
                child.stop()
                self._guard.forget(child.pid)
        socket_path(self._settings).unlink(missing_ok=True)

    def _write(self) -> None:
        children = {name: identify(child.pid) for name, child in self._children.items()}
        own = identify(os.getpid()) or Identity(pid=os.getpid(), started=0)
        state.write(
            self._settings,
            PlatformState(
                supervisor=own,
                since=iso(self._since, digits=False),
                url=self._url,
                ready=self._ready,
                children={name: found for name, found in children.items() if found},
                restarts=self._deaths.counts(),
            ),
        )


def supervise(settings: Settings, *, say: Callable[[str], None], ready: Callable[[], None]) -> None:
    """Be the supervisor until told to stop.

    Raises:
        Unavailable: another supervisor runs, or something cannot be kept running.
    """
    with state.only_one(settings) as alone:
        if not alone:
            raise Unavailable("Another supervisor runs already; `qlrf status` shows it.")
        try:
            Supervisor(settings, say=say).run(ready)
        except GaveUp as error:
            logs = state.log_folder(settings)
            raise Unavailable(f"{error}; see the logs in {logs}.") from error


def main(descriptor: str) -> int:
    """The detached supervisor: tells `qlrf up` how the start went, then the log."""
    door = os.fdopen(int(descriptor), "w")

    def say(message: str) -> None:
        print(iso(datetime.now(UTC), digits=False), message, flush=True)  # noqa: T201, TID251

    def ready() -> None:
        door.write(f"{READY}\n")
        door.close()

    try:
        supervise(Settings.from_env(dict(os.environ)), say=say, ready=ready)  # noqa: TID251
    except QlrfError as error:
        say(str(error))
        if not door.closed:
            door.write(" ".join(str(error).split()) + "\n")
        return 1
    finally:
        if not door.closed:
            door.close()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
