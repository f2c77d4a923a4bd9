"""`qlrf plan`, on the real lake, contracts and policies: read it, keep it, ask for it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from qlrf_pipelines import wiring
from qlrf_pipelines.cli.main import cli
from qlrf_pipelines.domain.datasets import GOLDEN_IMAGES
from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected
from qlrf_pipelines.settings import Settings
from tests.fakes.contracts import issue_estate
from tests.fakes.drifted import drifted, fleet, release
from tests.fakes.observations import keep, observed

FLEET = ("--tenant", "acme", "--family", "ql-base-linux", "--as", "dana")
POLICY = """\
apiVersion: qlrf/v1
kind: PatchPolicy
metadata: {name: at-once, tenant: acme}
spec:
  selector: {environments: [production]}
  source: {type: golden-image}
  strategy: {type: canary, initialPercent: 50%}
  hooks: {prePatch: [{type: script, target: drain.sh}]}
"""


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """An estate, and a lake as a refresh leaves it."""
    place = {
        "QLRF_HOME": str(tmp_path / "home"),
        "QLRF_ESTATE": str(issue_estate(tmp_path / "estate", patches__once=POLICY)),
    }
    lake = wiring.lake(Settings.from_env(place))
    assets = fleet(30)
    observed(lake, "acme", assets, drift=[drifted(asset) for asset in assets])
    keep(lake, GOLDEN_IMAGES, [release()], "acme")
    return place


def run(env: dict[str, str], *arguments: str) -> Result:
    return CliRunner(env=env).invoke(cli, ["plan", *arguments], standalone_mode=False)


OPERATOR = ("--as", "rob", "--role", "operator")


def made(env: dict[str, str], *arguments: str) -> dict[str, Any]:
    (found,) = json.loads(run(env, *FLEET, *arguments, "--json").stdout)["plans"]
    return dict(found)


def test_a_person_sees_everything_needed_to_decide(env: dict[str, str]) -> None:
    found = run(env, *FLEET)

    assert found.return_value == 0
    for shown in (
        "ql-base-linux from 1.6.3 to 1.6.4",
        "ami-0aaaaaaaaaaaaaaa1",
        "digest",
        "blast radius",
        "canary",
        "no history is known",
        "approve_all",
        "carried out   by the platform",
        "  web-1  ",
        "… and 10 more",
    ):
        assert shown in found.stdout
    assert found.stderr == ""


def test_what_only_people_carry_out_and_what_its_window_cuts_off_is_said(
    env: dict[str, str],
) -> None:
    hour = ("--not-before", "2999-01-01T00:00Z", "--not-after", "2999-01-01T00:10Z")

    found = run(env, *FLEET, *hour, "--mode", "plan_only").stdout

    assert "carried out   by people" in found
    assert "waits included, longer than its window" in found
    assert "longer than its window" not in run(env, *FLEET).stdout


def test_the_same_plan_is_made_again(env: dict[str, str]) -> None:
    assert made(env)["digest"] == made(env)["digest"]


def test_json_holds_plan_digest_context_and_every_why(env: dict[str, str]) -> None:
    found = made(env)

    assert found["needs_approval"]
    assert not found["denied"]
    assert len(found["actions"]) == 30
    assert [gate["result"] for gate in found["plan"]["gates"]][:2] == ["passed", "passed"]
    assert set(found["context"]) == {"policy_bundle", "inventory", "risk_inputs", "executor"}


def test_a_plan_under_a_policy_says_beside_the_document_what_was_promised(
    env: dict[str, str],
) -> None:
    asked = ("--tenant", "acme", "--policy", "at-once", "--as", "dana")

    (found,) = json.loads(run(env, *asked, "--json").stdout)["plans"]

    assert found["promised"]["unknown"] == 30
    assert "promised" not in found["plan"]
    assert "promised 30 unknown of 30 assets" in run(env, *asked).stdout
    assert made(env)["promised"] is None


def test_the_plan_can_be_kept_in_a_file(env: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "plan.json"

    run(env, *FLEET, "--out", str(out))

    document = json.loads(out.read_text())
    assert document["kind"] == "Plan"
    assert wiring.plan_contract().breaches(document) == []


def test_one_asset_can_be_named(env: dict[str, str]) -> None:
    found = made(env, "--asset", "web-3")

    assert [action["name"] for action in found["actions"]] == ["web-3"]


def test_a_denied_plan_exits_1_with_every_reason(env: dict[str, str]) -> None:
    stopped = [
        drifted(asset, "current" if number else "behind") for number, asset in enumerate(fleet(30))
    ]
    lake = wiring.lake(Settings.from_env(env))
    observed(lake, "acme", fleet(30), drift=stopped)

    found = run(env, *FLEET, "--policy", "at-once", "--environment", "production")

    assert found.return_value == 0  # one asset: its canary is all of it

    observed(lake, "acme", fleet(60), drift=[drifted(asset) for asset in fleet(60)])
    denied = run(env, *FLEET, "--policy", "at-once")

    assert denied.return_value == 1
    assert "Denied by policy: canary_size" in denied.stderr
    assert "drain.sh" in denied.stdout


def test_what_cannot_be_planned_is_shown_and_nothing_to_do_exits_1(env: dict[str, str]) -> None:
    lake = wiring.lake(Settings.from_env(env))
    observed(lake, "acme", fleet(2), drift=[drifted(asset, "stale") for asset in fleet(2)])

    found = run(env, *FLEET)

    assert found.return_value == 1
    assert "Not planned: 2" in found.stdout
    assert "web-1" in found.stdout


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--tenant", "acme"), Rejected),
        (("--tenant", "nobody", "--policy", "at-once"), NotFound),
        ((*FLEET, "--mode", "full_auto"), Rejected),
        ((*FLEET, "--not-before", "2026-11-28T02:00Z"), Rejected),
        (
            (*FLEET, "--not-before", "2026-11-28T02:00Z", "--not-after", "2026-11-27T02:00Z"),
            Rejected,
        ),
        (
            (*FLEET, "--not-before", "2001-11-27T02:00Z", "--not-after", "2001-11-28T02:00Z"),
            Rejected,
        ),
        ((*FLEET, "--family", "ql-base-linuxx"), NotFound),
        ((*FLEET, "--submit", "--role", "viewer"), Refused),
    ],
)
def test_a_request_that_cannot_be_met_is_an_error(
    env: dict[str, str], arguments: tuple[str, ...], error: type[Exception]
) -> None:
    assert isinstance(run(env, *arguments).exception, error)


def test_less_autonomy_may_be_asked_for(env: dict[str, str]) -> None:
    assert made(env, "--mode", "plan_only")["plan"]["autonomy"]["mode"] == "plan_only"


@pytest.mark.slow
def test_a_submitted_plan_waits_for_others(env: dict[str, str]) -> None:
    def said(*words: str) -> str:
        command = [sys.executable, "-m", "qlrf_pipelines.cli.main", *words]
        came = subprocess.run(
            command, env=os.environ | env, capture_output=True, text=True, check=False
        )
        assert came.returncode == 0, came.stderr
        return came.stdout

    asked = said("plan", *FLEET, "--submit", "--role", "operator", "--json")
    (found,) = json.loads(asked)["plans"]
    listed = said("tasks", "list", "--tenant", "acme", "--json")
    shown = said("tasks", "show", found["task"]["id"])
    whole = said("tasks", "show", found["task"]["id"], "--whole")

    (task,) = json.loads(listed)
    assert (task["id"], task["state"]) == (found["task"]["id"], "awaiting_approval")
    assert task["requested_by"] == "dana"
    # What a person decides upon is there to be read: what, where, how fast, how risky, who says so.
    for word in ("Images", "Assets", "Phases", "Taken back if", "Risk", "Gates", "blast radius"):
        assert word in shown
    assert all(asset in shown for asset in found["plan"]["phases"][0]["assets"])
    assert task["digest"] in shown
    assert "apiVersion" in whole
    assert "apiVersion" not in shown


def test_a_plan_is_replaced_by_a_plan_and_by_nothing_else(
    env: dict[str, str], tmp_path: Path
) -> None:
    def said(*words: str) -> Any:
        return CliRunner(env=env).invoke(cli, words, standalone_mode=False)

    asked = said("plan", *FLEET, "--submit", "--role", "operator", "--json")
    (found,) = json.loads(asked.stdout)["plans"]
    other = tmp_path / "other.json"
    revise = ("tasks", "revise", found["task"]["id"], "--document", str(other), *OPERATOR)
    other.write_text(json.dumps({"port": 443}))
    assert isinstance(said(*revise).exception, Rejected)
    other.write_text(json.dumps(found["plan"] | {"tenant": "globex"}))
    strange = said(*revise).exception
    assert isinstance(strange, Rejected)
    assert "tenant: is not acme" in str(strange)

    other.write_text(json.dumps(found["plan"] | {"summary": "Change a fleet in the night."}))
    revised = said(*revise, "--json")

    assert json.loads(revised.stdout)["revision"] == 2
