"""What a lake promises, kept by the one in memory and by the real one alike."""

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from qlrf_pipelines.domain.datasets import DATASETS, DRIFT_DAILY, INVENTORY, RISK, SCOPES, Dataset
from qlrf_pipelines.domain.errors import NotFound, QlrfError, Refused
from qlrf_pipelines.ports.lake import Lake
from resources.lake import DeltaLake
from tests.fakes.lake import FakeLake

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


@pytest.fixture(params=["memory", "delta"])
def lake(request: pytest.FixtureRequest, tmp_path: Path) -> Lake:
    return FakeLake() if request.param == "memory" else DeltaLake(str(tmp_path / "lake"))


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(":memory:") as opened:
        opened.execute("SET TimeZone = 'UTC'")
        yield opened


def reader(dataset: Dataset, *rows: dict[str, Any]) -> pa.RecordBatchReader:
    return pa.Table.from_pylist(list(rows), schema=dataset.schema).to_reader(max_chunksize=1)


def asset(tenant: str, key: str, **fields: Any) -> dict[str, Any]:
    return {"tenant": tenant, "asset_key": key, **fields}


def keys(lake: Lake, connection: Any, *tenants: str, **how: Any) -> list[tuple[str, str]]:
    lake.view(connection, INVENTORY, tenants=list(tenants), name="looked", **how)
    found: list[tuple[str, str]] = connection.sql(
        "SELECT tenant, asset_key FROM looked ORDER BY ALL"
    ).fetchall()
    return found


def test_what_was_written_is_read_back_whole(lake: Lake, connection: Any) -> None:
    row = asset(
        "acme",
        "a",
        tags=[("Name", "web"), ("Überschrift", "'quoted' \"twice\"")],
        open_ports=[{"protocol": "tcp", "from_port": 22, "to_port": 22}],
        launched_at=NOON,
        imds_v2=None,
        public_ip="",
        change_seq=2**60,
    )

    lake.replace(INVENTORY, reader(INVENTORY, row), tenants=["acme"])

    lake.view(connection, INVENTORY, tenants=["acme"])
    table = connection.sql("SELECT * FROM inventory").to_arrow_table()
    assert table.schema.names == INVENTORY.schema.names
    read = table.cast(INVENTORY.schema).to_pylist()[0]
    expected = pa.Table.from_pylist([row], schema=INVENTORY.schema).to_pylist()[0]
    assert read == expected


def test_a_tenant_is_replaced_alone(lake: Lake, connection: Any) -> None:
    rows = reader(INVENTORY, asset("acme", "a"), asset("zen", "z"), asset("bee", "b"))
    lake.replace(INVENTORY, rows, tenants=["acme", "zen", "bee"])

    lake.replace(INVENTORY, reader(INVENTORY, asset("acme", "a2")), tenants=["acme", "bee"])

    assert keys(lake, connection, "acme", "bee", "zen") == [("acme", "a2"), ("zen", "z")]
    assert keys(lake, connection, "acme") == [("acme", "a2")]
    assert lake.tenants() == ["acme", "zen"]


def test_no_rows_clear_the_tenant(lake: Lake, connection: Any) -> None:
    lake.replace(INVENTORY, reader(INVENTORY, asset("acme", "a")), tenants=["acme"])

    lake.replace(INVENTORY, reader(INVENTORY), tenants=["acme"])

    assert keys(lake, connection, "acme") == []
    assert lake.tenants() == []


def test_a_tenant_named_like_a_number_stays_text(lake: Lake, connection: Any) -> None:
    lake.replace(INVENTORY, reader(INVENTORY, asset("007", "a")), tenants=["007"])

    assert keys(lake, connection, "007") == [("007", "a")]


def test_one_day_is_replaced_and_the_others_stay(lake: Lake, connection: Any) -> None:
    def day(number: int, total: int, tenant: str = "acme") -> dict[str, Any]:
        return {"tenant": tenant, "day": date(2026, 11, number), "scope_type": "t", "total": total}

    lake.append(
        DRIFT_DAILY,
        reader(DRIFT_DAILY, day(1, 1), day(2, 1), day(2, 7, "zen")),
        tenants=["acme", "zen"],
    )

    lake.replace(
        DRIFT_DAILY, reader(DRIFT_DAILY, day(2, 2)), tenants=["acme"], day=date(2026, 11, 2)
    )

    lake.view(connection, DRIFT_DAILY, tenants=["acme", "zen"])
    assert connection.sql(
        "SELECT tenant, day(day), total FROM drift_daily ORDER BY ALL"
    ).fetchall() == [("acme", 1, 1), ("acme", 2, 2), ("zen", 2, 7)]


def test_rows_of_another_day_are_refused(lake: Lake) -> None:
    row = {"tenant": "acme", "day": date(2026, 11, 1)}

    with pytest.raises(Refused):
        lake.replace(DRIFT_DAILY, reader(DRIFT_DAILY, row), tenants=["acme"], day=date(2026, 11, 2))


@pytest.mark.parametrize("write", ["replace", "append"])
def test_rows_of_another_tenant_are_refused_and_nothing_is_written(
    lake: Lake, connection: Any, write: str
) -> None:
    lake.replace(INVENTORY, reader(INVENTORY, asset("acme", "a")), tenants=["acme"])
    rows = reader(INVENTORY, asset("acme", "b"), asset("zen", "z"))

    with pytest.raises(Refused, match="zen"):
        getattr(lake, write)(INVENTORY, rows, tenants=["acme"])

    assert keys(lake, connection, "acme", "zen") == [("acme", "a")]


