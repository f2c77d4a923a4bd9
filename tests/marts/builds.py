"""Warehouses over fakes, one per target."""

import atexit
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from qlrf_pipelines.domain.estate import TenantId
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

TENANTS = (TenantId("acme"), TenantId("globex"), TenantId("initech"))


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


@cache
def published() -> DuckDbWarehouse:
    """The marts of `filled`, built once for every test that only reads."""
    home = Path(tempfile.mkdtemp(prefix="qlrf-marts-"))
    atexit.register(shutil.rmtree, home, ignore_errors=True)
    house = on_duckdb(home, sources(filled()))
    report = house.build(tenants=TENANTS)
    assert not report.broken, report.broken
    return house
