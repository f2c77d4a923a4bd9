"""The keeper: a process of its own that runs an embedded server for as long as anybody uses it.

`python -m resources.database.keeper FOLDER BIN READY` starts the server of FOLDER as its child,
writes one line to the descriptor READY, and then waits, without polling, for one of two things:

- the lease becomes free, because every client process is gone (the kernel drops their locks however
  they die): it stops the server and ends;
- the server ends by itself: it ends too, and the next client starts anew.

If the keeper itself is killed, the kernel tells the server to shut down.
"""

import contextlib
import fcntl
import os
import subprocess
import sys
import threading
from pathlib import Path
from typing import TextIO

import psycopg2

from qlrf_pipelines.domain.errors import QlrfError, Unavailable
from resources.database import cluster, roles, server
from resources.database.place import Place

READY = "ready"
STARTS = 3  # another port each time: somebody may take the one that was free a moment ago


def main(folder: str, binaries: str, ready: str) -> int:
    """Serve until nobody needs it; the exit code is the server's."""
    place = Place(Path(folder))
    door = os.fdopen(int(ready), "w")
    # Inherited by the server and each of its processes: free means nothing of it lives any more.
    alive = os.open(place.alive, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(alive, fcntl.LOCK_EX)
    new = not place.data.exists()
    try:
        postgres = _start(place, binaries=Path(binaries), alive=alive)
    except (QlrfError, OSError, psycopg2.Error) as error:
        _tell(door, " ".join(str(error).split()))
        return 1
    _tell(door, READY)
    if new:
        threading.Thread(target=_sync, args=(place, Path(binaries), alive), daemon=True).start()
    threading.Thread(target=_stop_when_unused, args=(place, postgres), daemon=True).start()
    return postgres.wait()


def _tell(door: TextIO, line: str) -> None:
    # Whoever started us may be gone by now; others may wait for the server all the same.
    with contextlib.suppress(BrokenPipeError), door:
        door.write(f"{line}\n")


def _sync(place: Place, binaries: Path, alive: int) -> None:
    # Takes seconds on a busy disk, so nobody waits for it.
    try:
        launch = cluster.launch_as()
        cluster.make_durable(place.data, binaries=binaries, launch=launch, keep=(alive,))
    except Unavailable as error:
        sys.stderr.write(f"The new database may not survive a power cut: {error}\n")


def _start(place: Place, *, binaries: Path, alive: int) -> subprocess.Popen[bytes]:
    launch = cluster.launch_as()
    if not place.data.exists():
        password = place.password(cluster.SUPERUSER)
        cluster.create(
            place.data, binaries=binaries, password=password, launch=launch, keep=(alive,)
        )
    cluster.same_major(place.data, binaries=binaries, launch=launch)
    for attempt in range(STARTS):
        port = server.free_port(place.port() if attempt == 0 else None)
        place.keep_port(port)
        postgres = server.serve(
            place.data, binaries=binaries, port=port, launch=launch, keep=(alive,)
        )
        if server.wait_ready(postgres, place.data):
            _make_roles(place, port)
            return postgres
        server.stop(postgres)
    raise Unavailable(f"PostgreSQL does not start; {place.log} says why.")


def _make_roles(place: Place, port: int) -> None:
    edition = place.folder / "roles"
    if edition.exists() and edition.read_text() == str(roles.EDITION):
        return

    def connect(database: str) -> "psycopg2.extensions.connection":
        return psycopg2.connect(
            host="127.0.0.1",
            port=port,
            user=cluster.SUPERUSER,
            password=place.password(cluster.SUPERUSER),
            dbname=database,
        )

    roles.make_everything(connect, place.password)
    edition.write_text(str(roles.EDITION))


def _stop_when_unused(place: Place, postgres: subprocess.Popen[bytes]) -> None:
    # Kept until this process ends: a client that comes now waits until the server is down.
    lease = os.open(place.lease, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lease, fcntl.LOCK_EX)
    server.stop(postgres)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4]))
