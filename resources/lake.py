"""The lake as Delta tables: one per dataset, partitioned by tenant, in a folder or a bucket."""

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import duckdb
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs
from deltalake import CommitProperties, DeltaTable, WriterProperties, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.fs import DeltaStorageHandler

from qlrf_pipelines.domain.datasets import DATASETS, Dataset
from qlrf_pipelines.domain.errors import NotFound, QlrfError, Refused, Rejected, Unavailable
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.ports.lake import Lake
from resources.lake_files import PartitionFiles, commit_files

# Writers of different tenants never conflict, but each commit takes one number: eight writers at
# once lose more often than delta-rs' default of 15 retries allows.
_COMMIT = CommitProperties(max_commit_retries=1000)
# delta-rs compresses nothing once properties are given without a compression (108 MB for 1.4 MB of
# inventory here), and keeps a whole row group in memory before it writes any of it.
_ROW_GROUP = 8_192
_WRITER = WriterProperties(compression="ZSTD", max_row_group_size=_ROW_GROUP)
# Statistics would copy names and keys of assets into the log, where erasing a tenant cannot reach
# them; the partition is all we prune by.
_CONFIGURATION = {"delta.dataSkippingNumIndexedCols": "0"}
_TENANT = re.compile(r"[a-z0-9][a-z0-9-]{1,61}[a-z0-9]")


