"""What `up` leaves on disk is enough for `down` and `status`, and one supervisor is enough."""

import os
from pathlib import Path

import pytest

from qlrf_pipelines.operate import state
from qlrf_pipelines.operate.code_location import socket_path
from qlrf_pipelines.operate.dagster_home import CONFIGURATION, environment, prepare
from qlrf_pipelines.operate.orphans import lives, process_name
from qlrf_pipelines.operate.platform import down
from qlrf_pipelines.operate.processes import Identity
from qlrf_pipelines.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_env({"QLRF_HOME": str(tmp_path / "home")})


def test_there_is_one_supervisor_at_a_time(settings):
    with state.only_one(settings) as first, state.only_one(settings) as second:
        assert first
        assert not second
        assert state.is_up(settings)
    assert not state.is_up(settings)


def test_the_state_is_read_as_it_was_written(settings):
    told = state.PlatformState(
        supervisor=Identity(pid=1, started=2),
        since="2026-11-01T12:00:00Z",
        url="http://127.0.0.1:3000",
        ready=True,
        children={"code": Identity(pid=3, started=4)},
        restarts={"code": 1},
    )
    with state.only_one(settings):
        state.write(settings, told)

    assert state.read(settings) == told


def test_a_state_that_cannot_be_read_is_none(settings):
    with state.only_one(settings):
        (state.folder(settings) / "state.json").write_text('{"supervisor": ')

    assert state.read(settings) is None


def test_down_with_nothing_running_is_no_error(settings):
    assert down(settings) is False


def test_dagsters_home_is_ours_and_quiet(settings):
    home = prepare(settings)

    text = (home / "dagster.yaml").read_text()
    assert "telemetry:\n  enabled: false" in text
    assert "nux:\n  enabled: false" in text
    assert "postgresql" not in text, "the storage's URL has a password: it stays in the environment"
    assert CONFIGURATION["run_monitoring"]["enabled"]


def test_every_process_batches_its_events(settings):
    env = environment(settings, dagster_url="postgresql+psycopg2://u:p@127.0.0.1/d")

    assert env["DAGSTER_EVENT_BATCH_SIZE"] == "100"
    assert env["DAGSTER_HOME"] == str(settings.home / "dagster")


def test_a_long_home_still_gets_a_short_socket(tmp_path):
    settings = Settings.from_env({"QLRF_HOME": str(tmp_path / ("x" * 120))})

    path = socket_path(settings)

    assert len(os.fsencode(path)) < 107
    assert path == socket_path(settings)


def test_a_run_is_orphaned_when_its_very_process_is_gone():
    name = process_name()
    host, pid, _ = name.rsplit("/", 2)

    assert lives(name)
    assert not lives(f"{host}/{pid}/1"), "the number was given to another process"
    assert lives("elsewhere/1/1"), "nothing is known of other machines"
