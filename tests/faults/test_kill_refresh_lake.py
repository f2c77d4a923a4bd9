"""A refresh killed at any point loses nothing and repeats nothing."""

import signal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from qlrf_pipelines.domain.datasets import DATASETS
from resources.lake import DeltaLake
from tests.faults.forked import forked
from tests.faults.killed_refresh import ACME, refresh

POINTS = [
    f"{dataset}:{when}"
    for dataset in ("inventory", "inventory_changes", "scopes")
    for when in ("before", "during", "after")
]


def history(folder: Path) -> tuple[list[Any], list[Any], list[Any]]:
    """What the lake says in the end, without the moments that a repetition may move."""
    lake = DeltaLake(str(folder))
    with duckdb.connect(":memory:") as connection:
        for dataset in ("inventory", "inventory_changes", "scopes"):
            lake.view(connection, DATASETS[dataset], tenants=[ACME])
        return (
            connection.execute(
                "SELECT asset_id, change, asset_id, missed, tombstone_reason, fresh, instance_type "
                "FROM inventory ORDER BY ALL"
            ).fetchall(),
            connection.execute(
                "SELECT asset_id, change, count(*) FROM inventory_changes GROUP BY ALL ORDER BY ALL"
            ).fetchall(),
            connection.execute("SELECT scope_id, status FROM scopes ORDER BY ALL").fetchall(),
        )


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Any], list[Any], list[Any]]:
    folder = tmp_path_factory.mktemp("undisturbed")
    for state in (0, 1, 2):
        refresh(folder, state, "never")
    return history(folder)


@pytest.mark.slow
@pytest.mark.parametrize("point", POINTS)
def test_a_killed_refresh_is_made_good_by_the_next(
    tmp_path: Path, point: str, undisturbed: tuple[list[Any], list[Any], list[Any]]
) -> None:
    refresh(tmp_path, 0, "never")
    assert forked(refresh, tmp_path, 1, point) == -signal.SIGKILL

    committed = point not in ("inventory:before", "inventory:during")
    if not committed:
        refresh(tmp_path, 1, "never")
    refresh(tmp_path, 2, "never")

    assert history(tmp_path) == undisturbed