def test_rows_with_other_columns_are_refused(lake: Lake) -> None:
    with pytest.raises(Refused):
        lake.replace(INVENTORY, reader(RISK, asset("acme", "a")), tenants=["acme"])


def test_appended_rows_join_those_before(lake: Lake, connection: Any) -> None:
    first = lake.append(INVENTORY, reader(INVENTORY, asset("acme", "a")), tenants=["acme"])

    second = lake.append(INVENTORY, reader(INVENTORY, asset("acme", "b")), tenants=["acme"])

    assert keys(lake, connection, "acme") == [("acme", "a"), ("acme", "b")]
    assert first < second == lake.version(INVENTORY)


def test_an_old_version_can_be_looked_at(lake: Lake, connection: Any) -> None:
    old = lake.replace(INVENTORY, reader(INVENTORY, asset("acme", "a")), tenants=["acme"])
    lake.replace(INVENTORY, reader(INVENTORY, asset("acme", "b")), tenants=["acme"])

    assert keys(lake, connection, "acme", version=old) == [("acme", "a")]
    with pytest.raises(NotFound):
        keys(lake, connection, "acme", version=99)


def test_a_view_stays_with_its_snapshot(lake: Lake, connection: Any) -> None:
    lake.replace(INVENTORY, reader(INVENTORY, asset("acme", "a")), tenants=["acme"])
    lake.view(connection, INVENTORY, tenants=["acme"])

    lake.replace(INVENTORY, reader(INVENTORY, asset("acme", "b")), tenants=["acme"])

    assert connection.sql("SELECT asset_key FROM inventory").fetchall() == [("a",)]


@pytest.mark.parametrize("dataset", DATASETS.values(), ids=list(DATASETS))
def test_a_dataset_never_written_is_empty_with_its_columns(
    lake: Lake, connection: Any, dataset: Dataset
) -> None:
    lake.view(connection, dataset, tenants=["acme"], name="nothing")

    table = connection.sql("SELECT * FROM nothing").to_arrow_table()
    assert table.num_rows == 0
    assert table.cast(dataset.schema).schema.equals(dataset.schema)
    assert lake.version(dataset) is None


def test_a_replaced_view_shows_the_new_rows(lake: Lake, connection: Any) -> None:
    lake.view(connection, INVENTORY, tenants=["acme"])
    lake.replace(INVENTORY, reader(INVENTORY, asset("acme", "a")), tenants=["acme"])

    lake.view(connection, INVENTORY, tenants=["acme"])

    assert connection.sql("SELECT asset_key FROM inventory").fetchall() == [("a",)]


def test_an_erased_tenant_is_gone_from_every_dataset(lake: Lake, connection: Any) -> None:
    for dataset in (INVENTORY, SCOPES):
        rows = reader(dataset, {"tenant": "acme"}, {"tenant": "zen"})
        lake.replace(dataset, rows, tenants=["acme", "zen"])
    lake.replace(INVENTORY, reader(INVENTORY, {"tenant": "acme"}), tenants=["acme"])

    lake.erase("acme")

    assert lake.tenants() == ["zen"]
    lake.view(connection, SCOPES, tenants=["acme", "zen"])
    assert connection.sql("SELECT tenant FROM scopes").fetchall() == [("zen",)]


def test_upkeep_changes_nothing_anybody_can_read(lake: Lake, connection: Any) -> None:
    for number in range(5):
        row = {"tenant": "acme", "day": date(2026, 11, 1 + number), "total": number}
        lake.append(DRIFT_DAILY, reader(DRIFT_DAILY, row), tenants=["acme"])
    lake.replace(INVENTORY, reader(INVENTORY, asset("acme", "a")), tenants=["acme"])

    lake.upkeep(keep_hours=1)

    lake.view(connection, DRIFT_DAILY, tenants=["acme"])
    assert connection.sql("SELECT sum(total), count(*) FROM drift_daily").fetchall() == [(10, 5)]
    assert keys(lake, connection, "acme") == [("acme", "a")]


def test_eight_writers_of_different_tenants_all_succeed(lake: Lake, connection: Any) -> None:
    tenants = [f"tenant-{number}" for number in range(8)]
    failures: list[QlrfError] = []
    start = threading.Barrier(len(tenants))

    def write(tenant: str) -> None:
        start.wait()
        try:
            for turn in range(4):
                rows = reader(INVENTORY, asset(tenant, f"{tenant}-{turn}"))
                lake.replace(INVENTORY, rows, tenants=[tenant])
                lake.append(SCOPES, reader(SCOPES, {"tenant": tenant}), tenants=[tenant])
        except QlrfError as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(tenant,)) for tenant in tenants]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []
    assert keys(lake, connection, *tenants) == [(t, f"{t}-3") for t in tenants]
    lake.view(connection, SCOPES, tenants=tenants)
    assert connection.sql("SELECT count(*) FROM scopes").fetchall() == [(32,)]


def test_a_lake_may_lie_in_a_folder_with_any_name(tmp_path: Path, connection: Any) -> None:
    lake = DeltaLake(str(tmp_path / "50% of my lake"))

    lake.replace(INVENTORY, reader(INVENTORY, asset("acme", "a")), tenants=["acme"])

    assert keys(lake, connection, "acme") == [("acme", "a")]
