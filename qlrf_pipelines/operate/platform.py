"""Up and down: the whole platform as one thing that runs or does not."""

import fcntl
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable

from qlrf_pipelines import wiring
from qlrf_pipelines.domain.errors import QlrfError, Refused, Unavailable
from qlrf_pipelines.operate import state, supervisor
from qlrf_pipelines.operate.code_location import socket_path
from qlrf_pipelines.settings import Settings

STOP_SECONDS = 90.0


def url(settings: Settings) -> str:
    """Where the Dagster UI is."""
    return f"http://127.0.0.1:{settings.ui_port}"


def port_is_free(port: int) -> bool:
    """Whether nobody listens on that port of 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def up(settings: Settings) -> bool:
    """Start everything in the background and wait until it answers; False if it was up already.

    Raises:
        Refused: the UI's port is taken.
        Unavailable: something does not start.
    """
    if state.is_up(settings):
        return False
    _refuse_taken_port(settings)
    prepare_storage(settings)
    reader, writer = os.pipe()
    log = state.log_folder(settings) / "supervisor.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        subprocess.Popen(
            [sys.executable, "-m", "qlrf_pipelines.operate.supervisor", str(writer)],
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(writer,),
        )
    os.close(writer)
    with os.fdopen(reader) as door:
        said = door.readline().strip()
    if said != supervisor.READY:
        raise Unavailable(said or f"The supervisor ended without a word; {log} may say why.")
    return True


def prepare_storage(settings: Settings) -> None:
    """Make Dagster's tables and the tenants' partitions, once, before anybody needs them.

    Runs that ended with an earlier platform are marked as failed: each would hold a place for ever.
    """
    from qlrf_pipelines.operate.instance import opened
    from qlrf_pipelines.operate.orphans import bury_left_behind
    from qlrf_pipelines.operate.partitions import sync

    with (
        wiring.database(settings) as database,
        opened(settings, dagster_url=database.dagster_url) as instance,
    ):
        with state.only_one(settings) as alone:
            if alone:  # no code server of ours runs, whatever socket it left: so no run of it does
                socket_path(settings).unlink(missing_ok=True)
                bury_left_behind(instance, settings)
        try:
            tenants = wiring.estate(settings).load().tenants
        except QlrfError:
            return  # the tenant sensor says so for as long as it lasts
        sync(instance, [tenant.name for tenant in tenants])


def foreground(settings: Settings, *, say: Callable[[str], None]) -> None:
    """Run everything until interrupted.

    Raises:
        Refused: the UI's port is taken.
        Unavailable: something does not start or cannot be kept running.
    """
    _refuse_taken_port(settings)
    prepare_storage(settings)
    supervisor.supervise(settings, say=say, ready=lambda: say(f"Dagster UI: {url(settings)}"))


def down(settings: Settings) -> bool:
    """Stop everything `up` started, and wait until it is gone; False if nothing ran.

    Raises:
        Unavailable: the supervisor does not tell who it is, or does not end.
    """
    if not state.is_up(settings):
        state.clear(settings)
        return False
    found = state.read(settings)
    if found is None or not found.supervisor.lives:
        raise Unavailable(
            f"A supervisor holds {state.lock_path(settings)}, but does not say which process it "
            "is; it may be starting. Try again in a moment."
        )
    os.kill(found.supervisor.pid, signal.SIGTERM)
    if not _freed(settings):
        os.kill(found.supervisor.pid, signal.SIGKILL)  # its guard ends the children
        if not _freed(settings):
            raise Unavailable(f"Process {found.supervisor.pid} does not end.")
    state.clear(settings)
    return True


def _freed(settings: Settings) -> bool:
    # A blocking lock is woken by the kernel; a thread bounds how long we wait for it.
    got = threading.Event()

    def wait() -> None:
        with state.lock_path(settings).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            got.set()

    threading.Thread(target=wait, daemon=True).start()
    return got.wait(STOP_SECONDS)


def _refuse_taken_port(settings: Settings) -> None:
    if not port_is_free(settings.ui_port):
        raise Refused(
            f"Port {settings.ui_port} of 127.0.0.1 is taken by another program; "
            "set QLRF_UI_PORT to a free one."
        )
