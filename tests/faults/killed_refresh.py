"""A refresh in a process of its own, on a real lake, that kills itself at a chosen point.

    python -m tests.faults.killed_refresh FOLDER WORLD POINT

WORLD numbers the state of the cloud; POINT is `dataset:before`, `dataset:during`,
`dataset:after` or `never`.
"""

import os
import signal
import sys
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from qlrf_pipelines.domain.datasets import Dataset
from qlrf_pipelines.domain.estate import Connector, Tenant, TenantId
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.lake import Lake
from qlrf_pipelines.services.inventory import refresh_inventory
from resources.lake import DeltaLake
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.cloud import FakeCloud, FakeRegion, instance
from tests.fakes.world import fake_world

ACME = TenantId("acme")


class MortalLake(Lake):
    """Passes everything on, and dies, kill -9, at one point."""

    def __init__(self, lake: Lake, point: str) -> None:
        self._lake = lake
        self._point = point

    def replace(
        self,
        dataset: Dataset,
        rows: pa.RecordBatchReader,
        *,
        tenants: Sequence[TenantId],
        day: date | None = None,
    ) -> int:
        self._reached(f"{dataset.name}:before")
        version = self._lake.replace(dataset, self._read(dataset, rows), tenants=tenants, day=day)
        self._reached(f"{dataset.name}:after")
        return version

    def append(
        self, dataset: Dataset, rows: pa.RecordBatchReader, *, tenants: Sequence[TenantId]
    ) -> int:
        self._reached(f"{dataset.name}:before")
        version = self._lake.append(dataset, self._read(dataset, rows), tenants=tenants)
        self._reached(f"{dataset.name}:after")
        return version

    def view(
        self,
        connection: duckdb.DuckDBPyConnection,
        dataset: Dataset,
        *,
        tenants: Sequence[TenantId],
        name: str | None = None,
        version: int | None = None,
    ) -> None:
        self._lake.view(connection, dataset, tenants=tenants, name=name, version=version)

    def version(self, dataset: Dataset) -> int | None:
        return self._lake.version(dataset)

    def tenants(self) -> Sequence[TenantId]:
        return self._lake.tenants()

    def erase(self, tenant: TenantId) -> None:
        self._lake.erase(tenant)

    def upkeep(self, *, keep_hours: int) -> None:
        self._lake.upkeep(keep_hours=keep_hours)

    def _read(self, dataset: Dataset, rows: pa.RecordBatchReader) -> pa.RecordBatchReader:
        def batches() -> Iterator[pa.RecordBatch]:
            for batch in rows:
                yield batch
                self._reached(f"{dataset.name}:during")

        return pa.RecordBatchReader.from_batches(rows.schema, batches())

    def _reached(self, point: str) -> None:
        if point == self._point:
            os.kill(os.getpid(), signal.SIGKILL)


def cloud_at(state: int) -> FakeCloud:
    """Six instances; each state loses one, gains one and changes one."""
    rows: list[dict[str, Any]] = [
        instance(f"i-{number}", instance_type=f"m{state if number == state + 2 else 0}")
        for number in range(state, state + 6)
    ]
    return FakeCloud({"111": {"us-east-1": FakeRegion(instances=rows)}})


def refresh(folder: Path, state: int, point: str) -> None:
    """Refresh the tenant acme from one state of the cloud."""
    tenant = Tenant(
        name=ACME,
        display_name="Acme",
        connectors=(Connector(tenant=ACME, name="aws", platform=Platform.AWS),),
    )
    world = fake_world(
        clouds={Platform.AWS: cloud_at(state)},
        clock=FakeClock(NOON + timedelta(hours=state)),
        lake=MortalLake(DeltaLake(str(folder)), point),
    )
    refresh_inventory(world, [tenant], workers=2, lock_wait=1)


if __name__ == "__main__":
    refresh(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
