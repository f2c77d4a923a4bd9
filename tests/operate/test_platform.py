"""The platform comes up whole, and goes down whole, however it goes down."""

import os
import signal
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.operate import state
from qlrf_pipelines.operate.children import answers
from qlrf_pipelines.operate.platform import _freed, down, up, url
from qlrf_pipelines.operate.status import status
from qlrf_pipelines.settings import Settings
from tests.tools.picture import GET_A_BROWSER, browser, text

TENANT = """
apiVersion: qlrf/v1
kind: Tenant
metadata: {name: acme}
spec:
  displayName: Acme
  connectors: []
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    estate = tmp_path / "estate"
    (estate / "tenants").mkdir(parents=True)
    (estate / "tenants" / "acme.yaml").write_text(TENANT)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {
        "QLRF_HOME": str(tmp_path / "home"),
        "QLRF_ESTATE": str(estate),
        "QLRF_UI_PORT": str(port),
    }
    for name, value in env.items():
        monkeypatch.setenv(name, value)  # what the supervisor's own process reads
    found = Settings.from_env(env)
    yield found
    down(found)


def test_a_taken_port_is_refused_before_anything_is_started(settings):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        elsewhere = replace(settings, ui_port=taken.getsockname()[1])

        with pytest.raises(Refused, match="QLRF_UI_PORT"):
            up(elsewhere)

    assert not (settings.home / "postgres").exists()


@pytest.mark.slow
def test_up_answers_and_a_killed_supervisor_leaves_nothing_behind(settings):
    assert up(settings)
    assert not up(settings), "a second one changes nothing"

    found = status(settings)
    assert found.up
    assert found.ready
    assert answers(url(settings))
    assert {part.name for part in found.parts} == {
        "supervisor",
        "code",
        "daemon",
        "webserver",
        "database",
    }
    assert all(part.running for part in found.parts)
    assert [tenant.tenant for tenant in found.tenants] == ["acme"]

    told = state.read(settings)
    processes = [os.pidfd_open(child.pid) for child in told.children.values()]
    os.kill(told.supervisor.pid, signal.SIGKILL)

    assert _freed(settings)
    for process in processes:
        assert ended(process)
    assert not status(settings).up


def ended(process: int) -> bool:
    import select

    poll = select.poll()
    poll.register(process, select.POLLIN)
    try:
        return bool(poll.poll(60_000))
    finally:
        os.close(process)


@pytest.mark.real
@pytest.mark.slow
def test_a_person_sees_the_assets_and_their_lineage_in_the_dagster_ui(settings):
    if browser() is None:
        pytest.skip(GET_A_BROWSER)
    assert up(settings)

    page = text(f"{url(settings)}/locations/qlrf/asset-groups/inventory")

    assert "inventory_changes" in page
    assert "drift" in page
