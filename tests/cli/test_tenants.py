"""`qlrf tenants remove`, on the real lake, ledger and Dagster instance."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from qlrf_pipelines import wiring
from qlrf_pipelines.domain.datasets import INVENTORY
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.settings import Settings
from tests.fakes.contracts import issue_estate

pytestmark = pytest.mark.slow

ACME = TenantId("acme")


def qlrf(env: dict[str, str], *arguments: str, typed: str = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "qlrf_pipelines.cli.main", *arguments]
    everything = os.environ | env
    return subprocess.run(
        command, env=everything, input=typed, capture_output=True, text=True, check=False
    )


def test_a_tenant_is_removed_only_when_its_name_is_typed(tmp_path: Path) -> None:
    env = {
        "QLRF_HOME": str(tmp_path / "home"),
        "QLRF_ESTATE": str(issue_estate(tmp_path / "estate")),
    }
    lake = wiring.lake(Settings.from_env(env))
    row = pa.Table.from_pylist([{"tenant": ACME, "asset_key": "a"}], schema=INVENTORY.schema)
    lake.replace(INVENTORY, row.to_reader(), tenants=[ACME])

    mistyped = qlrf(env, "tenants", "remove", "acme", typed="acne\n")
    assert mistyped.returncode == 1
    assert 'acme was not removed: "acne" is not its name' in mistyped.stderr
    assert lake.tenants() == [ACME]

    typed = qlrf(env, "tenants", "remove", "acme", "--json", typed="acme\n")
    assert typed.returncode == 0, typed.stderr
    assert json.loads(typed.stdout)["rows"] == {"inventory": 1}
    assert "kept as proof" in typed.stderr
    assert "still declares acme" in typed.stderr
    assert lake.tenants() == []
