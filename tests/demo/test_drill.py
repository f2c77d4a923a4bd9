"""The demonstrated drill, whole, as a newcomer runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def test_the_drill_agrees_with_the_shops_own_books_and_leaves_a_pdf(tmp_path: Path) -> None:
    home = tmp_path / "home"
    done = subprocess.run(
        [sys.executable, "-m", "qlrf_pipelines.cli.main", "demo", "--drill", "--json"],
        env={**os.environ, "QLRF_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=240,
    )

    assert done.returncode == 0, done.stderr
    story = json.loads(done.stdout)
    result = story["result"]
    assert story["outcome"] == "passed"
    assert result["rto"]["verdict"] == result["rpo"]["verdict"] == "met"
    assert result["rpo"]["writes"] == 0
    assert result["clean"] is True
    assert story["shop"]["promised"] > 0
    # The shop was closed for at least as long as nobody could be served, and noticed it later.
    assert story["shop"]["closed_seconds"] > 0
    assert Path(story["pdf"]).read_bytes().startswith(b"%PDF")
    assert not (home / "demo" / "drill").exists()
