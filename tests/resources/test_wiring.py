"""The wiring costs nothing to import, and a world of it starts nothing by being made."""

import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from qlrf_pipelines import wiring
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.settings import Settings
from resources.warehouse.duckdb import DuckDbWarehouse
from resources.warehouse.postgres import PostgresWarehouse

HEAVY = ("boto3", "botocore", "sqlalchemy", "psycopg2", "deltalake", "dagster", "duckdb", "dbt")


def loaded_after(statement: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"import sys\n{statement}\nprint(*sys.modules)"],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    return {name.split(".")[0] for name in done.stdout.split()}


def test_importing_the_wiring_imports_nothing_heavy():
    assert loaded_after("from qlrf_pipelines import wiring").isdisjoint(HEAVY)


def test_a_reader_of_the_marts_loads_neither_database_nor_lake_nor_cloud():
    loaded = loaded_after(
        "from qlrf_pipelines import wiring\n"
        "from qlrf_pipelines.settings import Settings\n"
        "wiring.warehouse(Settings.from_env({}))"
    )

    assert loaded.isdisjoint(set(HEAVY) - {"duckdb"})


def test_a_world_is_whole_and_starts_nothing(tmp_path):
    world = wiring.live(Settings.from_env({"QLRF_HOME": str(tmp_path / "home")}))

    assert all(getattr(world, part.name) is not None for part in fields(World))
    assert not (tmp_path / "home" / "postgres").exists()


def test_making_a_world_loads_no_cloud_sdk_and_no_dagster():
    loaded = loaded_after(
        "from qlrf_pipelines import wiring\n"
        "from qlrf_pipelines.settings import Settings\n"
        "wiring.live(Settings.from_env({}))"
    )

    assert loaded.isdisjoint({"boto3", "botocore", "dagster", "dbt", "great_expectations"})


@pytest.mark.parametrize(
    ("marts", "adapter"), [("duckdb", DuckDbWarehouse), ("postgres", PostgresWarehouse)]
)
def test_the_setting_says_where_marts_are(tmp_path, marts, adapter):
    settings = Settings.from_env({"QLRF_HOME": str(tmp_path), "QLRF_MARTS": marts})

    assert isinstance(wiring.warehouse(settings), adapter)
    assert not (tmp_path / "postgres").exists()


def test_the_database_of_the_settings_is_opened_and_says_how_it_stands(postgres):
    with wiring.database(postgres.settings) as found:
        assert found.app_url == postgres.url()
        assert not found.embedded

    status = wiring.database_status(postgres.settings)
    assert (status.embedded, status.running) == (False, True)
    assert status.problem is None
    assert status.version is not None
