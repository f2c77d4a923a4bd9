"""Runs whose process died: Dagster would show them as running for ever.

`python -m qlrf_pipelines.operate.orphans` buries those a dead daemon or code server left behind.
"""

import json
import os
import socket
from collections.abc import Mapping
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterUserCodeUnreachableError
from dagster._core.storage.tags import GRPC_INFO_TAG
from dagster._grpc.client import DagsterGrpcClient
from dagster._grpc.types import GetCurrentRunsResult
from dagster._serdes import deserialize_value

from qlrf_pipelines import wiring
from qlrf_pipelines.operate.code_location import socket_path
from qlrf_pipelines.operate.instance import opened
from qlrf_pipelines.operate.processes import identify
from qlrf_pipelines.settings import Settings

PROCESS_TAG = "qlrf/process"
_OPEN = [dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.NOT_STARTED]
_LAUNCHED = [
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.CANCELING,
]


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


def bury_left_behind(instance: dg.DagsterInstance, settings: Settings) -> list[str]:
    """Mark runs that were launched and are no child of our code server as failed; their ids.

    Call it only where no daemon of ours runs, or no code server: what is being launched looks the
    same. Without the socket there is no code server, and its runs ended with it.
    """
    ours = socket_path(settings)
    alive = known_runs({"host": "localhost", "socket": str(ours)}) if ours.exists() else frozenset()
    if alive is None:
        return []
    buried = []
    for run in instance.get_runs(filters=dg.RunsFilter(statuses=_LAUNCHED)):
        if run.run_id not in alive and _is_of(run, str(ours)):
            instance.report_run_failed(run, "Its process ended without a word, or never began.")
            buried.append(run.run_id)
    return buried


def _is_of(run: dg.DagsterRun, socket_of_server: str) -> bool:
    """Whether a run was launched on that code server, or was about to be."""
    server = run.tags.get(GRPC_INFO_TAG)
    if server:
        return bool(json.loads(server).get("socket") == socket_of_server)
    return run.status is dg.DagsterRunStatus.STARTING and PROCESS_TAG not in run.tags


def known_runs(server: Mapping[str, Any]) -> frozenset[str] | None:
    """The runs that are children of a code server; None if it does not say."""
    client = DagsterGrpcClient(
        host=server["host"], port=server.get("port"), socket=server.get("socket")
    )
    try:
        said = deserialize_value(client.get_current_runs(), GetCurrentRunsResult)
    except DagsterUserCodeUnreachableError:
        return None
    return None if said.serializable_error_info else frozenset(said.current_runs)


def main() -> None:
    """Bury them, in a process of its own: the supervisor itself imports no Dagster."""
    settings = Settings.from_env(dict(os.environ))  # noqa: TID251  handed over by the supervisor
    with (
        wiring.database(settings) as database,
        opened(settings, dagster_url=database.dagster_url) as instance,
    ):
        bury_left_behind(instance, settings)


if __name__ == "__main__":
    main()
