"""Dagster's instance, as our own processes open it."""

import fcntl
import importlib.metadata
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
from dagster._core.instance.ref import InstanceRef

from qlrf_pipelines.operate.dagster_home import environment, prepare
from qlrf_pipelines.settings import Settings


@contextmanager
def opened(
    settings: Settings, *, dagster_url: str, capture_logs: bool = True
) -> Iterator[dg.DagsterInstance]:
    """The instance, its storage migrated. Without `capture_logs`, output stays on the terminal."""
    home = prepare(settings)
    os.environ.update(environment(settings, dagster_url=dagster_url))  # noqa: TID251  for Dagster
    overrides = (
        {}
        if capture_logs
        else {
            "compute_logs": {
                "module": "dagster.core.storage.noop_compute_log_manager",
                "class": "NoOpComputeLogManager",
            }
        }
    )
    with _alone(home / "storage.lock"):
        instance = dg.DagsterInstance.from_ref(InstanceRef.from_dir(str(home), overrides=overrides))
        _migrate_once(instance, home)
    with instance:
        yield instance


def _migrate_once(instance: dg.DagsterInstance, home: Path) -> None:
    # Tables are made by the first use; a newer Dagster also wants the older ones changed.
    version, marker = importlib.metadata.version("dagster"), home / "storage.version"
    known = marker.read_text().strip() if marker.exists() else ""
    if known == version:
        return
    instance.get_runs(limit=1)
    instance.upgrade()
    marker.write_text(version)


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    # Two processes making the same tables at once fail each other.
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
