"""A lake in memory: the same promises as the real one, without files."""

import threading
from collections.abc import Callable, Sequence
from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from qlrf_pipelines.domain.datasets import DATASETS, Dataset
from qlrf_pipelines.domain.errors import NotFound, QlrfError, Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.ports.lake import Lake


class FakeLake(Lake):
    """Keeps every version of every dataset as Arrow tables, one per tenant.

    `failing` names datasets whose next write raises the error given, then heals.
    """

    def __init__(self, *, failing: dict[str, QlrfError] | None = None) -> None:
        self.versions: dict[str, list[dict[TenantId, pa.Table]]] = {}
        self.failing = failing or {}
        self._lock = threading.Lock()

    def replace(
        self,
        dataset: Dataset,
        rows: pa.RecordBatchReader,
        *,
        tenants: Sequence[TenantId],
        day: date | None = None,
    ) -> int:
        new = self._read(dataset, rows, tenants, day)

        def change(tenant: TenantId, before: pa.Table) -> pa.Table:
            if day is None:
                return new[tenant]
            keep = before.filter(pc.not_equal(before["day"], pa.scalar(day, pa.date32())))
            return pa.concat_tables([keep, new[tenant]])

        return self._commit(dataset, tenants, change)

    def append(
        self, dataset: Dataset, rows: pa.RecordBatchReader, *, tenants: Sequence[TenantId]
    ) -> int:
        new = self._read(dataset, rows, tenants, None)
        return self._commit(
            dataset, tenants, lambda tenant, before: pa.concat_tables([before, new[tenant]])
        )

    def view(
        self,
        connection: duckdb.DuckDBPyConnection,
        dataset: Dataset,
        *,
        tenants: Sequence[TenantId],
        name: str | None = None,
        version: int | None = None,
    ) -> None:
        held = self.versions.get(dataset.name, [])
        if version is not None and not 0 <= version < len(held):
            raise NotFound(f"Dataset {dataset.name} has no version {version}; ask for another one.")
        state = held[len(held) - 1 if version is None else version] if held else {}
        tables = [state[tenant] for tenant in sorted(set(tenants)) if tenant in state]
        connection.register(
            name or dataset.name, pa.concat_tables([dataset.schema.empty_table(), *tables])
        )

    def version(self, dataset: Dataset) -> int | None:
        held = self.versions.get(dataset.name, [])
        return len(held) - 1 if held else None

    def tenants(self) -> Sequence[TenantId]:
        newest = (held[-1] for held in self.versions.values() if held)
        return sorted({t for state in newest for t, table in state.items() if table.num_rows})

    def erase(self, tenant: TenantId) -> None:
        with self._lock:
            for held in self.versions.values():
                held.append({t: table for t, table in held[-1].items() if t != tenant})
                for state in held[:-1]:
                    state.pop(tenant, None)

    def upkeep(self, *, keep_hours: int) -> None:
        pass

    def rows(self, name: str, tenant: str | None = None) -> list[dict[str, object]]:
        """What a dataset holds now, as plain rows, for tests to look at."""
        held = self.versions.get(name, [])
        state = held[-1] if held else {}
        found = [t for who, t in sorted(state.items()) if tenant is None or who == tenant]
        rows: list[dict[str, object]] = pa.concat_tables(
            [DATASETS[name].schema.empty_table(), *found]
        ).to_pylist()
        return rows

    def _read(
        self,
        dataset: Dataset,
        rows: pa.RecordBatchReader,
        tenants: Sequence[TenantId],
        day: date | None,
    ) -> dict[TenantId, pa.Table]:
        table = rows.read_all()
        if table.schema.names != dataset.schema.names:
            raise Refused(f"Rows for {dataset.name} do not have its columns, in its order.")
        table = table.cast(dataset.schema)
        strangers = set(table["tenant"].unique().to_pylist()) - set(tenants)
        if strangers:
            raise Refused(
                f"Rows for {dataset.name} hold other tenants: {sorted(map(str, strangers))}."
            )
        if day is not None and set(table["day"].unique().to_pylist()) - {day}:
            raise Refused(f"Rows for {dataset.name} hold other days than {day}.")
        return {t: table.filter(pc.equal(table["tenant"], t)) for t in tenants}

    def _commit(
        self,
        dataset: Dataset,
        tenants: Sequence[TenantId],
        change: Callable[[TenantId, pa.Table], pa.Table],
    ) -> int:
        with self._lock:
            if dataset.name in self.failing:
                raise self.failing.pop(dataset.name)
            held = self.versions.setdefault(dataset.name, [])
            state = dict(held[-1]) if held else {}
            for tenant in tenants:
                state[tenant] = change(tenant, state.get(tenant, dataset.schema.empty_table()))
            held.append(state)
            return len(held) - 1
