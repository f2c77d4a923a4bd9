"""`up`, `down`, `status` and `doctor` answer on a machine where nothing ran yet."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from qlrf_pipelines.cli.main import cli


def run(tmp_path: Path, *arguments: str) -> Any:
    env = {
        "QLRF_HOME": str(tmp_path / "home"),
        "QLRF_ESTATE": str(tmp_path / "estate"),
        "QLRF_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none",
    }
    return CliRunner().invoke(cli, arguments, env=env, standalone_mode=False)


def test_down_with_nothing_running_says_so(tmp_path):
    assert json.loads(run(tmp_path, "down", "--json").stdout) == {"stopped": False}
    assert "Nothing was running" in run(tmp_path, "down").stdout


@pytest.mark.slow
def test_doctor_exits_with_one_when_something_fails_and_says_what_to_do(tmp_path):
    result = run(tmp_path, "doctor", "--json")

    findings = {finding["check"]: finding for finding in json.loads(result.stdout)}
    assert result.return_value == 1
    assert findings["estate"]["verdict"] == "fail"
    assert findings["estate"]["remedy"]
