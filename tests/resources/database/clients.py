"""Processes that use an embedded database, and a way to know that nothing of it lives."""

import contextlib
import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from qlrf_pipelines.settings import Settings
from resources.database.place import Place, locked

ROOT = Path(__file__).parents[3]
PROGRAM = """
import json, sys
from qlrf_pipelines.settings import Settings
from resources.database.connection import opened
from resources.database.embedded import status

settings = Settings.from_env({"QLRF_HOME": sys.argv[1], "PG_BIN": sys.argv[2]})
with opened(settings) as database:
    found = status(settings)
    print(json.dumps({"pid": found.pid, "port": found.port, "size": found.size_bytes}), flush=True)
    sys.stdin.readline()
"""


class Client:
    """A process with a lease; `told` is what it saw once the database was up."""

    def __init__(
        self, home: Path, *, binaries: Path | str = "", prefix: Sequence[str] = ()
    ) -> None:
        self.process = subprocess.Popen(
            [*prefix, sys.executable, "-c", PROGRAM, str(home), str(binaries)],
            cwd=ROOT,
            env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def told(self) -> dict[str, int]:
        line = self.process.stdout.readline()
        assert line, self.process.stderr.read()
        return json.loads(line)

    def leave(self) -> int:
        self.process.communicate("\n")
        return self.process.returncode

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


@contextlib.contextmanager
def client(home: Path, **parts: object) -> Iterator[Client]:
    started = Client(home, **parts)
    try:
        yield started
    finally:
        started.kill()


def place(home: Path) -> Place:
    return Place(home / "postgres")


def settings_of(home: Path) -> Settings:
    return Settings.from_env({"QLRF_HOME": str(home)})


def wait_until_nothing_lives(home: Path) -> None:
    """Blocks on the lock that the keeper, the postmaster and every backend hold."""
    with locked(place(home).alive, fcntl.LOCK_EX) as got:
        assert got


def keeper_pid(home: Path) -> int:
    """The parent of the postmaster."""
    pid = int((place(home).data / "postmaster.pid").read_text().split()[0])
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


def processes_of(home: Path) -> list[str]:
    """The command lines of every process that names this home."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            if str(place(home).folder) in command and int(entry.name) != os.getpid():
                found.append(command)
    return found
