"""Tenants as Dagster knows them: added before they are refreshed, removed with their data."""

from collections.abc import Sequence

import dagster as dg

from assets_defs.partitions import TENANTS_NAME
from qlrf_pipelines import wiring
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.operate.instance import opened
from qlrf_pipelines.settings import Settings
from sensors.tenants import chunks


def sync(instance: dg.DagsterInstance, tenants: Sequence[TenantId]) -> list[str]:
    """Add the partitions that are missing; return all of them in Dagster's order."""
    present = frozenset(instance.get_dynamic_partitions(TENANTS_NAME))
    missing = [tenant for tenant in tenants if tenant not in present]
    for part in chunks(missing):
        instance.add_dynamic_partitions(TENANTS_NAME, part)
    return list(instance.get_dynamic_partitions(TENANTS_NAME))


def remove(settings: Settings, tenant: TenantId) -> bool:
    """Remove a tenant's partition; False if it had none.

    Dagster keeps the run history it has of the partition; open source Dagster cannot wipe single
    partitions, only hide them by removing the key.
    """
    with (
        wiring.database(settings) as database,
        opened(settings, dagster_url=database.dagster_url) as instance,
    ):
        if not instance.has_dynamic_partition(TENANTS_NAME, tenant):
            return False
        instance.delete_dynamic_partition(TENANTS_NAME, tenant)
        return True
