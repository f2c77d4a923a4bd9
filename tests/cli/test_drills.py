"""`qlrf drills`: asked for, shown, stopped, and exit codes that say what was proven."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qlrf_pipelines.cli.drills import group
from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.services import drills
from tests.fakes.drill_house import DrillHouse
from tests.tools.check import CONTRACTS

Qlrf = Callable[..., Result]
OTTO = ("--as", "otto", "--role", "operator")
ROOT = ("--as", "root", "--role", "admin")


@pytest.fixture
def qlrf(postgres: Any) -> Qlrf:
    """The commands in this process, over a real database and the example contracts."""

    def run(*arguments: str, **changed: Any) -> Result:
        settings = replace(postgres.settings, estate=CONTRACTS / "examples", **changed)
        result = CliRunner().invoke(group, arguments, obj=settings, standalone_mode=False)
        if isinstance(result.exception, Refused | Rejected | NotFound):
            raise result.exception
        assert result.exception is None, result.exception
        return result

    return run


@pytest.fixture
def drill(qlrf: Qlrf) -> dict[str, Any]:
    started = qlrf("start", "orders-full", "--tenant", "acme", *OTTO, "--json")
    found: dict[str, Any] = json.loads(started.stdout)
    return found


def test_a_plan_that_was_never_drilled_is_due(qlrf: Qlrf) -> None:
    result = qlrf("due", "--json")

    assert [row["plan"] for row in json.loads(result.stdout)] == ["orders-full"]


def test_a_drill_that_was_asked_for_is_listed_and_no_longer_due(
    qlrf: Qlrf, drill: dict[str, Any]
) -> None:
    listed = json.loads(qlrf("list", "--open", "--json").stdout)

    assert [row["id"] for row in listed] == [drill["id"]]
    assert listed[0]["phase"] == "validation"
    assert json.loads(qlrf("due", "--json").stdout) == []


def test_a_second_drill_of_the_application_is_refused(qlrf: Qlrf, drill: dict[str, Any]) -> None:
    with pytest.raises(Refused, match=drill["id"]):
        qlrf("start", "orders-full", "--tenant", "acme", *OTTO)


def test_a_drill_shows_its_timeline(qlrf: Qlrf, drill: dict[str, Any]) -> None:
    shown = qlrf("show", drill["id"][:16]).stdout
    facts = json.loads(qlrf("show", drill["id"], "--json").stdout)

    assert "Asked by   otto" in shown
    assert facts["timeline"][0]["what"] == "opened"
    assert facts["document"]["application"] == "orders"


def test_a_viewer_aborts_nothing_and_an_operator_does(qlrf: Qlrf, drill: dict[str, Any]) -> None:
    with pytest.raises(Refused, match="operator"):
        qlrf("abort", drill["id"], "--reason", "no", "--as", "vi", "--role", "viewer")

    qlrf("abort", drill["id"], "--reason", "release day", *OTTO)

    assert "otto: release day" in qlrf("show", drill["id"]).stdout


def test_a_step_nobody_planned_cannot_be_signed(qlrf: Qlrf, drill: dict[str, Any]) -> None:
    with pytest.raises(NotFound, match="tell-support"):
        qlrf("sign", drill["id"], "--step", "pray", *OTTO)

    qlrf("sign", drill["id"], "--step", "tell-support", *OTTO)

    assert "tell-support" in qlrf("show", drill["id"]).stdout


def test_what_is_not_held_is_neither_resumed_nor_released(
    qlrf: Qlrf, drill: dict[str, Any]
) -> None:
    for command in ("resume", "release"):
        with pytest.raises(Refused, match="not held"):
            qlrf(command, drill["id"], "--reason", "mended", *ROOT)


def test_a_drill_that_proved_nothing_ends_with_1(qlrf: Qlrf, drill: dict[str, Any]) -> None:
    result = qlrf("report", drill["id"])

    assert result.return_value == 1
    assert "has proven nothing yet" in result.stderr
    with pytest.raises(Refused, match="in validation"):
        qlrf("report", drill["id"], "--pdf", "report.pdf")


def test_the_report_of_a_drill_says_what_was_met(postgres: Any, qlrf: Qlrf, tmp_path: Path) -> None:
    from resources.database.drills import SqlDrills
    from resources.database.sessions import Sessions

    sessions = Sessions(postgres.settings)
    house = DrillHouse(overrides={"drills": SqlDrills(sessions)})
    house.database.lag = 3
    own = house.run().id
    sessions.close()

    result = qlrf("report", own)

    assert result.return_value == 0
    assert "RTO        0.00 s of 300.00 s: MET" in result.stdout
    assert "3 acknowledged writes" in result.stdout
    told = json.loads(qlrf("report", own, "--json").stdout)
    assert told["evidence"]["result"]["rpo"]["writes"] == 3
    page = tmp_path / "report.pdf"
    assert qlrf("report", own, "--pdf", str(page)).return_value == 0
    assert page.read_bytes().startswith(b"%PDF-")
    with pytest.raises(Refused, match="exists"):
        qlrf("report", own, "--pdf", str(page))
    before = page.read_bytes()
    qlrf("report", own, "--pdf", str(page), "--force")
    assert page.read_bytes() == before, "the seal was set once and stays"
    assert json.loads(qlrf("report", own, "--json").stdout) == told
    assert qlrf("watch", own).return_value == 0
    assert drills.find_drill(house.world, TenantId("acme"), own[:8])
