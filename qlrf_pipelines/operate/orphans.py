"""Runs whose process died: Dagster would show them as running for ever."""

import os
import socket

import dagster as dg

from qlrf_pipelines.operate.processes import identify

PROCESS_TAG = "qlrf/process"
_OPEN = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]


def process_name() -> str:
    """This process, by a name no other one on any machine ever has: host, pid and start."""
    own = identify(os.getpid())
    return f"{socket.gethostname()}/{os.getpid()}/{own.started if own else 0}"


def lives(name: str) -> bool:
    """Whether the process of that name lives; one of another machine is assumed to."""
    host, pid, started = name.rsplit("/", 2)
    if host != socket.gethostname():
        return True
    found = identify(int(pid))
    return found is not None and found.started == int(started)


def bury_orphans(instance: dg.DagsterInstance) -> list[str]:
    """Mark the command line's runs whose process is gone as failed; return their ids."""
    buried = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=_OPEN)):
        name = run.tags.get(PROCESS_TAG)
        if name and not lives(name):
            instance.report_run_failed(run, f"Its process {name} ended without a word.")
            buried.append(run.run_id)
    return buried
