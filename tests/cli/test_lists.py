"""Lists by tenant: that nothing waits is said of a tenant somebody knows, and of no other."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from qlrf_pipelines.cli.drills import group as drills
from qlrf_pipelines.cli.notifications import group as notifications
from qlrf_pipelines.cli.rollouts import group as rollouts
from qlrf_pipelines.cli.tasks import group as tasks
from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.settings import Settings

EVERY_LIST = pytest.mark.parametrize(
    "group", [tasks, rollouts, drills, notifications], ids=lambda group: group.name
)


@pytest.fixture
def settings(postgres: Any, tmp_path: Path) -> Settings:
    """An estate that declares one tenant, for which nothing was ever done."""
    contract = {
        "apiVersion": "qlrf/v1",
        "kind": "Tenant",
        "metadata": {"name": "acme"},
        "spec": {"displayName": "Acme", "connectors": []},
    }
    estate = tmp_path / "estate"
    estate.mkdir()
    (estate / "acme.yaml").write_text(json.dumps(contract))
    made: Settings = replace(postgres.settings, estate=estate)
    return made


@EVERY_LIST
def test_a_tenant_nothing_knows_is_not_found(group: click.Group, settings: Settings) -> None:
    result = CliRunner().invoke(group, ["list", "--tenant", "acmee"], obj=settings)

    assert isinstance(result.exception, NotFound)
    assert "No contract declares tenant acmee" in str(result.exception)


@EVERY_LIST
def test_of_one_that_has_nothing_that_is_said(group: click.Group, settings: Settings) -> None:
    result = CliRunner().invoke(group, ["list", "--tenant", "acme", "--json"], obj=settings)

    assert result.exit_code == 0
    assert json.loads(result.stdout) == []


@EVERY_LIST
def test_without_an_estate_nothing_else_knows_the_tenants(
    group: click.Group, settings: Settings, tmp_path: Path
) -> None:
    nowhere = replace(settings, estate=tmp_path / "nowhere")

    result = CliRunner().invoke(group, ["list", "--tenant", "acmee", "--json"], obj=nowhere)

    assert result.exit_code == 0
    assert json.loads(result.stdout) == []
