"""What every warehouse promises, asked of the fake and of both real ones."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from qlrf_pipelines.domain.errors import NotFound, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.ports.warehouse import Warehouse
from tests.fakes.warehouse import FakeWarehouse
from tests.marts import builds

ACME, GLOBEX = TenantId("acme"), TenantId("globex")

Make = Callable[[], Warehouse]


@pytest.fixture(params=["fake", "duckdb", pytest.param("postgres", marks=pytest.mark.slow)])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    """A warehouse that has published nothing, over acme's six live assets and globex' two."""
    if request.param == "fake":
        owners = [ACME] * 6 + [GLOBEX] * 2
        marts = {"fct_assets": pa.table({"tenant": owners, "name": [str(o) for o in owners]})}
        return FakeWarehouse(upcoming=marts)
    given = builds.sources(builds.filled())
    if request.param == "duckdb":
        return builds.on_duckdb(tmp_path, given)
    return builds.on_postgres(tmp_path, given, request.getfixturevalue("postgres"))


def test_its_promises(warehouse: Warehouse) -> None:
    # One story instead of many tests: every real build costs a second.
    with pytest.raises(NotFound):
        warehouse.query("SELECT * FROM fct_assets")

    first = warehouse.build(tenants=[ACME])
    assert first.broken == ()
    assert "model.qlrf.fct_assets" in {node.unique_id for node in first.nodes}
    assert _live(warehouse) == {"acme": 6}, "only the batch is published"

    warehouse.build(tenants=[GLOBEX])
    assert _live(warehouse) == {"acme": 6, "globex": 2}, "other tenants stay as they were"
    answer = warehouse.ask("SELECT DISTINCT tenant FROM fct_assets", tenant=ACME)
    assert answer.rows == [("acme",)]
    assert answer.columns == ("tenant",)

    for wrong in ("DROP TABLE fct_assets", "SELECT 1; SELECT 2", "", "SELEC 1", "FROM nowhere"):
        with pytest.raises(Rejected):
            warehouse.query(wrong)

    warehouse.erase(ACME)
    assert _live(warehouse) == {"globex": 2}


def _live(warehouse: Warehouse) -> dict[str, int]:
    rows = warehouse.query("SELECT tenant, count(*) AS n FROM fct_assets GROUP BY tenant")
    return {row["tenant"]: row["n"] for row in rows.to_pylist()}
