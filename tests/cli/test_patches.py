"""`qlrf patches`: what is due the soonest first, as it stands now; what nobody knows is said."""

import json
from datetime import datetime, timedelta
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qlrf_pipelines import wiring
from qlrf_pipelines.cli.patches import COMMANDS
from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.domain.patch_sla import SlaStatus
from qlrf_pipelines.settings import Settings
from tests.fakes.clock import NOON, FakeClock
from tests.marts import builds


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> FakeClock:
    """The moment the marts were judged, until a test moves it."""
    found = FakeClock()
    monkeypatch.setattr(wiring, "clock", lambda: found)
    return found


def run(*args: str) -> Result:
    """Run it over the published marts."""
    settings = Settings.from_env({"QLRF_HOME": str(builds.published().path.parent)})
    return CliRunner().invoke(COMMANDS["patches"], args, obj=settings)


def rows(*args: str) -> list[dict[str, Any]]:
    """Its JSON."""
    found: list[dict[str, Any]] = json.loads(run(*args, "--json").stdout)
    return found


def standings(*args: str) -> list[tuple[str, str, str]]:
    return [(row["name"], row["severity"], row["status"]) for row in rows(*args)]


def test_what_is_late_comes_first_then_what_is_due_the_soonest() -> None:
    assert standings() == [
        ("acme-3", "critical", "breached"),
        ("acme-2", "critical", "breaching"),
        ("acme-1", "critical", "due"),
        ("acme-2", "high", "due"),
    ]


def test_a_person_reads_how_much_time_is_left_and_what_is_not_known() -> None:
    found = run()

    assert "3 d late" in found.stdout
    assert "1 d left" in found.stdout
    assert "acme: 1 promise of which nobody knows" in found.stderr
    assert "globex: 1 promise of which nobody knows" in found.stderr


def test_time_that_passed_since_the_refresh_counts(clock: FakeClock) -> None:
    clock.advance(hours=23, minutes=59)
    assert standings("--status", "breaching") == [("acme-2", "critical", "breaching")]

    clock.moment = NOON + timedelta(days=1)
    assert standings("--status", "breached")[1] == ("acme-2", "critical", "breached")


def test_what_was_judged_too_long_ago_is_unknown(clock: FakeClock) -> None:
    clock.advance(hours=24, seconds=1)

    found = run("-t", "acme")

    assert found.stdout == ""
    assert "None of 6 promises stands so." in found.stderr
    assert "acme: 6 promises of which nobody knows" in found.stderr


def test_one_status_one_severity_and_one_policy_can_be_asked_for() -> None:
    assert standings("--status", "met") == [("acme-0", "critical", "met")]
    assert standings("--severity", "high") == [("acme-2", "high", "due")]
    assert len(rows("--policy", "monthly")) == 4
    unknown = run("--policy", "weekly").exception
    assert isinstance(unknown, NotFound)
    assert "monthly" in str(unknown)


def test_each_promise_and_how_it_stands() -> None:
    found = {(row["tenant"], row["severity"]): row for row in rows("--by-policy")}

    assert (found["acme", "critical"]["breached"], found["acme", "critical"]["kept"]) == (1, 0.6)
    assert found["initech", "high"]["status"] == "no_data"
    assert "7 d" in run("--by-policy").stdout
    assert run("--by-policy", "--status", "due").exit_code == 2


def test_promises_are_counted_by_the_clock_of_the_moment_and_not_of_the_refresh(
    clock: FakeClock,
) -> None:
    before = {(row["tenant"], row["severity"]): row for row in rows("--by-policy")}
    mart = wiring.warehouse(
        Settings.from_env({"QLRF_HOME": str(builds.published().path.parent)})
    ).ask("SELECT * FROM agg_patch_sla")
    counted = [dict(zip(mart.columns, row, strict=True)) for row in mart.rows]
    assert {(row["tenant"], row["severity"]): list(row) for row in counted} == {
        one: list(row) for one, row in before.items()
    }
    for row in counted:
        shown = before[row["tenant"], row["severity"]]
        assert (row["kept"], row["status"]) == (shown["kept"], shown["status"])
        assert [row[str(one)] for one in SlaStatus] == [shown[str(one)] for one in SlaStatus]

    clock.moment = NOON + timedelta(days=1)
    due = {(row["tenant"], row["severity"]): row for row in rows("--by-policy")}
    assert due["acme", "critical"]["breached"] == before["acme", "critical"]["breached"] + 1
    assert due["acme", "critical"]["kept"] < before["acme", "critical"]["kept"]

    clock.advance(seconds=1)
    stale = {(row["tenant"], row["severity"]): row for row in rows("--by-policy")}
    assert stale["acme", "critical"]["unknown"] == stale["acme", "critical"]["assets"] == 5
    assert stale["acme", "critical"]["status"] == "critical"
    assert stale["acme", "critical"]["kept"] == 0
    assert stale["initech", "high"]["status"] == "no_data"


def test_nothing_judged_does_not_read_as_all_well() -> None:
    assert "Nothing was judged" in run("-t", "initech").stderr


def test_a_cut_list_says_so_and_an_unknown_tenant_is_refused() -> None:
    assert "2 of 4" in run("--limit", "2").stderr
    assert isinstance(run("-t", "nobody").exception, NotFound)


def test_times_in_json_have_their_zone() -> None:
    assert datetime.fromisoformat(rows()[0]["due_at"]) == NOON - timedelta(days=3)
