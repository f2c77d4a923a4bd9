"""Starting the simulator beside us, and talking to its own doors."""

import http.client
import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from qlrf_pipelines.domain.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Simulator:
    """A running simulator: where its AWS API is, and what to tell the world behind it."""

    url: str

    def move(self) -> None:
        """Let the second day come: machines replaced, one gone, one region failing."""
        self._ask("move")

    def heal(self) -> None:
        """Let every region answer again."""
        self._ask("heal")

    def sicken(self) -> None:
        """Let machines that globex starts from now on fail their status checks."""
        self._ask("sicken")

    def existing(self) -> frozenset[str]:
        """The ids of all machines that really exist, whatever the API admits."""
        return frozenset(json.loads(self._ask("existing")))

    def _ask(self, door: str) -> bytes:
        host = self.url.removeprefix("http://")
        connection = http.client.HTTPConnection(host, timeout=30)
        try:
            connection.request("POST", f"/simulator/{door}")
            return connection.getresponse().read()
        finally:
            connection.close()


@contextmanager
def running() -> Iterator[Simulator]:
    """A simulator in a process of its own, ended with the block (or with us: it reads our pipe).

    Raises:
        Unavailable: it did not start, most likely because moto is not installed.
    """
    command = [sys.executable, "-m", "resources.clouds.aws.simulator.server"]
    process = subprocess.Popen(  # noqa: S603  our own interpreter and module
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        line = process.stdout.readline() if process.stdout else ""
        if not line:
            raise Unavailable(
                "The simulated AWS did not start (its own message is above). It needs moto: "
                "install QL-RF with its `dev` extra, as `make demo` does."
            )
        yield Simulator(f"http://127.0.0.1:{json.loads(line)['port']}")
    finally:
        if process.stdin:
            process.stdin.close()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