class DeltaLake(Lake):
    """Delta tables under one root: a local folder, or s3://, abfss:// or gs://."""

    def __init__(self, uri: str, *, storage_options: Mapping[str, str] | None = None) -> None:
        self._local = "://" not in uri
        self._root = str(Path(uri).absolute()) if self._local else uri.rstrip("/")
        self._options = dict(storage_options or {})

    def replace(
        self,
        dataset: Dataset,
        rows: pa.RecordBatchReader,
        *,
        tenants: Sequence[TenantId],
        day: date | None = None,
    ) -> int:
        """Overwrite with a predicate: one commit, the old files stay for readers of old snapshots.

        Raises:
            Refused: rows of another tenant or day, or with other columns.
            Unavailable: the storage is full, down, or lost too many commit races.
        """
        if not tenants:
            return self._created(dataset).version()
        predicate = f"tenant in ({_quoted(tenants)})"
        if day is not None:
            predicate += f" and day = cast('{day.isoformat()}' as date)"
        return self._write(
            dataset, rows, tenants=tenants, day=day, mode="overwrite", predicate=predicate
        )

    def append(
        self, dataset: Dataset, rows: pa.RecordBatchReader, *, tenants: Sequence[TenantId]
    ) -> int:
        """Add rows in one commit.

        Raises:
            Refused: rows of another tenant, or with other columns.
            Unavailable: the storage is full, down, or lost too many commit races.
        """
        return self._write(dataset, rows, tenants=tenants, day=None, mode="append")

    def view(
        self,
        connection: duckdb.DuckDBPyConnection,
        dataset: Dataset,
        *,
        tenants: Sequence[TenantId],
        name: str | None = None,
        version: int | None = None,
    ) -> None:
        """Create a view over one snapshot's files of these tenants.

        Raises:
            NotFound: the version does not exist, or its files were dropped by upkeep.
        """
        title = _identifier(name or dataset.name)
        columns = ", ".join(_identifier(column) for column in dataset.schema.names)
        table = self._opened(dataset, version=version)
        files = self._files(table, tenants, old=version is not None) if table else []
        if table is None or not files:
            source = _identifier(f"_no_{name or dataset.name}")
            connection.register(f"_no_{name or dataset.name}", dataset.schema.empty_table())
        elif self._local:
            listed = ", ".join(_text(path) for path in files)
            source = (
                f"read_parquet([{listed}], hive_partitioning = true, "
                "hive_types = {'tenant': VARCHAR})"
            )
        else:
            source = _identifier(f"_lake_{name or dataset.name}")
            found = table.to_pyarrow_dataset(
                file_pruning_predicate=[("tenant", "in", [str(tenant) for tenant in tenants])]
            )
            connection.register(f"_lake_{name or dataset.name}", found)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW {title} AS SELECT {columns} FROM {source}")  # noqa: S608  our own names, quoted

    def version(self, dataset: Dataset) -> int | None:
        """The newest version of a dataset; None if it was never written."""
        table = self._opened(dataset)
        return None if table is None else table.version()

    def tenants(self) -> Sequence[TenantId]:
        """Every tenant that has rows in any dataset, sorted."""
        found: set[str] = set()
        for dataset in DATASETS.values():
            table = self._opened(dataset)
            if table is not None:
                actions = pa.table(table.get_add_actions(flatten=True))
                if actions.num_rows:
                    found.update(actions["partition.tenant"].to_pylist())
        return [TenantId(tenant) for tenant in sorted(found)]

    def erase(self, tenant: TenantId) -> None:
        """Remove a tenant's rows from every dataset, then every file its partition ever had."""
        predicate = f"tenant in ({_quoted([tenant])})"
        for dataset in DATASETS.values():
            table = self._opened(dataset)
            if table is None:
                continue
            with _translated(f"erase tenant {tenant} from dataset {dataset.name}"):
                table.delete(predicate, commit_properties=_COMMIT)
                self._drop_partition(dataset, tenant)

    def upkeep(self, *, keep_hours: int) -> None:
        """Compact appended files, write checkpoints, drop what no snapshot of the window needs."""
        for dataset in DATASETS.values():
            table = self._opened(dataset)
            if table is None:
                continue
            with _translated(f"tidy dataset {dataset.name}"):
                if dataset.append_only:
                    _compact(table)
                table.create_checkpoint()
                table.vacuum(
                    retention_hours=keep_hours,
                    dry_run=False,
                    enforce_retention_duration=False,
                    full=True,  # also what a killed writer left behind
                    commit_properties=_COMMIT,
                )
                table.cleanup_metadata()

    def _uri(self, dataset: Dataset) -> str:
        return f"{self._root}/{dataset.name}"

    def _opened(self, dataset: Dataset, *, version: int | None = None) -> DeltaTable | None:
        with _translated(f"open dataset {dataset.name}"):
            try:
                table = DeltaTable(self._uri(dataset), storage_options=self._options)
            except TableNotFoundError:
                return None
            if version is not None and not 0 <= version <= table.version():
                raise NotFound(
                    f"Dataset {dataset.name} has no version {version}; "
                    f"its newest is {table.version()}."
                )
            if version is not None:
                table.load_as_version(version)
            return table

    def _created(self, dataset: Dataset) -> DeltaTable:
        table = self._opened(dataset)
        if table is None:
            with _translated(f"create dataset {dataset.name}"):
                try:
                    DeltaTable.create(
                        self._uri(dataset),
                        schema=_undocumented(dataset),
                        partition_by=["tenant"],
                        mode="ignore",
                        configuration=_CONFIGURATION,
                        storage_options=self._options,
                    )
                except DeltaError:
                    # Somebody else created it at the same moment; if not, opening it says why.
                    if self._opened(dataset) is None:
                        raise
            table = self._opened(dataset)
        if table is None:
            raise Unavailable(f"Dataset {dataset.name} was created in {self._root} and is gone.")
        return table

    def _write(
        self,
        dataset: Dataset,
        rows: pa.RecordBatchReader,
        *,
        tenants: Sequence[TenantId],
        day: date | None,
        **how: Any,  # noqa: ANN401  write_deltalake's own mode and predicate
    ) -> int:
        _quoted(tenants)  # refuses names that could not be a partition
        if rows.schema.names != dataset.schema.names:
            raise Refused(
                f"Rows for dataset {dataset.name} have the columns {rows.schema.names}; "
                f"it takes {dataset.schema.names}, in this order."
            )
        table = self._created(dataset)
        guard = _Guard(dataset, tenants, day)
        with _translated(f"write dataset {dataset.name} in {self._root}"):
            if dataset.by_tenant and day is None:
                replaced = () if how["mode"] == "append" else tenants
                self._write_files(table, guard.checked(rows), dataset, replaced=replaced)
                return table.version()
            reader = pa.RecordBatchReader.from_batches(_undocumented(dataset), guard.checked(rows))
            try:
                write_deltalake(
                    table, reader, commit_properties=_COMMIT, writer_properties=_WRITER, **how
                )
            except DeltaError:
                if guard.refusal is not None:
                    raise guard.refusal from None
                raise
        return table.version()

    def _write_files(
        self,
        table: DeltaTable,
        batches: Iterator[pa.RecordBatch],
        dataset: Dataset,
        *,
        replaced: Sequence[TenantId],
    ) -> None:
        store = DeltaStorageHandler(self._uri(dataset), self._options)
        with PartitionFiles(store, row_group=_ROW_GROUP) as files:
            for batch in batches:
                files.write(batch)
        commit_files(table, files.added, replaced=replaced, properties=_COMMIT)

    def _files(self, table: DeltaTable, tenants: Sequence[TenantId], *, old: bool) -> list[str]:
        wanted = set(tenants)
        actions = pa.table(table.get_add_actions(flatten=True))
        if not actions.num_rows:
            return []
        # delta-rs names files as URLs: a folder with a space in its name comes percent-encoded.
        uris = [unquote(u) for u in table.file_uris()] if self._local else table.file_uris()
        mine = [u for u in uris if _partition(u) in wanted]
        lost = [u for u in mine if old and self._local and not Path(u).exists()]
        if lost:
            raise NotFound(
                f"Version {table.version()} is older than the lake keeps: {lost[0]} was dropped; "
                "ask for a newer version."
            )
        return mine

    def _drop_partition(self, dataset: Dataset, tenant: TenantId) -> None:
        if self._local:
            folder = Path(self._uri(dataset)) / f"tenant={tenant}"
            if folder.exists():
                shutil.rmtree(folder)
            return
        handler = DeltaStorageHandler(self._uri(dataset), self._options)
        store = pyarrow.fs.PyFileSystem(handler)
        prefix = pyarrow.fs.FileSelector(f"tenant={tenant}", allow_not_found=True, recursive=True)
        for found in store.get_file_info(prefix):
            if found.type == pyarrow.fs.FileType.File:
                store.delete_file(found.path)


