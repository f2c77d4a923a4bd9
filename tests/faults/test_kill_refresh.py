"""A refresh may be killed anywhere, its whole process: the old marts answer, the next is whole.

Every attempt but the first and the last is killed, each at a later point than the one before, so
that each one also makes good what the one before left behind.
"""

import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from qlrf_pipelines import wiring
from qlrf_pipelines.domain.datasets import INVENTORY, INVENTORY_CHANGES
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.services.evidence import verify_ledger
from qlrf_pipelines.settings import Settings
from tests.faults import killed_process
from tests.faults.forked import forked
from tests.faults.killed_process import settings_of

ACME = TenantId("acme")
POINTS = ("listing:during", "inventory:during", "drift:during", "control_results:after",
          "marts:before")  # fmt: skip
# The attempts killed while drift was scored and later had each completed the listing: the one
# instance that vanished was missed by the first of them, and declared gone by the second.
CHANGES = {
    **{(f"i-{number}", "discovered"): 1 for number in range(7)},
    ("i-3", "updated"): 1,
    ("i-0", "missed"): 1,
    ("i-0", "tombstoned"): 1,
}

pytestmark = pytest.mark.slow


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    found = settings_of(tmp_path)
    yield found
    with wiring.database(found):
        pass  # whoever leaves last stops it, also after attempts that could not


def attempt(home: Path, state: int, point: str) -> int | None:
    """The exit code of one refresh in a process of its own."""
    return forked(killed_process.refresh, home, state, point)


def published(settings: Settings) -> list[tuple[Any, ...]]:
    sql = "SELECT asset_id, instance_type, drift_verdict, risk_score FROM fct_assets ORDER BY ALL"
    return list(wiring.warehouse(settings).ask(sql, tenant=ACME).rows)


def history(settings: Settings) -> tuple[list[str], Counter[tuple[str, str]]]:
    """The live assets of the lake, and every change it ever wrote down."""
    with duckdb.connect(":memory:") as connection:
        for dataset in (INVENTORY, INVENTORY_CHANGES):
            wiring.lake(settings).view(connection, dataset, tenants=[ACME])
        live = connection.execute(
            "SELECT asset_id FROM inventory WHERE tombstoned_at IS NULL ORDER BY ALL"
        ).fetchall()
        changes = connection.execute("SELECT asset_id, change FROM inventory_changes").fetchall()
    return [asset for (asset,) in live], Counter(changes)


def test_a_refresh_killed_anywhere_leaves_the_old_marts_and_is_made_good(
    tmp_path: Path, settings: Settings
) -> None:
    assert attempt(tmp_path, 0, "never") == 0
    before = published(settings)
    assert len(before) == 6

    for point in POINTS:
        assert attempt(tmp_path, 1, point) == -signal.SIGKILL, point
        assert published(settings) == before, point
        _, changes = history(settings)
        assert set(changes.values()) == {1}, point

    assert attempt(tmp_path, 1, "never") == 0
    live, changes = history(settings)
    assert live == [f"i-{number}" for number in range(1, 7)]
    assert changes == CHANGES
    assert [row[0] for row in published(settings)] == live
    assert ("i-3", "m1") in {row[:2] for row in published(settings)}
    assert verify_ledger(wiring.live(settings), ACME).entries > 0
