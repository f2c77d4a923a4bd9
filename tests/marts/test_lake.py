"""The marts read the lake's own files where they lie, and say the same as from memory."""

from pathlib import Path

import duckdb

from resources.lake import DeltaLake
from resources.warehouse.sources import open_sources
from tests.marts import builds, worlds

READ_IN_PLACE = {
    "drills",
    "drill_phases",
    "resilience",
    "inventory",
    "scopes",
    "golden_images",
    "drift",
    "drift_daily",
    "control_results",
    "risk",
    "patch_sla",
}


def test_local_files_are_read_in_place_and_an_empty_dataset_is_a_table(tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path / "lake"))
    with duckdb.connect() as connection:
        before = list(open_sources(connection, builds.sources(lake), tenants=builds.TENANTS))
    worlds.fill(lake)
    with duckdb.connect() as connection:
        after = list(open_sources(connection, builds.sources(lake), tenants=builds.TENANTS))

    assert {source.name for source in before if source.durable} == set()
    assert {source.name for source in after if source.durable} == READ_IN_PLACE


def test_the_real_lake_makes_the_same_marts_as_the_one_in_memory(tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path / "lake"))
    worlds.fill(lake)
    house = builds.on_duckdb(tmp_path / "home", builds.sources(lake))

    report = house.build(tenants=builds.TENANTS)

    assert report.broken == ()
    for mart in ("fct_assets", "agg_drift_scope", "dim_image_version", "agg_resilience"):
        question = f"SELECT * FROM {mart} ORDER BY ALL"
        assert house.ask(question).rows == builds.published().ask(question).rows, mart
