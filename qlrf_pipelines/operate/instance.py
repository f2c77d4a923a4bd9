"""Dagster's own home: its configuration, its instance, and the environment its processes need."""

import fcntl
import importlib.metadata
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import dagster as dg
import yaml
from dagster._core.instance.ref import InstanceRef

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.settings import Settings

# The URL carries a password: it is handed over in the environment and written nowhere.
STORAGE_VARIABLE = "QLRF_DAGSTER_STORAGE"
CONFIGURATION: Mapping[str, object] = {
    "storage": {"postgres": {"postgres_url": {"env": STORAGE_VARIABLE}}},
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
    "run_coordinator": {
        "module": "dagster.core.run_coordinator",
        "class": "QueuedRunCoordinator",
    },
    # A run uses the threads and the memory the settings allow: more than two at once only wait.
    "concurrency": {"runs": {"max_concurrent_runs": 2}},
    "run_monitoring": {
        "enabled": True,
        "start_timeout_seconds": 300,
        "cancel_timeout_seconds": 300,
        "poll_interval_seconds": 60,
    },
    # Loading the definitions takes seconds, and tens of seconds on a busy machine.
    "code_servers": {"local_startup_timeout": 300, "reload_timeout": 300},
    "freshness": {"enabled": True},
    "schedules": {"use_threads": True, "num_workers": 2},
    "sensors": {"use_threads": True, "num_workers": 2},
    "retention": {
        "schedule": {"purge_after_days": 90},
        "sensor": {"purge_after_days": {"skipped": 7, "failure": 30, "success": 90}},
    },
}


def folder(settings: Settings) -> Path:
    """Dagster's home, inside ours."""
    return settings.home / "dagster"


def prepare(settings: Settings) -> Path:
    """Write Dagster's configuration if it is not there or not ours; return its home.

    Raises:
        Unavailable: the home cannot be written.
    """
    home = folder(settings)
    text = yaml.safe_dump(
        {
            **CONFIGURATION,
            "local_artifact_storage": {
                "module": "dagster.core.storage.root",
                "class": "LocalArtifactStorage",
                "config": {"base_dir": str(home)},
            },
            "compute_logs": {
                "module": "dagster.core.storage.local_compute_log_manager",
                "class": "LocalComputeLogManager",
                "config": {"base_dir": str(home / "compute_logs")},
            },
        },
        sort_keys=True,
    )
    path = home / "dagster.yaml"
    try:
        home.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_text() != text:
            fresh = home / f"dagster.yaml.{os.getpid()}"
            fresh.write_text(text)
            fresh.replace(path)
    except OSError as error:
        raise Unavailable(
            f"{path} cannot be written: {error.strerror}. Set QLRF_HOME to a folder you may write."
        ) from error
    return home


def environment(settings: Settings, *, dagster_url: str) -> dict[str, str]:
    """What every process that uses the instance must find in its environment."""
    return {
        "DAGSTER_HOME": str(folder(settings)),
        STORAGE_VARIABLE: dagster_url,
        # One write per hundred partitions instead of one each: 12 ms a partition, not 34.
        "DAGSTER_EVENT_BATCH_SIZE": "100",
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
        "GX_ANALYTICS_ENABLED": "false",
    }


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
