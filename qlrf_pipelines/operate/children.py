"""The processes the supervisor runs: what each is, how it is started and how it is ended."""

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from qlrf_pipelines.operate.code_location import LOCATION, MODULE, socket_path
from qlrf_pipelines.operate.dagster_home import folder
from qlrf_pipelines.settings import Settings

_PR_SET_PDEATHSIG = 1
STOP_SECONDS = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One long-lived process: its name and its command."""

    name: str
    command: tuple[str, ...]


def programs(settings: Settings) -> tuple[Program, ...]:
    """The code server first: the daemon and the webserver are pointed at it.

    Pointed at a module instead, the daemon would start a new code server every minute, at five
    CPU seconds each.
    """
    workspace = str(write_workspace(settings))
    python = sys.executable
    code = (
        *(python, "-m", "dagster", "api", "grpc", "--module-name", MODULE),
        *("--socket", str(socket_path(settings)), "--location-name", LOCATION),
        *("--use-python-environment-entry-point", "--max-workers", "8"),
        *("--log-level", "warning", "--inject-env-vars-from-instance"),
    )
    daemon = (python, "-m", "dagster._daemon", "run", "-w", workspace, "--log-level", "warning")
    web = (
        *(python, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(settings.ui_port)),
        *("-w", workspace, "--log-level", "warning", "--dagster-log-level", "warning"),
    )
    return (
        Program(name="code", command=code),
        Program(name="daemon", command=daemon),
        Program(name="webserver", command=web),
    )


def write_workspace(settings: Settings) -> Path:
    """The workspace of the daemon and the webserver: the one code server that is there."""
    path = folder(settings) / "workspace.yaml"
    server = {"socket": str(socket_path(settings)), "location_name": LOCATION}
    path.write_text(yaml.safe_dump({"load_from": [{"grpc_server": server}]}))
    return path


class Child:
    """One running program, in a process group of its own. Start it from the main thread."""

    def __init__(
        self,
        program: Program,
        *,
        environment: Mapping[str, str],
        log: Path,
        ended: "queue.SimpleQueue[str]",
    ) -> None:
        self.name = program.name
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                program.command,
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=subprocess.STDOUT,
                env=dict(environment),
                start_new_session=True,
                preexec_fn=_die_with_parent(),
            )
        self.pid = self._process.pid
        threading.Thread(target=self._await, args=(ended,), daemon=True).start()

    def _await(self, ended: "queue.SimpleQueue[str]") -> None:
        self._process.wait()
        ended.put(self.name)

    @property
    def code(self) -> int | None:
        """Its exit code; None while it runs."""
        return self._process.returncode

    def stop(self, *, seconds: float = STOP_SECONDS) -> None:
        """End it and everything of its group."""
        self._signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=seconds)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()
        # What a run left behind in the group: its code server is gone, nobody would reap it.
        self._signal(signal.SIGKILL)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.pid, number)
        except ProcessLookupError:
            return


class Guard:
    """Outlives us by as long as it takes to end what we left running."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("guard.py")
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(script)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        self.pid = self._process.pid

    def watch(self, group: int) -> None:
        """End this group if we cannot."""
        self._tell(f"+{group}")

    def forget(self, group: int) -> None:
        """The group is gone."""
        self._tell(f"-{group}")

    def dismiss(self) -> None:
        """Everything was ended in order."""
        self._tell("done")
        if self._process.stdin:
            self._process.stdin.close()
        self._process.wait()

    def _tell(self, word: str) -> None:
        if self._process.stdin:
            self._process.stdin.write(f"{word}\n".encode())
            self._process.stdin.flush()


def burial(environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Start marking runs that ended with a process of ours as failed; takes some seconds."""
    with log.open("ab") as sink:
        return subprocess.Popen(
            [sys.executable, "-m", "qlrf_pipelines.operate.orphans"],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=dict(environment),
            preexec_fn=_die_with_parent(),
        )


def _die_with_parent() -> Callable[[], None] | None:
    if not sys.platform.startswith("linux"):
        return None
    library, us = ctypes.CDLL(None, use_errno=True), os.getpid()

    def tie() -> None:
        library.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
        if os.getppid() != us:
            os._exit(1)

    return tie


def answers(url: str, *, seconds: float = 2.0) -> bool:
    """Whether the webserver of that address is there."""
    try:
        with urllib.request.urlopen(f"{url}/server_info", timeout=seconds) as reply:  # noqa: S310
            return bool(reply.status == 200)
    except (urllib.error.URLError, OSError):
        return False
