"""The same lake makes the same marts on both targets, row for row."""

from pathlib import Path

import pytest

from qlrf_pipelines.cli.patches import standing
from tests.fakes.clock import NOON
from tests.fakes.postgres import PostgresDatabase
from tests.marts import builds

MARTS = (
    "dim_tenant",
    "dim_image_version",
    "dim_control",
    "bridge_control_framework",
    "fct_assets",
    "fct_control_results",
    "fct_scope_certificates",
    "agg_drift_scope",
    "agg_drift_daily",
    "agg_compliance_requirement",
    "agg_compliance_framework",
    "fct_drills",
    "fct_drill_phases",
    "agg_resilience",
    "fct_patch_sla",
    "agg_patch_sla",
)


@pytest.mark.slow
def test_every_mart_is_equal_row_for_row(tmp_path: Path, postgres: PostgresDatabase) -> None:
    given = builds.sources(builds.filled())
    embedded = builds.on_duckdb(tmp_path, given)
    server = builds.on_postgres(tmp_path, given, postgres)

    reports = [house.build(tenants=builds.TENANTS) for house in (embedded, server)]

    assert [report.broken for report in reports] == [(), ()]
    for mart in MARTS:
        one, other = (house.query(f"SELECT * FROM {mart}") for house in (embedded, server))
        assert one.schema.names == other.schema.names, mart
        assert _sorted(one.to_pylist()) == _sorted(other.to_pylist()), mart
        assert one.num_rows > 0, mart
    asked = f"SELECT asset_key, severity, status FROM {standing(NOON)} ORDER BY 1, 2"
    assert embedded.ask(asked).rows == server.ask(asked).rows != []


def _sorted(rows: list[dict[str, object]]) -> list[dict[str, object]]:
    return sorted(rows, key=lambda row: repr(list(row.values())[:4]))
