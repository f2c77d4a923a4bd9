"""Batches: how many tenants are computed at once, so that memory does not grow with the estate."""

from collections.abc import Iterator, Sequence

from qlrf_pipelines.domain.datasets import INVENTORY
from qlrf_pipelines.domain.estate import Tenant
from qlrf_pipelines.ports.world import World

# A million assets are scored within a few hundred megabytes. One tenant is never split: its
# rows are replaced in one commit.
MOST_ROWS = 1_000_000


def by_assets(
    world: World, tenants: Sequence[Tenant], *, most: int = MOST_ROWS
) -> Iterator[Sequence[Tenant]]:
    """The tenants in batches of at most `most` assets; a larger tenant is a batch of its own."""
    counts = _assets(world, tenants)
    batch: list[Tenant] = []
    held = 0
    for tenant in tenants:
        size = counts.get(tenant.name, 0)
        if batch and held + size > most:
            yield batch
            batch, held = [], 0
        batch.append(tenant)
        held += size
    if batch:
        yield batch


def _assets(world: World, tenants: Sequence[Tenant]) -> dict[str, int]:
    names = [tenant.name for tenant in tenants]
    with world.engine.session() as session:
        world.lake.view(session.connection, INVENTORY, tenants=names)
        counts = "SELECT tenant, count(*) FROM inventory GROUP BY tenant"
        return dict(session.connection.sql(counts).fetchall())