class _Guard:
    """Lets only these tenants' rows (of this day) through, and remembers what it refused.

    The writer reports any error of its input as one of its own, with a traceback as text.
    """

    def __init__(self, dataset: Dataset, tenants: Sequence[TenantId], day: date | None) -> None:
        self.refusal: Exception | None = None
        self._dataset = dataset
        self._tenants = pa.array([str(tenant) for tenant in tenants], pa.string())
        self._day = day

    def checked(self, rows: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        schema = _undocumented(self._dataset)
        try:
            for batch in rows:
                if not batch.num_rows:
                    continue
                self._check(batch)
                yield batch if batch.schema == schema else batch.cast(schema)
        except pa.ArrowInvalid as error:
            self.refusal = Refused(
                f"Rows for dataset {self._dataset.name} do not have its types: {error}"
            )
            raise self.refusal from error
        except (QlrfError, duckdb.Error) as error:
            self.refusal = error
            raise

    def _check(self, batch: pa.RecordBatch) -> None:
        found = pc.unique(batch.column("tenant"))
        strangers = found.filter(pc.invert(pc.is_in(found, value_set=self._tenants)))
        if len(strangers):
            raise Refused(
                f"Rows for dataset {self._dataset.name} belong to {strangers.to_pylist()}, who are "
                f"not among the tenants being written; nothing was written."
            )
        if self._day is not None:
            days = pc.unique(batch.column("day")).to_pylist()
            if days != [self._day]:
                raise Refused(
                    f"Rows for dataset {self._dataset.name} are of {days}, not of {self._day} "
                    "alone; nothing was written."
                )


def _compact(table: DeltaTable) -> None:
    try:
        table.optimize.compact(writer_properties=_WRITER, commit_properties=_COMMIT)
    except CommitFailedError:
        # A refresh rewrote the same files meanwhile, and it goes first; the next upkeep compacts.
        table.update_incremental()


def _undocumented(dataset: Dataset) -> pa.Schema:
    return pa.schema([field.remove_metadata() for field in dataset.schema])


def _quoted(tenants: Sequence[TenantId]) -> str:
    wrong = [tenant for tenant in tenants if not _TENANT.fullmatch(tenant)]
    if wrong:
        raise Rejected(f"Not tenant names: {wrong}; lower-case letters, digits and - only.")
    return ", ".join(f"'{tenant}'" for tenant in sorted(set(tenants)))


def _partition(uri: str) -> str:
    return uri.rsplit("/tenant=", 1)[-1].split("/", 1)[0]


def _identifier(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except CommitFailedError as error:
        raise Unavailable(
            f"Could not {what}: another writer changed the same rows first ({error}); try again."
        ) from error
    except (DeltaError, OSError) as error:
        raise Unavailable(
            f"Could not {what}: {_first_line(error)}. What was there before is intact; check free "
            "space, permissions and the network, then run the same command again."
        ) from error


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
