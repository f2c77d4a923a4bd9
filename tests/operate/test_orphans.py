"""Runs whose process is gone are known, whoever it was a child of; what nobody can tell is left."""

import json
import multiprocessing
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent
from dagster._core.launcher import WorkerStatus
from dagster._grpc.types import GetCurrentRunsResult

from qlrf_pipelines.jobs.upkeep import lake_upkeep
from qlrf_pipelines.operate import orphans
from qlrf_pipelines.operate.code_location import socket_path
from qlrf_pipelines.operate.launcher import WatchedRunLauncher
from qlrf_pipelines.operate.orphans import PROCESS_TAG, bury_left_behind, process_name
from qlrf_pipelines.settings import Settings

GRPC = ".dagster/grpc_info"
STARTED, STARTING = dg.DagsterEventType.RUN_START, dg.DagsterEventType.RUN_STARTING


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_env({"QLRF_HOME": str(tmp_path)})


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def a_run(
    instance: dg.DagsterInstance, reached: dg.DagsterEventType = STARTED, **tags: str
) -> dg.DagsterRun:
    run = instance.create_run_for_job(lake_upkeep, tags=tags)
    event = DagsterEvent(event_type_value=reached.value, job_name=run.job_name)
    instance.report_dagster_event(event, run_id=run.run_id)
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found


def launched_on(settings: Settings) -> dict[str, str]:
    return {GRPC: json.dumps({"host": "localhost", "socket": str(socket_path(settings))})}


def serving(settings: Settings, monkeypatch: pytest.MonkeyPatch, *runs: str) -> None:
    """A code server at the socket of these settings, whose children are these runs."""
    path = socket_path(settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    said = GetCurrentRunsResult(current_runs=list(runs), serializable_error_info=None)

    class Client:
        def __init__(self, *, host: str, port: int | None, socket: str) -> None:
            assert socket == str(path)

        def get_current_runs(self) -> str:
            return dg.serialize_value(said)

    monkeypatch.setattr(orphans, "DagsterGrpcClient", Client)


def status_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> dg.DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_without_a_code_server_none_of_its_runs_lives(settings, instance):
    left = [a_run(instance, reached, **launched_on(settings)) for reached in (STARTED, STARTING)]
    elsewhere = a_run(instance, **{GRPC: json.dumps({"host": "far", "port": 4000})})
    own = a_run(instance, **{PROCESS_TAG: process_name()})

    assert set(bury_left_behind(instance, settings)) == {run.run_id for run in left}

    assert {status_of(instance, run) for run in left} == {dg.DagsterRunStatus.FAILURE}
    assert status_of(instance, elsewhere) is dg.DagsterRunStatus.STARTED
    assert status_of(instance, own) is dg.DagsterRunStatus.STARTED


def test_its_children_are_left_alone_and_what_never_got_there_is_not(
    settings, instance, monkeypatch
):
    child = a_run(instance, **launched_on(settings))
    on_its_way = a_run(instance, STARTING)  # the daemon died before it told the code server
    serving(settings, monkeypatch, child.run_id)

    assert bury_left_behind(instance, settings) == [on_its_way.run_id]


def test_a_code_server_that_does_not_answer_is_no_proof(settings, instance):
    run = a_run(instance, **launched_on(settings))
    socket_path(settings).parent.mkdir(parents=True, exist_ok=True)
    socket_path(settings).touch()

    assert bury_left_behind(instance, settings) == []
    health = WatchedRunLauncher().check_run_worker_health(run)
    assert health.status is WorkerStatus.RUNNING


def test_run_monitoring_is_told_which_runs_are_nobodys_any_more(settings, instance, monkeypatch):
    mine, nobodys = (a_run(instance, **launched_on(settings)) for _ in range(2))
    serving(settings, monkeypatch, mine.run_id)
    launcher = WatchedRunLauncher()

    assert launcher.supports_check_run_worker_health
    assert launcher.check_run_worker_health(mine).status is WorkerStatus.RUNNING
    assert launcher.check_run_worker_health(nobodys).status is WorkerStatus.NOT_FOUND


def test_run_monitoring_also_knows_runs_of_the_command_line(instance):
    process = multiprocessing.get_context("spawn").Process(target=os.kill, args=(0, 0))
    process.start()
    found = orphans.identify(process.pid)
    assert found is not None
    host = process_name().split("/")[0]
    gone = f"{host}/{found.pid}/{found.started}"
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    launcher = WatchedRunLauncher()

    dead = launcher.check_run_worker_health(a_run(instance, **{PROCESS_TAG: gone}))
    living = launcher.check_run_worker_health(a_run(instance, **{PROCESS_TAG: process_name()}))
    unknown = launcher.check_run_worker_health(a_run(instance))

    assert dead.status is WorkerStatus.NOT_FOUND
    assert gone in str(dead)
    assert living.status is unknown.status is WorkerStatus.RUNNING
