"""Files of a Delta table, written row group by row group, then committed as one version.

delta-rs' own writer plans every write as a query: beside the code that takes, it buffers whole
partitions' batches, 150 MiB to write 2 MB of inventory. This one holds a single row group. It asks
that rows come tenant by tenant: a tenant that comes back gets another file.
"""

import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import Self

import pyarrow as pa
import pyarrow.fs
from deltalake import CommitProperties, DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError
from deltalake.fs import DeltaStorageHandler
from deltalake.transaction import AddAction, RemoveAction

from qlrf_pipelines.domain.estate import TenantId
from resources.clock import TimeSortedIds

PARTITION = "tenant"
_ATTEMPTS = 1000


class PartitionFiles:
    """Writes rows into new files of their tenants' partitions; nobody reads them uncommitted."""

    def __init__(self, store: DeltaStorageHandler, *, row_group: int) -> None:
        self.added: list[AddAction] = []
        self._store = pyarrow.fs.PyFileSystem(store)
        self._row_group = row_group
        self._file: _File | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            self._finish()
        elif self._file is not None:
            self._file.abandon()

    def write(self, batch: pa.RecordBatch) -> None:
        """Add rows, whoever they belong to."""
        for tenant, rows in _runs(batch):
            if self._file is None or self._file.tenant != tenant:
                self._finish()
                self._file = _File(self._store, tenant, rows.schema)
            self._file.add(rows, row_group=self._row_group)

    def _finish(self) -> None:
        if self._file is not None:
            self.added.append(self._file.close())
            self._file = None


def commit_files(
    table: DeltaTable,
    added: Sequence[AddAction],
    *,
    replaced: Sequence[TenantId],
    properties: CommitProperties,
) -> None:
    """Make the files part of the table in one version, instead of every file of `replaced`.

    Raises:
        CommitFailedError: another writer changed the rows of `replaced` first.
    """
    before = _files(table, replaced)
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            _commit(table, added, removed=before, properties=properties)
            break
        except CommitFailedError:
            # delta-rs takes such a commit for one that read every tenant's rows, and refuses it
            # whenever another tenant was faster. What we replace is all we depend on.
            table.update_incremental()
            if attempt == _ATTEMPTS or _files(table, replaced) != before:
                raise
    # The newest version: ours, or another's after it, which leaves these tenants as they are.
    table.update_incremental()


def _commit(
    table: DeltaTable,
    added: Sequence[AddAction],
    *,
    removed: Mapping[str, tuple[TenantId, int]],
    properties: CommitProperties,
) -> None:
    now = _now()
    removals = [
        RemoveAction(
            path=path,
            data_change=True,
            deletion_timestamp=now,
            size=size,
            partition_values={PARTITION: tenant},
        )
        for path, (tenant, size) in removed.items()
    ]
    table.create_write_transaction(
        [*added, *removals],
        mode="append",  # "overwrite" would choose what it removes by itself
        schema=table.schema(),
        partition_by=[PARTITION],
        commit_properties=properties,
    )


def _files(table: DeltaTable, tenants: Sequence[TenantId]) -> dict[str, tuple[TenantId, int]]:
    """The path of every file of these tenants, whose it is, and its size."""
    wanted = set(tenants)
    rows = pa.table(table.get_add_actions(flatten=True)).to_pylist() if wanted else []
    return {
        row["path"]: (row[f"partition.{PARTITION}"], row["size_bytes"])
        for row in rows
        if row[f"partition.{PARTITION}"] in wanted
    }


def _now() -> int:
    return int(time.time() * 1000)


class _File:
    """One Parquet file being written, without the column its folder's name holds."""

    def __init__(self, store: pyarrow.fs.FileSystem, tenant: str, schema: pa.Schema) -> None:
        import pyarrow.parquet as pq

        self.tenant = tenant
        self._path = f"{PARTITION}={tenant}/part-{TimeSortedIds().new()}.zstd.parquet"
        self._store = store
        self._rows = 0
        self._waiting: list[pa.RecordBatch] = []
        self._writer = pq.ParquetWriter(
            self._path, schema, filesystem=store, compression="zstd", store_schema=False
        )

    def add(self, rows: pa.RecordBatch, *, row_group: int) -> None:
        """Take rows, and write a row group once there are enough."""
        self._waiting.append(rows)
        if sum(batch.num_rows for batch in self._waiting) >= row_group:
            self._flush()

    def close(self) -> AddAction:
        """Write the rest; what the log must say about the file."""
        self._flush()
        self._writer.close()
        return AddAction(
            path=self._path,
            size=self._store.get_file_info(self._path).size,
            partition_values={PARTITION: self.tenant},
            modification_time=_now(),
            data_change=True,
            stats=json.dumps({"numRecords": self._rows}),
        )

    def abandon(self) -> None:
        """Give the file up; what stays of it belongs to no version, and upkeep sweeps it."""
        with suppress(OSError, pa.ArrowException, DeltaError):
            self._writer.close()
            self._store.delete_file(self._path)

    def _flush(self) -> None:
        if self._waiting:
            group = pa.Table.from_batches(self._waiting)
            self._writer.write_table(group, row_group_size=group.num_rows)
            self._rows += group.num_rows
            self._waiting = []


def _runs(batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The batch cut where the tenant changes, without the tenant's column."""
    import pyarrow.compute as pc

    ends = pc.run_end_encode(batch.column(PARTITION))
    rest = batch.drop_columns([PARTITION])
    start = 0
    for end, tenant in zip(ends.run_ends.to_pylist(), ends.values.to_pylist(), strict=True):
        yield tenant, rest.slice(start, end - start)
        start = end
