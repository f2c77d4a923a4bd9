"""Files of the lake: committed whole or not at all, by whoever was first for a tenant."""

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from qlrf_pipelines.domain.datasets import INVENTORY
from qlrf_pipelines.domain.errors import Refused, Unavailable
from qlrf_pipelines.domain.estate import TenantId
from resources.lake import DeltaLake

ACME, ZEN = TenantId("acme"), TenantId("zen")


def rows(*found: tuple[str, str]) -> pa.RecordBatch:
    named = [{"tenant": tenant, "asset_key": key} for tenant, key in found]
    return pa.RecordBatch.from_pylist(named, schema=INVENTORY.schema)


def reader(batches: Iterator[pa.RecordBatch]) -> pa.RecordBatchReader:
    return pa.RecordBatchReader.from_batches(INVENTORY.schema, batches)


def files(root: Path, tenant: str = "*") -> list[Path]:
    return sorted((root / "inventory").glob(f"tenant={tenant}/*.parquet"))


def written(root: Path) -> set[str]:
    return {key for file in files(root) for key in pq.read_table(file)["asset_key"].to_pylist()}


def test_a_writer_who_was_overtaken_for_its_tenant_changes_nothing(tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path))
    lake.replace(INVENTORY, reader(iter([rows((ACME, "old"))])), tenants=[ACME])

    def overtaken() -> Iterator[pa.RecordBatch]:
        yield rows((ACME, "late"))
        lake.replace(INVENTORY, reader(iter([rows((ACME, "early"))])), tenants=[ACME])

    version = lake.version(INVENTORY)
    with pytest.raises(Unavailable, match="another writer changed the same rows first"):
        lake.replace(INVENTORY, reader(overtaken()), tenants=[ACME])

    assert lake.version(INVENTORY) == (version or 0) + 1


def test_a_writer_overtaken_for_another_tenant_commits_after_it(tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path))
    lake.replace(INVENTORY, reader(iter([rows((ACME, "a"), (ZEN, "z"))])), tenants=[ACME, ZEN])

    def overtaken() -> Iterator[pa.RecordBatch]:
        yield rows((ACME, "a2"))
        lake.replace(INVENTORY, reader(iter([rows((ZEN, "z2"))])), tenants=[ZEN])

    lake.replace(INVENTORY, reader(overtaken()), tenants=[ACME])
    lake.upkeep(keep_hours=0)

    assert written(tmp_path) == {"a2", "z2"}


def test_a_write_that_breaks_leaves_no_file(tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path))

    def broken() -> Iterator[pa.RecordBatch]:
        yield rows(*[(ACME, f"a-{number}") for number in range(10_000)])
        yield rows((ZEN, "stranger"))

    with pytest.raises(Refused, match="zen"):
        lake.replace(INVENTORY, reader(broken()), tenants=[ACME])

    assert files(tmp_path) == []


def test_rows_are_grouped_as_they_come_and_a_tenant_has_one_file(tmp_path: Path) -> None:
    lake = DeltaLake(str(tmp_path))
    many = [rows(*[(ACME, f"a-{at + n}") for n in range(2_000)]) for at in range(0, 20_000, 2_000)]

    lake.replace(INVENTORY, reader(iter([*many, rows((ZEN, "z"))])), tenants=[ACME, ZEN])

    [acme] = files(tmp_path, "acme")
    groups = pq.ParquetFile(acme).metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [10_000, 10_000]
    assert len(files(tmp_path, "zen")) == 1
