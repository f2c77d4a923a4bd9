"""The usual questions, answered from the marts; what is stale is shown as stale."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from qlrf_pipelines.cli.marts import COMMANDS
from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.settings import Settings
from tests.marts import builds


def run(name: str, *args: str, home: Path | None = None) -> Result:
    """Run one command over the published marts."""
    command = COMMANDS[name]
    assert isinstance(command, click.Command)
    place = home or builds.published().path.parent
    return CliRunner().invoke(command, args, obj=Settings.from_env({"QLRF_HOME": str(place)}))


def rows(name: str, *args: str) -> list[dict[str, Any]]:
    """The command's JSON."""
    found: list[dict[str, Any]] = json.loads(run(name, *args, "--json").stdout)
    return found


def test_assets_are_filtered_and_the_worst_come_first() -> None:
    assert [row["drift_verdict"] for row in rows("assets", "-t", "acme")][:2] != []
    assert len(rows("assets", "-t", "acme", "-t", "globex")) == 8
    assert [row["site"] for row in rows("assets", "--environment", "staging")] == ["Dublin"]
    assert [row["name"] for row in rows("assets", "--verdict", "unmanaged")] == ["acme-3"]
    assert rows("assets", "--family", "nothing") == []
    assert rows("assets")[0]["drift_score"] == 100


def test_a_cut_list_says_so_and_stale_assets_read_stale() -> None:
    assert "3 of 8" in run("assets", "--limit", "3").stderr
    shown = run("assets", "-t", "acme", "--verdict", "behind")
    assert "stale" in shown.stdout
    assert "acme: 1 scope could not be read completely" in shown.stderr


def test_drift_by_scope_over_days_and_by_offender() -> None:
    assert [(r["scope_value"], r["status"]) for r in rows("drift")] == [
        ("acme", "critical"),
        ("globex", "critical"),
        ("initech", "no_data"),
    ]
    assert {r["scope_value"] for r in rows("drift", "--by", "site", "-t", "acme")} == {
        "Dublin",
        "us-east-1",
    }
    assert [r["drift_verdict"] for r in rows("drift", "--offenders", "-t", "acme")] == [
        "unmanaged",
        "stale",
        "behind",
    ]
    assert [r["day"] for r in rows("drift", "--days", "7")] == ["2026-11-01"] * 2


def test_no_offender_among_no_assets_is_not_good_news() -> None:
    assert "Nothing was measured" in run("drift", "--offenders", "-t", "initech").stderr


def test_compliance_by_framework_requirement_and_control() -> None:
    assert {r["tenant"]: r["status"] for r in rows("compliance")} == dict.fromkeys(
        builds.TENANTS, "critical"
    )
    assert [r["verdict"] for r in rows("compliance", "--framework", "soc2", "-t", "globex")] == [
        "fail"
    ]
    failing = rows("compliance", "--control", "imds_v2", "--failing")
    assert [(r["tenant"], r["verdict"]) for r in failing] == [
        ("acme", "never_proven"),
        ("globex", "fail"),
    ]
    unknown = run("compliance", "--control", "imds").exception
    assert isinstance(unknown, NotFound)
    assert "imds_v2" in str(unknown)


def test_risk_shows_the_riskiest_with_every_factor() -> None:
    first, second = rows("risk", "--top", "2")

    assert (first["risk_score"], first["not_assessed"]) == (100, "everything")
    assert second["risk_exposure"] == 0
    assert "not_assessed" in run("risk").stdout


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_unknown_tenants_and_empty_homes_are_not_empty_answers(name: str, tmp_path: Path) -> None:
    assert isinstance(run(name, "-t", "nobody").exception, NotFound)
    nothing = run(name, home=tmp_path).exception
    assert isinstance(nothing, NotFound)
    assert "qlrf refresh" in str(nothing)
