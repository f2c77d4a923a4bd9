"""Tenants are Dagster's partitions; one run refreshes a contiguous range of them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import TenantId

# Named with the code location: Dagster shares equally named dynamic partitions between locations.
TENANTS_NAME = "qlrf_tenants"
TENANTS = dg.DynamicPartitionsDefinition(name=TENANTS_NAME)

PARTITION_TAG = "dagster/partition"
RANGE_START_TAG = "dagster/asset_partition_range_start"
RANGE_END_TAG = "dagster/asset_partition_range_end"
COUNT_TAG = "qlrf/tenants"
BATCH_TAG = "qlrf/batch"


@dataclass(frozen=True, slots=True)
class TenantRange:
    """Tenants that follow one another in the order of the partitions; never empty."""

    tenants: tuple[TenantId, ...]

    @property
    def name(self) -> str:
        """`first` or `first..last`."""
        first, last = self.tenants[0], self.tenants[-1]
        return first if first == last else f"{first}..{last}"

    @property
    def tags(self) -> dict[str, str]:
        """The run tags that make Dagster materialize exactly these partitions in one run."""
        return {
            RANGE_START_TAG: self.tenants[0],
            RANGE_END_TAG: self.tenants[-1],
            COUNT_TAG: str(len(self.tenants)),
            BATCH_TAG: self.name,
        }


def contiguous_ranges(
    ordered: Sequence[str], wanted: Collection[str], *, at_most: int | None = None
) -> list[TenantRange]:
    """Split the wanted tenants into runs of neighbours, none longer than `at_most`.

    Dagster names the partitions of a run by a first and a last key, so whatever lies between
    the two is refreshed with them: a range must not reach over a tenant nobody asked for.
    """
    ranges: list[TenantRange] = []
    group: list[TenantId] = []
    chosen = frozenset(wanted)
    for key in ordered:
        full = at_most is not None and len(group) == at_most
        if group and (key not in chosen or full):
            ranges.append(TenantRange(tuple(group)))
            group = []
        if key in chosen:
            group.append(TenantId(key))
    if group:
        ranges.append(TenantRange(tuple(group)))
    return ranges


def tenants_of_run(tags: Mapping[str, str], instance: dg.DagsterInstance) -> list[TenantId]:
    """The tenants a run is about, for steps that are not partitioned themselves.

    A run without partition tags is about every tenant.

    Raises:
        Refused: a tenant named by the tags is no partition (any more).
    """
    if PARTITION_TAG in tags:
        return [TenantId(tags[PARTITION_TAG])]
    keys = [TenantId(key) for key in instance.get_dynamic_partitions(TENANTS_NAME)]
    if RANGE_START_TAG not in tags:
        return keys
    first, last = tags[RANGE_START_TAG], tags[RANGE_END_TAG]
    for key in (first, last):
        if key not in keys:
            raise Refused(f"Tenant {key} of this run is not a partition any more; start it again.")
    return keys[keys.index(TenantId(first)) : keys.index(TenantId(last)) + 1]
