"""Where an embedded server keeps its files, and the locks that say who uses it and who lives."""

import contextlib
import fcntl
import hashlib
import hmac
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from qlrf_pipelines.domain.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Place:
    """The files of one embedded server, all in one folder (`QLRF_HOME/postgres`).

    lease   every client process holds it shared; the keeper gets it alone when the last one is gone
    start   held by the one client that looks whether the server answers, and starts it if not
    alive   held by the keeper, the postmaster and every backend: free means nothing of it lives
    """

    folder: Path

    @property
    def data(self) -> Path:
        """The cluster."""
        return self.folder / "data"

    @property
    def log(self) -> Path:
        """What the keeper and the server say."""
        return self.folder / "log"

    @property
    def lease(self) -> Path:
        """Locked by every client."""
        return self.folder / "lease"

    @property
    def start(self) -> Path:
        """Locked while starting."""
        return self.folder / "start"

    @property
    def alive(self) -> Path:
        """Locked while anything of the server lives."""
        return self.folder / "alive"

    def prepare(self) -> None:
        """Make the folder; others may pass through it (root's server user must), not list it."""
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o711)
        except OSError as error:
            raise Unavailable(
                f"The database's folder {self.folder} cannot be made: {error.strerror}. "
                "Set QLRF_HOME to a folder you may write to."
            ) from error

    def secret(self) -> str:
        """The cluster's secret, made at the first call; it never leaves the 0600 file."""
        path = self.folder / "secret"
        with contextlib.suppress(FileNotFoundError):
            return path.read_text().strip()
        if self.data.exists():
            raise Unavailable(
                f"{path} is missing, so the database in {self.data} cannot be opened. "
                f"Restore it from a backup, or remove {self.folder} to start empty."
            )
        fresh = path.with_name(f"secret.{os.getpid()}")
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
        fresh.rename(path)
        return path.read_text().strip()

    def password(self, role: str) -> str:
        """A role's password, derived from the secret so that one file is enough."""
        return hmac.new(self.secret().encode(), role.encode(), hashlib.sha256).hexdigest()

    def port(self) -> int | None:
        """The port the server was last started on."""
        try:
            return int(json.loads((self.folder / "port").read_text()))
        except (FileNotFoundError, ValueError):
            return None

    def keep_port(self, port: int) -> None:
        """Remember the port, whole or not at all."""
        fresh = self.folder / f"port.{os.getpid()}"
        fresh.write_text(str(port))
        fresh.rename(self.folder / "port")

    def lives(self) -> bool:
        """Whether a keeper, a postmaster or a backend of this place is there."""
        if not self.alive.exists():
            return False
        with locked(self.alive, fcntl.LOCK_EX | fcntl.LOCK_NB) as got:
            return not got


@contextlib.contextmanager
def locked(path: Path, operation: int) -> Iterator[bool]:
    """Hold a file lock until the block ends; says whether it was got (LOCK_NB may not get it)."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(descriptor, operation)
            got = True
        except BlockingIOError:
            got = False
        yield got
    finally:
        os.close(descriptor)
