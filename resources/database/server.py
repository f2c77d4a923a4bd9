"""The server process over a cluster: started tied to us, waited for, stopped."""

import ctypes
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

from qlrf_pipelines.domain.errors import Unavailable
from resources.database.cluster import Launch, unreachable

START_SECONDS = 60
PR_SET_PDEATHSIG = 1

# For a machine that has other things to do; every client is a process of this platform.
SETTINGS: Mapping[str, str] = {
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",  # a socket's path may be 107 bytes long, a home is longer
    "password_encryption": "scram-sha-256",
    "max_connections": "100",
    "max_locks_per_transaction": "128",  # a batch of tenants is one session lock each
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "max_parallel_workers_per_gather": "0",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
}

_WATCHDOGS: list["subprocess.Popen[bytes]"] = []


def serve(
    data: Path,
    *,
    binaries: Path,
    port: int,
    launch: Launch,
    settings: Mapping[str, str] = SETTINGS,
    keep: Sequence[int] = (),
    log: IO[bytes] | None = None,
    by_kernel: bool = sys.platform.startswith("linux"),
) -> subprocess.Popen[bytes]:
    """Start the server as our child; it shuts down by itself when we die, however we die.

    The kernel sends it SIGINT (a fast, clean shutdown) at our death; where there is no such
    signal, a watchdog process does. `keep` are descriptors it inherits, for their locks;
    `log` takes what it says (default: where we say ours).
    """
    _forget_dead(data)
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command = [str(binaries / "postgres"), "-D", str(data), "-c", f"port={port}", *options]
    prefix, before = _tied_to_us(launch) if by_kernel else (launch.prefix, None)
    direct = launch.owner if not launch.prefix else None
    try:
        server = subprocess.Popen(  # noqa: S603  our own program, our own arguments
            [*prefix, *command],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=tuple(keep),
            preexec_fn=before,
            user=direct[0] if direct else None,
            group=direct[1] if direct else None,
            extra_groups=[] if direct else None,
        )
    except PermissionError as error:
        raise unreachable(command[0]) from error
    if not by_kernel:
        _watch(server)
    return server


def _watch(server: "subprocess.Popen[bytes]") -> None:
    # Reads a pipe whose other end only we have: it ends when we do.
    watchdog = subprocess.Popen(  # noqa: S603  a number of our own
        ["sh", "-c", f"read _ || kill -INT {server.pid} 2>/dev/null"],  # noqa: S607
        cwd="/",
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    _WATCHDOGS.append(watchdog)  # its pipe must stay open as long as we live


def _tied_to_us(launch: Launch) -> tuple[tuple[str, ...], Callable[[], None] | None]:
    us = os.getpid()
    if launch.prefix:
        # A change of user clears the signal, so setpriv sets it; the shell then makes sure that
        # we did not die before it was set.
        check = ("sh", "-c", f'[ "$PPID" = {us} ] && exec "$@"', "sh")
        return (*launch.prefix[:-1], "--pdeathsig", "INT", "--", *check), None
    library = ctypes.CDLL(None, use_errno=True)

    def tie() -> None:
        library.prctl(PR_SET_PDEATHSIG, signal.SIGINT)
        if os.getppid() != us:
            os._exit(1)

    return (), tie


def _forget_dead(data: Path) -> None:
    """Remove the pid file of a dead server whose number another program has by now.

    The caller holds the lock that proves nothing of this cluster lives; PostgreSQL itself would
    refuse to start because *some* process has that number, as happens in every container, or
    because the dead one was not reaped yet.
    """
    pid = postmaster_pid(data)
    if pid is None or not sys.platform.startswith("linux"):
        return
    try:
        name, state = Path(f"/proc/{pid}/stat").read_text().split("(", 1)[1].rsplit(") ", 1)
    except OSError:
        name, state = "", ""
    if name != "postgres" or state.startswith("Z"):
        (data / "postmaster.pid").unlink(missing_ok=True)


def postmaster_pid(data: Path) -> int | None:
    """The number in the pid file; None if there is none."""
    try:
        return int((data / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None


def wait_ready(server: subprocess.Popen[bytes], data: Path) -> bool:
    """Wait until the server accepts connections; False if it ended or took too long."""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            lines = (data / "postmaster.pid").read_text().splitlines()
        except OSError:
            lines = []
        if len(lines) > 7 and lines[7].strip() == "ready" and lines[0] == str(server.pid):
            return True
        time.sleep(0.01)  # PostgreSQL says so in this file and nowhere else
    return False


def stop(server: subprocess.Popen[bytes]) -> None:
    """Shut down fast and clean; after a minute, at once (the next start then recovers)."""
    for signal_number in (signal.SIGINT, signal.SIGQUIT):
        if server.poll() is not None:
            return
        server.send_signal(signal_number)
        try:
            server.wait(timeout=60)
        except subprocess.TimeoutExpired:
            continue


def free_port(wish: int | None = None) -> int:
    """The wished port of 127.0.0.1 if nobody has it, else one nobody has."""
    for port in (wish, 0):
        if port is None:
            continue
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise Unavailable("127.0.0.1 has no free port left.")
