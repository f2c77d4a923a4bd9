"""Dagster's own home: its configuration, and the environment its processes need.

Imports no Dagster, so that the supervisor stays small.
"""

import os
from collections.abc import Mapping
from pathlib import Path

import yaml

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.settings import Settings

# The URL carries a password: it is handed over in the environment and written nowhere.
STORAGE_VARIABLE = "QLRF_DAGSTER_STORAGE"
CONFIGURATION: Mapping[str, object] = {
    "storage": {
        "custom": {
            "module": "resources.dagster_storage",
            "class": "PooledPostgresStorage",
            "config": {"postgres_url": {"env": STORAGE_VARIABLE}},
        }
    },
    "telemetry": {"enabled": False},
    "nux": {"enabled": False},
    "run_coordinator": {
        "module": "dagster.core.run_coordinator",
        "class": "QueuedRunCoordinator",
        # Somebody may be waiting behind a run: the usual five seconds are most of that wait.
        "config": {"dequeue_interval_seconds": 1},
    },
    # Dagster's own, which also knows the runs whose process is gone: each holds a place for ever.
    "run_launcher": {
        "module": "qlrf_pipelines.operate.launcher",
        "class": "WatchedRunLauncher",
    },
    # A run uses the threads and the memory the settings allow: more than two at once only wait.
    "concurrency": {"runs": {"max_concurrent_runs": 2}},
    "run_monitoring": {
        "enabled": True,
        "start_timeout_seconds": 300,
        "cancel_timeout_seconds": 300,
        "poll_interval_seconds": 30,
    },
    # Loading the definitions takes seconds, and tens of seconds on a busy machine.
    "code_servers": {"local_startup_timeout": 300, "reload_timeout": 300},
    "freshness": {"enabled": True},
    "schedules": {"use_threads": True, "num_workers": 2},
    # One for messages, whose receivers may be slow, beside two for everything else.
    "sensors": {"use_threads": True, "num_workers": 3},
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
