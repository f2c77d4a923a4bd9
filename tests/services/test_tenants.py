"""Tenants leave without a trace, except for the proof."""

import pyarrow as pa
import pytest

from qlrf_pipelines.domain.datasets import DATASETS, INVENTORY, RISK, Dataset
from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected, Unavailable
from qlrf_pipelines.domain.estate import Estate, Tenant, TenantId
from qlrf_pipelines.domain.evidence import NewEntry, verify_chain
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.tenants import list_tenants, remove_tenant, require_tenant
from tests.fakes.clock import NOON
from tests.fakes.estate import FakeEstate
from tests.fakes.lake import FakeLake
from tests.fakes.warehouse import FakeWarehouse
from tests.fakes.world import fake_world

ACME, GLOBEX = TenantId("acme"), TenantId("globex")
ESTATE = Estate(tenants=(Tenant(name=ACME, display_name="Acme"),))


def lay(lake: FakeLake, dataset: Dataset, tenant: TenantId, count: int) -> None:
    """Rows that hold nothing but their tenant and key."""
    rows = [{"tenant": tenant, "asset_key": f"aws:1:r:i-{n}"} for n in range(count)]
    table = pa.Table.from_pylist(rows, schema=dataset.schema)
    lake.replace(dataset, table.to_reader(), tenants=[tenant])


@pytest.fixture
def lake() -> FakeLake:
    lake = FakeLake()
    lay(lake, INVENTORY, ACME, 3)
    lay(lake, RISK, ACME, 2)
    lay(lake, INVENTORY, GLOBEX, 4)
    return lake


@pytest.fixture
def world(lake: FakeLake) -> World:
    return fake_world(lake=lake, warehouse=FakeWarehouse(), estate=FakeEstate(ESTATE))


def test_a_removed_tenant_has_no_row_anywhere(world: World, lake: FakeLake) -> None:
    remove_tenant(world, ACME)

    assert all(not lake.rows(name, ACME) for name in DATASETS)
    assert lake.tenants() == [GLOBEX]
    assert world.warehouse.erased == [ACME]  # type: ignore[attr-defined]


def test_nobody_else_loses_a_row(world: World, lake: FakeLake) -> None:
    remove_tenant(world, ACME)

    assert len(lake.rows("inventory", GLOBEX)) == 4
    assert world.ledger.head(GLOBEX) is None


def test_the_ledger_is_kept_and_ends_with_the_removal(world: World) -> None:
    earlier = NewEntry(kind="control_results", subject="acme", recorded_at=NOON, content={})
    world.ledger.append({ACME: [earlier]})

    removal = remove_tenant(world, ACME)

    entries = list(world.ledger.entries(ACME))
    assert verify_chain(entries) == 2 == removal.entries_kept
    assert (entries[-1].kind, entries[-1].subject) == ("tenant_removed", "acme")
    assert entries[-1].content["rows"] == {"inventory": 3, "risk": 2} == removal.rows


def test_removal_says_when_the_contract_is_still_there(world: World) -> None:
    assert remove_tenant(world, ACME).still_declared
    assert not remove_tenant(world, GLOBEX).still_declared


def test_a_tenant_that_is_being_refreshed_is_not_removed(world: World, lake: FakeLake) -> None:
    with world.locks.hold(["tenant:acme"], wait_seconds=0), pytest.raises(Refused):
        remove_tenant(world, ACME, wait_seconds=0)

    assert len(lake.rows("inventory", ACME)) == 3


class BrokenWarehouse(FakeWarehouse):
    def erase(self, tenant: TenantId) -> None:
        raise Unavailable("Marts are being built; try again.")


def test_an_interrupted_removal_is_not_recorded_and_can_be_run_again(lake: FakeLake) -> None:
    broken = fake_world(lake=lake, warehouse=BrokenWarehouse(), estate=FakeEstate(ESTATE))
    with pytest.raises(Unavailable):
        remove_tenant(broken, ACME)
    assert broken.ledger.head(ACME) is None

    require_tenant(broken, ACME)


def test_whoever_has_data_evidence_or_a_contract_can_be_removed(world: World) -> None:
    only_evidence = TenantId("initech")
    entry = NewEntry(kind="control_results", subject="x", recorded_at=NOON, content={})
    world.ledger.append({only_evidence: [entry]})

    for tenant in (ACME, GLOBEX, only_evidence):
        require_tenant(world, tenant)


def test_a_name_nobody_has_is_not_found(world: World) -> None:
    with pytest.raises(NotFound, match="does not exist; the estate declares: acme"):
        require_tenant(world, TenantId("nobody"))


def test_a_tenant_cannot_be_removed_twice(world: World) -> None:
    remove_tenant(world, GLOBEX)

    with pytest.raises(NotFound, match="was removed already"):
        require_tenant(world, GLOBEX)


def test_a_broken_estate_does_not_hold_up_a_removal(lake: FakeLake) -> None:
    estate = FakeEstate(error=Rejected("The estate has 1 problem."))
    world = fake_world(lake=lake, warehouse=FakeWarehouse(), estate=estate)

    require_tenant(world, ACME)
    assert not remove_tenant(world, ACME).still_declared
    with pytest.raises(Rejected):
        require_tenant(world, TenantId("nobody"))


def test_the_list_counts_what_each_declared() -> None:
    assert list_tenants(FakeEstate(ESTATE)) == [
        {"tenant": "acme", "display_name": "Acme", "connectors": 0, "images": 0, "exemptions": 0}
    ]
