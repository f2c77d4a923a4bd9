"""The embedded server, as its clients see it: a lease, a port, and nothing to stop or clean up."""

import fcntl
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg2

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.settings import Settings
from resources.database import cluster, roles, server
from resources.database.keeper import READY
from resources.database.place import Place, locked

START_SECONDS = 90
LOG_BYTES = 5_000_000
KEEPER = "resources.database.keeper"
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseStatus:
    """How the control-plane database stands."""

    embedded: bool
    running: bool
    pid: int | None
    port: int | None
    version: str | None
    size_bytes: int | None
    where: str  # the folder, or the server's address; never a password
    problem: str | None


def place_of(settings: Settings) -> Place:
    """Where the embedded server of this home keeps its files."""
    return Place(settings.home / "postgres")


@contextmanager
def served(settings: Settings) -> Iterator[tuple[Place, int]]:
    """A running server and its port; it stays up at least until the block ends.

    The lease is a shared file lock of this process: the kernel drops it at any death.

    Raises:
        Unavailable: it cannot be started; the message says why.
    """
    place = place_of(settings)
    place.prepare()
    # Waits while a keeper that saw no clients is still shutting its server down.
    with locked(place.lease, fcntl.LOCK_SH):
        yield place, ensure(place, settings.postgres_bin)


def ensure(place: Place, postgres_bin: str = "") -> int:
    """Make sure the server answers, starting it if need be; the caller holds a lease.

    Raises:
        Unavailable: it cannot be started, or lives and does not answer.
    """
    with locked(place.start, fcntl.LOCK_EX):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            port = place.port()
            if port is not None and place.data.exists() and answers(place, port):
                return port
            if not place.lives():
                _spawn_keeper(place, cluster.find_binaries(postgres_bin))
            else:
                time.sleep(0.05)  # it starts, recovers or ends: nothing else says when
    raise Unavailable(
        f"The database in {place.folder} lives but does not answer; {place.log} says why."
    )


def answers(place: Place, port: int) -> bool:
    """Whether *our* server answers there: both sides prove that they know the password (SCRAM)."""
    try:
        psycopg2.connect(**_login(place, port)).close()
    except psycopg2.OperationalError as error:
        return "too many clients" in str(error) or "reserved for" in str(error)
    return True


def _login(place: Place, port: int) -> dict[str, Any]:
    return {
        "host": "127.0.0.1",
        "port": port,
        "user": roles.APP,
        "password": place.password(roles.APP),
        "dbname": roles.CONTROL_DATABASE,
        "connect_timeout": 5,
    }


def _spawn_keeper(place: Place, binaries: Path) -> None:
    place.secret()
    if place.log.exists() and place.log.stat().st_size > LOG_BYTES:
        place.log.rename(place.log.with_suffix(".1"))
    read, write = os.pipe()
    log = os.open(place.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        keeper = subprocess.Popen(
            [sys.executable, "-m", KEEPER, str(place.folder), str(binaries), str(write)],
            cwd=ROOT,  # `-m` looks there first, so no folder of the caller's can stand in for us
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=(write,),
            start_new_session=True,
        )
    finally:
        os.close(write)
        os.close(log)
    with os.fdopen(read) as door:
        said = door.read().strip()
    if said != READY:
        keeper.wait()
        raise Unavailable(f"The database does not start: {said or f'see {place.log}'}")


def status(settings: Settings) -> DatabaseStatus:
    """How the embedded server stands; looks, and starts nothing."""
    place = place_of(settings)
    port = place.port() if place.data.exists() else None
    running = port is not None and answers(place, port)
    version, size = look(_login(place, port)) if running and port else (None, None)
    return DatabaseStatus(
        embedded=True,
        running=running,
        pid=server.postmaster_pid(place.data) if running else None,
        port=port,
        version=version or _written_by(place),
        size_bytes=size,
        where=str(place.folder),
        problem="it lives but does not answer" if not running and place.lives() else None,
    )


def look(login: Mapping[str, Any]) -> tuple[str | None, int | None]:
    """The version of a server and the size of the database; None for what it does not say."""
    try:
        connection = psycopg2.connect(**login)
    except psycopg2.OperationalError:
        return None, None
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            version = str((cursor.fetchone() or ("",))[0])
            cursor.execute("SELECT pg_database_size(current_database())")
            return version, int((cursor.fetchone() or (0,))[0])
    finally:
        connection.close()


def _written_by(place: Place) -> str | None:
    try:
        return (place.data / "PG_VERSION").read_text().strip()
    except OSError:
        return None
