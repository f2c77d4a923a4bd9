"""What `up` leaves on disk for `down` and `status`: who runs, since when, where."""

import contextlib
import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.operate.processes import Identity
from qlrf_pipelines.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class PlatformState:
    """The supervisor and its children, as they last told."""

    supervisor: Identity
    since: str
    url: str
    ready: bool
    children: Mapping[str, Identity] = field(default_factory=dict)
    restarts: Mapping[str, int] = field(default_factory=dict)


def folder(settings: Settings) -> Path:
    """Where the platform's own files lie."""
    return settings.home / "run"


def log_folder(settings: Settings) -> Path:
    """Where the supervisor and its children write."""
    return settings.home / "logs"


def lock_path(settings: Settings) -> Path:
    """Locked by the supervisor for as long as it lives."""
    return folder(settings) / "supervisor.lock"


def write(settings: Settings, state: PlatformState) -> None:
    """Keep the state, whole or not at all."""
    path = folder(settings) / "state.json"
    fresh = path.with_name(f"state.{os.getpid()}")
    fresh.write_text(json.dumps(asdict(state), indent=2))
    fresh.replace(path)


def read(settings: Settings) -> PlatformState | None:
    """The last state; None if there is none, or none that can be read."""
    try:
        raw = json.loads((folder(settings) / "state.json").read_text())
        return PlatformState(
            supervisor=Identity(**raw["supervisor"]),
            since=raw["since"],
            url=raw["url"],
            ready=raw["ready"],
            children={name: Identity(**value) for name, value in raw["children"].items()},
            restarts=raw["restarts"],
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def clear(settings: Settings) -> None:
    """Forget the state."""
    (folder(settings) / "state.json").unlink(missing_ok=True)


@contextlib.contextmanager
def only_one(settings: Settings) -> Iterator[bool]:
    """Hold the supervisor's lock until the block ends; False if another one holds it."""
    try:
        folder(settings).mkdir(parents=True, exist_ok=True)
        log_folder(settings).mkdir(parents=True, exist_ok=True)
        descriptor = os.open(lock_path(settings), os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise Unavailable(
            f"{folder(settings)} cannot be written: {error.strerror}. "
            "Set QLRF_HOME to a folder you may write to."
        ) from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


def is_up(settings: Settings) -> bool:
    """Whether a supervisor lives."""
    if not lock_path(settings).exists():
        return False
    with only_one(settings) as got:
        return not got
