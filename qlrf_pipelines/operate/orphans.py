"""Runs whose process died: Dagster would show them as running for ever."""

import os
import socket
from pathlib import Path

import dagster as dg

PROCESS_TAG = "qlrf/process"
_OPEN = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]


def process_name() -> str:
    """This process, by a name no other one on any machine ever has: host, pid and start."""
    return f"{socket.gethostname()}/{os.getpid()}/{_started(os.getpid()) or 0}"


def lives(name: str) -> bool:
    """Whether the process of that name lives; one of another machine is given the benefit."""
    host, pid, started = name.rsplit("/", 2)
    return host != socket.gethostname() or _started(int(pid)) == int(started)


def bury_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Mark the command line's runs whose process is gone as failed; return their ids."""
    buried = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=_OPEN)):
        name = run.tags.get(PROCESS_TAG)
        if name and not lives(name):
            instance.report_run_failed(run, f"Its process {name} ended without a word.")
            buried.append(run.run_id)
    return buried


def _started(pid: int) -> int | None:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return None if Path("/proc/self/stat").exists() or not _answers(pid) else 0
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else int(fields[19])


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
