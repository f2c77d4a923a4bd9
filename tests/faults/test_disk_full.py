"""A full or forbidden disk is said in words, and what was in the lake stays as it was."""

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from qlrf_pipelines.domain.datasets import INVENTORY
from qlrf_pipelines.domain.errors import Unavailable
from resources.lake import DeltaLake
from tests.faults.full_disk import rows

ROOT = Path(__file__).parents[2]


def count(lake: DeltaLake) -> int:
    with duckdb.connect(":memory:") as connection:
        lake.view(connection, INVENTORY, tenants=["acme"])
        found = connection.execute("SELECT count(*) FROM inventory").fetchone()
    assert found
    return int(found[0])


@pytest.mark.slow
def test_a_write_that_finds_no_room_changes_nothing(tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path))
    lake.replace(INVENTORY, rows(10), tenants=["acme"])
    version = lake.version(INVENTORY)

    full = subprocess.run(
        [sys.executable, "-m", "tests.faults.full_disk", str(tmp_path), "65536"],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
    )

    assert full.returncode == 7, full.stderr
    assert "check free space" in full.stdout
    assert lake.version(INVENTORY) == version
    assert count(lake) == 10
    lake.replace(INVENTORY, rows(20), tenants=["acme"])
    assert count(lake) == 20


def test_a_place_that_cannot_hold_a_lake_is_unavailable(tmp_path: Path) -> None:
    (tmp_path / "lake").write_text("a file where the folder should be")

    with pytest.raises(Unavailable, match="inventory"):
        DeltaLake(str(tmp_path / "lake")).replace(INVENTORY, rows(1), tenants=["acme"])
