"""`qlrf resilience`: the worst first, and what nobody knows is said."""

import json
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qlrf_pipelines.cli.resilience import COMMANDS
from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.settings import Settings
from tests.marts import builds


def run(*args: str) -> Result:
    """Run it over the published marts."""
    settings = Settings.from_env({"QLRF_HOME": str(builds.published().path.parent)})
    return CliRunner().invoke(COMMANDS["resilience"], args, obj=settings)


def rows(*args: str) -> list[dict[str, Any]]:
    """Its JSON."""
    found: list[dict[str, Any]] = json.loads(run(*args, "--json").stdout)
    return found


def test_applications_come_worst_first_with_their_reason() -> None:
    assert [(row["scope_value"], row["readiness"]) for row in rows()] == [
        ("billing", "never_drilled"),
        ("orders", "ready"),
    ]
    shown = run().stdout
    assert shown.index("billing") < shown.index("orders")
    assert "no drill that moved anything" in shown


def test_what_nobody_planned_is_no_data_and_said_aloud() -> None:
    result = run("--by", "tenant")

    assert "No recovery plan, so nothing is known: globex, initech." in result.stderr
    assert {row["tenant"]: row["status"] for row in rows("--by", "tenant")} == {
        "acme": "critical",
        "globex": "no_data",
        "initech": "no_data",
    }


def test_only_what_is_not_ready() -> None:
    assert [row["scope_value"] for row in rows("--not-ready")] == ["billing"]
    ready = run("--by", "plan", "--not-ready")
    assert "Each plan that is planned for is ready." in ready.stderr


def test_nothing_known_does_not_read_as_all_well() -> None:
    result = run("-t", "initech")

    assert "no recovery plan was ever judged" in result.stderr
    assert result.stdout == ""


def test_bounds_over_all_drills() -> None:
    shown = run("--by", "plan", "--bounds").stdout

    assert "failure_upper" in shown
    assert "0.95" in shown


def test_a_cut_list_says_so_and_an_unknown_tenant_is_refused() -> None:
    assert "1 of 2" in run("--limit", "1").stderr
    assert isinstance(run("-t", "nobody").exception, NotFound)


@pytest.mark.parametrize("scope", ["tenant", "site", "pair", "application", "plan"])
def test_every_scope_can_be_asked_for(scope: str) -> None:
    assert {row["scope_type"] for row in rows("--by", scope)} <= {scope}
