"""Warehouses over fakes, one per target."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from qlrf_pipelines.ports.lake import Lake
from resources.database import roles
from resources.warehouse.duckdb import DuckDbWarehouse
from resources.warehouse.postgres import PostgresWarehouse
from resources.warehouse.sources import Sources
from tests.fakes.controls import FakeControls
from tests.fakes.estate import FakeEstate
from tests.fakes.lake import FakeLake
from tests.fakes.postgres import PostgresDatabase
from tests.marts import rows, worlds

TENANTS = ("acme", "globex", "initech")


def filled() -> FakeLake:
    """A lake with acme and globex; initech is in the estate and has nothing."""
    lake = FakeLake()
    worlds.fill(lake)
    return lake


def sources(lake: Lake, *, estate: FakeEstate | None = None) -> Sources:
    """What a build reads: this lake, an estate of three tenants, three controls."""
    return Sources(
        lake=lake,
        estate=estate or FakeEstate(rows.estate(*TENANTS)),
        controls=FakeControls(),
    )


def on_duckdb(home: Path, given: Sources) -> DuckDbWarehouse:
    """A warehouse in a file under `home`."""
    return DuckDbWarehouse(home=home, sources=lambda: given)


def on_postgres(home: Path, given: Sources, database: PostgresDatabase) -> PostgresWarehouse:
    """A warehouse in a database, as its two marts roles."""

    @contextmanager
    def urls() -> Iterator[tuple[str, str]]:
        yield database.url(roles.MARTS), database.url(roles.READER)

    return PostgresWarehouse(home=home, sources=lambda: given, urls=urls)


Made = Callable[[Sources], DuckDbWarehouse | PostgresWarehouse]
