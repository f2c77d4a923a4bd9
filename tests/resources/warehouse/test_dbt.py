"""dbt is parsed once per change of the project, and published only when all of it came out well."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qlrf_pipelines.domain.datasets import INVENTORY
from qlrf_pipelines.domain.errors import Rejected
from resources.warehouse import dbt
from resources.warehouse.duckdb import DuckDbWarehouse
from tests.marts import builds, rows

MODEL = "SELECT tenant FROM {{ source('lake', 'tenants') }}\n"
YML = """
version: 2
sources: [{name: lake, schema: lake, tables: [{name: tenants}]}]
models:
  - name: dim_tenant
    columns:
      - name: tenant
        data_tests: [{accepted_values: {arguments: {values: [VALUES]}}}]
"""


def project(folder: Path, *, values: str = "acme, globex, initech") -> Path:
    """A project of one model and one test."""
    (folder / "models").mkdir(parents=True)
    shutil.copy(dbt.PROJECT / "dbt_project.yml", folder)
    (folder / "models" / "dim_tenant.sql").write_text(MODEL)
    (folder / "models" / "dim_tenant.yml").write_text(YML.replace("VALUES", values))
    return folder


def test_a_failed_test_publishes_nothing_and_is_reported(tmp_path: Path) -> None:
    home = tmp_path / "home"
    given = builds.sources(builds.filled())
    house = DuckDbWarehouse(
        home=home, sources=lambda: given, project_dir=project(tmp_path / "good")
    )
    assert not house.build(tenants=builds.TENANTS).broken
    before = house.path.read_bytes()
    strict = DuckDbWarehouse(
        home=home, sources=lambda: given, project_dir=project(tmp_path / "bad", values="acme")
    )

    report = strict.build(tenants=builds.TENANTS)

    assert [(node.status, node.failures) for node in report.broken] == [("fail", 2)]
    assert house.path.read_bytes() == before
    assert not dbt.build_file(home).exists(), "the rejected build is not kept"


def test_a_project_that_cannot_be_parsed_is_rejected(tmp_path: Path) -> None:
    broken = project(tmp_path / "project")
    (broken / "models" / "dim_tenant.sql").write_text("{% if %}")

    with pytest.raises(Rejected, match="cannot be parsed"):
        dbt.ensure_manifest(broken, tmp_path, dbt.duckdb_target(tmp_path))


def test_a_changed_model_is_parsed_again(tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    target = dbt.duckdb_target(tmp_path)
    first = dbt.ensure_manifest(folder, tmp_path, target)
    assert "model.qlrf.dim_tenant" in json.loads(first.read_text())["nodes"]

    (folder / "models" / "dim_second.sql").write_text("SELECT 1 AS one")
    second = dbt.ensure_manifest(folder, tmp_path, target)

    assert second == first
    assert "model.qlrf.dim_second" in json.loads(second.read_text())["nodes"]


@pytest.mark.slow
def test_a_current_manifest_is_found_without_importing_dbt(tmp_path: Path) -> None:
    folder = project(tmp_path / "project")
    manifest = dbt.ensure_manifest(folder, tmp_path, dbt.duckdb_target(tmp_path))

    code = (
        "import sys; from pathlib import Path; from resources.warehouse import dbt;"
        "home = Path(sys.argv[2]);"
        "print(dbt.ensure_manifest(Path(sys.argv[1]), home, dbt.duckdb_target(home)));"
        "print('dbt.cli' in sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder), str(tmp_path)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.splitlines() == [str(manifest), "False"]


def test_no_secret_is_written_to_the_profile(tmp_path: Path) -> None:
    from resources.warehouse.postgres import postgres_target

    target = postgres_target("postgresql+psycopg2://qlrf_marts:hunter2@127.0.0.1:5432/qlrf")
    dbt._write_profile(tmp_path, target)

    assert "hunter2" not in (tmp_path / "profiles.yml").read_text()
    assert target.secrets == {"DBT_ENV_SECRET_QLRF_MARTS": "hunter2"}
    assert "hunter2" not in repr(target)


def test_a_tenant_that_lost_its_last_row_has_none_in_the_marts(tmp_path: Path) -> None:
    lake = builds.filled()
    house = builds.on_duckdb(tmp_path, builds.sources(lake))
    house.build(tenants=builds.TENANTS)

    rows.put(lake, INVENTORY, [], tenants=["globex"])
    house.build(tenants=builds.TENANTS[1:2])

    answer = house.ask("SELECT tenant, count(*) FROM fct_assets GROUP BY tenant")
    assert answer.rows == [("acme", 6)]
    status = house.ask(
        "SELECT total, coverage, status FROM agg_drift_scope WHERE tenant = 'globex'"
    )
    assert status.rows == [(0, None, "no_data")]
