"""The demonstration, whole, as a newcomer runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from qlrf_pipelines.cli.demo import QUERIES
from qlrf_pipelines.domain.datasets import VULNERABILITIES
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.vocabulary import DriftVerdict
from resources.lake import DeltaLake

pytestmark = pytest.mark.slow


def qlrf(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """One command of the CLI over a home."""
    return subprocess.run(
        [sys.executable, "-m", "qlrf_pipelines.cli.main", *arguments],
        env={**os.environ, "QLRF_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=240,
    )


def test_two_days_are_told_truthfully_and_can_be_asked_about(tmp_path: Path) -> None:
    done = qlrf(tmp_path / "home", "demo", "--json")

    assert done.returncode == 0, done.stderr
    story = json.loads(done.stdout)
    assert story["false_deletions"] == []
    assert {row["drift_verdict"] for row in story["verdicts"]} == set(DriftVerdict)
    assert [row["assets"] for row in story["first"]["rows"]] == [47, 34]
    assert not story["first"]["gaps"]
    assert {(g["tenant"], g["scope"].split("/")[2]) for g in story["second"]["gaps"]} == {
        ("globex", "ap-southeast-2")
    }
    changes = {(c["tenant"], c["change"]): c["assets"] for c in story["changes"]}
    assert changes == {("acme", "discovered"): 4, ("acme", "missed"): 1, ("acme", "tombstoned"): 4}
    # What the end of the demonstration tells people to type must work when they type it.
    for sql in QUERIES:
        answer = qlrf(tmp_path / "home", "query", sql, "--json")
        assert answer.returncode == 0, answer.stderr
        assert json.loads(answer.stdout)
    pack = str(tmp_path / "acme.zip")
    exported = qlrf(tmp_path / "home", "evidence", "export", "--tenant", "acme", "--out", pack)
    assert exported.returncode == 0, exported.stderr
    assert qlrf(tmp_path / "elsewhere", "evidence", "verify", "--pack", pack).returncode == 0
    carried_out_as_told(tmp_path / "home", story)


def carried_out_as_told(home: Path, story: dict[str, Any]) -> None:
    """The second half: the command that was printed approves, and the rest is walked."""
    who = ("--as", "ann", "--role", "engineer")
    named = (story["task"], "--tenant", "acme", "--digest", story["digest"][:12])
    approved = qlrf(home, "tasks", "approve", *named, *who)
    assert approved.returncode == 0, approved.stderr
    done = qlrf(home, "demo", "--approve", "--json")
    assert done.returncode == 0, done.stderr
    change = json.loads(done.stdout)
    assert change["good"]["state"] == "completed"
    assert change["good"]["assets"] == {"done": 8}
    assert change["good"]["digest"] == story["digest"]
    assert change["bad"]["state"] == "rolled_back"
    assert change["bad"]["assets"] == {"restored": 1, "waiting": 8}
    assert {row["chain and results"] for row in change["evidence"]} == {"verified"}
    listed = json.loads(qlrf(home, "rollouts", "list", "--all", "--json").stdout)
    assert {row["state"] for row in listed} == {"completed", "rolled_back"}
    again = qlrf(home, "demo", "--approve")
    assert again.returncode == 1
    assert "run `qlrf demo` first" in again.stderr


def test_a_home_with_other_tenants_is_left_alone(tmp_path: Path) -> None:
    other = TenantId("initech")
    row = dict.fromkeys(VULNERABILITIES.schema.names) | {"tenant": other, "asset_key": "k"}
    table = pa.Table.from_pylist([row], schema=VULNERABILITIES.schema)
    lake = DeltaLake(str(tmp_path / "lake"))
    lake.replace(VULNERABILITIES, table.to_reader(), tenants=[other])

    done = qlrf(tmp_path, "demo")

    assert done.returncode == 1
    assert "initech" in done.stderr
    assert "QLRF_HOME" in done.stderr
