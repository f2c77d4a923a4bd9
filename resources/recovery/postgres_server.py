"""One side of a replicated PostgreSQL: a server over a data folder of this machine.

It is started by pg_ctl and belongs to nobody: it outlives whoever moves it. What a drill must
remember about it lies in a pocket beside the data folder, so that copying one data folder over the
other forgets nothing.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.recovery import Serving
from resources.database import cluster, server

if TYPE_CHECKING:
    from psycopg2.extensions import connection

CONNECT_SECONDS = 3
START_SECONDS = 60
# Everybody is turned away, however they come: also if something starts this server again.
_NOBODY = "# fenced by a drill\nlocal all all reject\nhost all all all reject\n"
_OURS = ("postgresql.conf", "postgresql.auto.conf", "pg_hba.conf", "pg_ident.conf")


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """How one gets in; a password is kept out of every repr."""

    user: str
    database: str
    password: str = field(default="", repr=False)

    def to(self, host: str, port: int, **more: Any) -> dict[str, Any]:  # noqa: ANN401
        """What the driver wants to know of one server."""
        given: dict[str, Any] = {"host": host, "port": port, "user": self.user}
        given |= {"dbname": self.database, "connect_timeout": CONNECT_SECONDS}
        return given | ({"password": self.password} if self.password else {}) | more


@dataclass(frozen=True, slots=True, kw_only=True)
class PgSide:
    """A data folder, a port, the programs to run it and how to get in."""

    data: Path
    port: int
    binaries: Path
    login: Login
    launch: cluster.Launch = field(default_factory=cluster.launch_as)
    host: str = "127.0.0.1"

    @property
    def standby_name(self) -> str:
        """What the other side calls this one while it follows."""
        return f"qlrf-{self.port}"

    @property
    def pocket(self) -> Path:
        """Where a drill keeps what it must remember of this side."""
        return self.data.with_name(self.data.name + ".qlrf")

    @property
    def old(self) -> Path:
        """The data folder as it was before it was seeded again."""
        return self.data.with_name(self.data.name + ".qlrf-old")

    @contextmanager
    def connected(self, **more: Any) -> "Iterator[connection]":  # noqa: ANN401
        """A connection that commits every statement.

        Raises:
            Unavailable: it does not answer, or stopped to.
        """
        import psycopg2

        try:
            opened = psycopg2.connect(**self.login.to(self.host, self.port, **more))
        except psycopg2.Error as error:
            raise Unavailable(f"Port {self.port} does not answer: {_said(error)}.") from error
        try:
            opened.autocommit = True
            yield opened
        except psycopg2.Error as error:
            raise Unavailable(f"Port {self.port} stopped answering: {_said(error)}.") from error
        finally:
            opened.close()

    def ask(self, statement: str, *values: object) -> tuple[Any, ...]:
        """The first row of an answer.

        Raises:
            Unavailable: there is no answer.
        """
        options = f"-c statement_timeout={CONNECT_SECONDS * 1000}"
        with self.connected(options=options) as opened, opened.cursor() as cursor:
            cursor.execute(statement, values or None)
            return tuple(cursor.fetchone() or ())

    def serving(self) -> Serving:
        """What this side does now."""
        if not (self.data / "PG_VERSION").exists():
            return Serving.ABSENT
        if not self.runs():
            return Serving.ISOLATED if self.fenced_by() else Serving.STOPPED
        try:
            recovering = self.ask("SELECT pg_is_in_recovery()")
        except Unavailable:
            return Serving.ISOLATED if self.fenced_by() else Serving.UNKNOWN
        return Serving.STANDBY if recovering[0] else Serving.LIVE

    def runs(self) -> bool:
        """Whether its postmaster lives, and is a postmaster."""
        pid = server.postmaster_pid(self.data)
        if pid is None:
            return False
        try:
            name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8").strip()
        except OSError:
            return _alive(pid)
        # The number may be another server's by now; a postmaster works in its data folder.
        return name == "postgres" and _works_in(pid, self.data)

    def follows(self) -> bool:
        """Whether it is a standby that was never promoted, running or not."""
        return (self.data / "standby.signal").exists()

    def start(self) -> None:
        """Start it, if it does not run.

        Raises:
            Unavailable: it does not start.
        """
        if self.runs():
            return
        with suppress(FileNotFoundError):
            (self.data / "postmaster.pid").unlink()
        log = self.data.with_name(self.data.name + ".log")
        options = f"-c port={self.port} -c listen_addresses={self.host} -c unix_socket_directories="
        self._control(
            "start", "-w", "-t", str(START_SECONDS), "-l", str(self._log(log)), "-o", options
        )

    def _log(self, log: Path) -> Path:
        if not log.exists():
            log.touch(mode=0o600)
            self.own(log)
        return log

    def stop(self, mode: str) -> None:
        """Stop it: `fast` hands everything to its standbys first, `immediate` nothing.

        Raises:
            Unavailable: it does not stop.
        """
        if self.runs():
            self._control("stop", "-w", "-t", str(START_SECONDS), "-m", mode)

    def _control(self, *words: str) -> None:
        command = [str(self.binaries / "pg_ctl"), "-D", str(self.data), "-s", *words]
        cluster.run(command, self.launch)

    def promote(self) -> None:
        """Ask a standby to become a primary; it is one when `serving` says live.

        Raises:
            Unavailable: it does not answer.
        """
        self.ask("SELECT pg_promote(wait => false)")

    def fence(self, drill: str) -> None:
        """Turn everybody away for good, then stop without handing anything over.

        Also a server that something starts again lets nobody in.
        """
        self._remember(drill)
        self._write(self.data / "pg_hba.conf", _NOBODY)
        self.stop("immediate")

    def _remember(self, drill: str) -> None:
        if self.fenced_by():
            return
        self.pocket.mkdir(mode=0o700, exist_ok=True)
        for name in _OURS:
            if (self.data / name).exists():
                shutil.copy2(self.data / name, self.pocket / name)
        self._write(self.pocket / "fence.json", json.dumps({"drill": drill}))

    def fenced_by(self) -> str:
        """The drill that fenced it; '' if none did."""
        try:
            said = json.loads((self.pocket / "fence.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return ""
        return str(said.get("drill", ""))

    def restore_config(self) -> None:
        """Put its own configuration back, as it was before the fence or the copy of another."""
        for name in _OURS:
            kept = self.pocket / name
            if kept.exists():
                self._write(self.data / name, kept.read_text(encoding="utf-8"))

    def unfence(self) -> None:
        """Let everybody in again."""
        if self.fenced_by():
            self.restore_config()
            (self.pocket / "fence.json").unlink()

    def follow(self, other: "PgSide") -> None:
        """Be a standby of the other side from the next start on."""
        said = (
            f"host={other.host} port={other.port} user={other.login.user} "
            f"application_name={self.standby_name}"
        )
        if other.login.password:
            said += f" password={other.login.password}"
        quoted = said.replace("'", "''")
        auto = self.data / "postgresql.auto.conf"
        lines = auto.read_text(encoding="utf-8").splitlines() if auto.exists() else []
        kept = [line for line in lines if not line.startswith("primary_conninfo")]
        self._write(auto, "\n".join([*kept, f"primary_conninfo = '{quoted}'", ""]))
        self._write(self.data / "standby.signal", "")

    def rewind(self, source: "PgSide") -> None:
        """Undo what this side has and the source has not; the rest of it stays.

        Raises:
            Unavailable: it cannot be rewound; seed it again.
        """
        command = [
            str(self.binaries / "pg_rewind"),
            f"--target-pgdata={self.data}",
            f"--source-server={_conninfo(source)}",
        ]
        cluster.run(command, self.launch)

    def reseed(self, source: "PgSide") -> None:
        """Make it anew as a copy of the source; what it was is kept beside it.

        Raises:
            Unavailable: the copy cannot be made.
        """
        fresh = self.data.with_name(self.data.name + ".qlrf-new")
        if fresh.exists():
            shutil.rmtree(fresh)
        fresh.mkdir(mode=0o700)
        self.own(fresh)
        command = [str(self.binaries / "pg_basebackup"), "-D", str(fresh), "-X", "stream"]
        command += ["-c", "fast", "-d", _conninfo(source)]
        cluster.run(command, self.launch)
        if self.data.exists():
            if self.old.exists():
                shutil.rmtree(self.data)
            else:
                self.data.rename(self.old)
        fresh.rename(self.data)

    def last_checkpoint(self) -> str:
        """Where the log of a stopped server ends, as it says itself.

        Raises:
            Unavailable: it was not stopped cleanly, or cannot be read.
        """
        command = [str(self.binaries / "pg_controldata"), "-D", str(self.data)]
        said = dict(
            line.split(":", 1)
            for line in cluster.run(command, self.launch).stdout.splitlines()
            if ":" in line
        )
        state = said.get("Database cluster state", "").strip()
        if state not in ("shut down", "shut down in recovery"):
            raise Unavailable(f"{self.data.name} was not shut down cleanly: {state}.")
        return said["Latest checkpoint location"].strip()

    def tidy(self) -> None:
        """Forget what a drill had to remember."""
        for path in (self.pocket, self.old, self.data.with_name(self.data.name + ".qlrf-new")):
            if path.exists():
                shutil.rmtree(path)

    def remains(self) -> list[str]:
        """What a drill left beside the data folder."""
        new = self.data.with_name(self.data.name + ".qlrf-new")
        return [str(path) for path in (self.pocket, self.old, new) if path.exists()]

    def own(self, path: Path) -> None:
        """Give a file to the user the server runs as."""
        if self.launch.owner:
            os.chown(path, *self.launch.owner)

    def _write(self, path: Path, text: str) -> None:
        """Write a file whole or not at all."""
        fresh = path.with_name(path.name + ".qlrf-tmp")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        self.own(fresh)
        fresh.rename(path)


def wait_until(look: "Sequence[PgSide]", wanted: Serving, *, seconds: float) -> bool:
    """Wait a little until every side does what is wanted of it; says whether they do."""
    deadline = time.monotonic() + seconds
    while any(side.serving() is not wanted for side in look):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)  # a server that is promoted says so to whoever asks, and to nobody else
    return True


def _conninfo(source: PgSide) -> str:
    parts = {
        "host": source.host,
        "port": str(source.port),
        "user": source.login.user,
        "dbname": source.login.database,
    }
    if source.login.password:
        parts["password"] = source.login.password
    return " ".join(f"{key}={_quoted(value)}" for key, value in parts.items())


def _quoted(value: str) -> str:
    return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _works_in(pid: int, folder: Path) -> bool:
    try:
        return Path(f"/proc/{pid}/cwd").resolve(strict=True) == folder.resolve()
    except PermissionError:
        return True
    except OSError:
        return False


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _said(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
