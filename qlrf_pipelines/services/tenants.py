"""Tenants: who there is, and how one leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qlrf_pipelines.domain.datasets import DATASETS
from qlrf_pipelines.domain.errors import NotFound, Rejected
from qlrf_pipelines.domain.estate import Estate, TenantId
from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.ports.estate import EstateStore
from qlrf_pipelines.ports.world import World

REMOVED = "tenant_removed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Removal:
    """What was removed of a tenant, and what was kept as proof."""

    tenant: TenantId
    rows: Mapping[str, int]
    entries_kept: int
    still_declared: bool


def list_tenants(store: EstateStore) -> Sequence[Mapping[str, str | int]]:
    """Every tenant the estate declares, with what it declared.

    Raises:
        Rejected: a contract breaks its rules.
    """
    estate = store.load()
    return [
        {
            "tenant": tenant.name,
            "display_name": tenant.display_name,
            "connectors": len(tenant.connectors),
            "images": len(estate.images_of(tenant.name)),
            "exemptions": len(estate.exemptions_of(tenant.name)),
        }
        for tenant in estate.tenants
    ]


def require_tenant(world: World, tenant: TenantId) -> None:
    """Make sure there is something to remove.

    A tenant is known by its data, its evidence or its contract: one whose contract is gone, or
    whose removal was interrupted, can still be removed.

    Raises:
        NotFound: nobody of that name has data, and none is declared.
        Rejected: nobody of that name has data, and the estate cannot tell.
    """
    head = world.ledger.head(tenant)
    if (head is not None and head.kind != REMOVED) or tenant in world.lake.tenants():
        return
    declared = {found.name for found in world.estate.load().tenants}
    if tenant in declared:
        return
    what = "was removed already" if head is not None else "does not exist"
    known = ", ".join(sorted(declared)[:10]) or "none"
    raise NotFound(f"Tenant {tenant} {what}; the estate declares: {known}.")


def remove_tenant(world: World, tenant: TenantId, *, wait_seconds: float = 600) -> Removal:
    """Erase a tenant's rows from lake and marts, and write that down as its ledger's last entry.

    The ledger is kept: it proves what was once true, and that it was removed. Interrupted, it is
    run again; nothing is counted as removed before it is.

    Raises:
        Refused: a refresh of the tenant is running and does not end in `wait_seconds`.
        Unavailable: the lake, the marts or the database cannot be reached.
    """
    with world.locks.hold([f"tenant:{tenant}"], wait_seconds=wait_seconds):
        rows = _count(world, tenant)
        world.lake.erase(tenant)
        world.warehouse.erase(tenant)
        entry = NewEntry(
            kind=REMOVED,
            subject=tenant,
            recorded_at=world.clock.now(),
            content={"rows": rows, "marts": "erased"},
        )
        world.ledger.append({tenant: [entry]})
    head = world.ledger.head(tenant)
    return Removal(
        tenant=tenant,
        rows=rows,
        entries_kept=0 if head is None else head.seq,
        still_declared=tenant in _declared(world.estate),
    )


def _count(world: World, tenant: TenantId) -> dict[str, int]:
    """How many rows each dataset holds of a tenant; datasets without any are left out."""
    rows: dict[str, int] = {}
    with world.engine.session() as session:
        for name, dataset in DATASETS.items():
            world.lake.view(session.connection, dataset, tenants=[tenant])
            counted = f'SELECT count(*) FROM "{name}"'  # noqa: S608  our own names
            found = session.connection.execute(counted).fetchall()
            if found[0][0]:
                rows[name] = int(found[0][0])
    return rows


def _declared(store: EstateStore) -> frozenset[TenantId]:
    """Who the estate declares; nobody, while it cannot be read."""
    try:
        estate: Estate = store.load()
    except Rejected:
        return frozenset()
    return frozenset(tenant.name for tenant in estate.tenants)
