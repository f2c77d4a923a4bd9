"""`qlrf policy`: try a policy without anything else running."""

import json
import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from qlrf_pipelines.cli.policy import group
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.policy import PACKAGES
from qlrf_pipelines.settings import Settings


def run(*arguments: str, **env: str) -> Result:
    return CliRunner().invoke(group, arguments, obj=Settings.from_env(env), standalone_mode=False)


def test_packages_and_their_rules_are_listed() -> None:
    packages = json.loads(run("list", "--json").stdout)
    rules = json.loads(run("list", "plan_safety", "--json").stdout)

    assert [row["package"] for row in packages] == list(PACKAGES)
    assert {"rule", "effect", "severity", "reason"} == set(rules[0])


@pytest.mark.parametrize("package", PACKAGES)
def test_a_sample_can_be_tried(package: str, tmp_path: Path) -> None:
    document = tmp_path / "input.json"
    document.write_text(run("sample", package).stdout)

    found = run("check", package, str(document))

    assert found.return_value == 0
    assert found.stdout.startswith(f"allowed by {package}")


def test_a_denial_says_which_rule_what_and_why_and_exits_1(tmp_path: Path) -> None:
    document = tmp_path / "input.json"
    document.write_text(run("sample", "plan_safety", "before_the_window").stdout)

    found = run("check", "plan_safety", str(document))
    as_json = json.loads(run("check", "plan_safety", str(document), "--json").stdout)

    assert found.return_value == 1
    assert "deny  window_open  window: it is not the time" in found.stdout
    assert as_json["denials"][0]["rule"] == "window_open"
    assert len(as_json["bundle_digest"]) == 64


@pytest.mark.parametrize("text", ["", "{", "[]", "1", "NaN"])
def test_what_is_no_input_is_bad_usage(tmp_path: Path, text: str) -> None:
    document = tmp_path / "input.json"
    document.write_text(text)

    assert isinstance(run("check", "plan_safety", str(document)).exception, Rejected)


def test_an_unknown_package_is_bad_usage(tmp_path: Path) -> None:
    document = tmp_path / "input.json"
    document.write_text("{}")
    found = run("check", "nothing", str(document))

    assert isinstance(found.exception, Rejected)
    assert found.exception.exit_code == 2


def test_a_server_that_is_down_denies(tmp_path: Path) -> None:
    document = tmp_path / "input.json"
    document.write_text("{}")
    with socket.socket() as taken:  # bound, but nobody listens
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        found = run("check", "plan_safety", str(document), QLRF_OPA_URL=url)

    assert found.return_value == 1
    assert "does not answer" in found.stdout


def test_every_policy_holds() -> None:
    found = run("test", "--json")

    assert found.return_value == 0
    assert all(result["passed"] for result in json.loads(found.stdout))
