"""One run refreshes neighbours, and nobody between them who was not asked for."""

import dagster as dg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets_defs.partitions import TENANTS_NAME, contiguous_ranges, tenants_of_run
from qlrf_pipelines.domain.errors import Refused

ORDER = ["acme", "bolt", "cargo", "delta", "echo"]


def test_neighbours_share_a_run_and_a_gap_splits_it():
    ranges = contiguous_ranges(ORDER, {"acme", "bolt", "delta"})

    assert [item.tenants for item in ranges] == [("acme", "bolt"), ("delta",)]


def test_a_batch_is_never_longer_than_asked():
    ranges = contiguous_ranges(ORDER, set(ORDER), at_most=2)

    assert [len(item.tenants) for item in ranges] == [2, 2, 1]


@given(
    order=st.lists(st.text("abcdef", min_size=1), unique=True, max_size=30),
    size=st.integers(1, 7),
    data=st.data(),
)
def test_every_wanted_tenant_is_in_exactly_one_range_and_no_other_is_in_any(order, size, data):
    wanted = set(data.draw(st.lists(st.sampled_from(order), unique=True))) if order else set()

    ranges = contiguous_ranges(order, wanted, at_most=size)

    covered = [
        key
        for item in ranges
        for key in order[order.index(item.tenants[0]) : order.index(item.tenants[-1]) + 1]
    ]
    assert sorted(covered) == sorted(wanted)
    assert all(len(item.tenants) <= size for item in ranges)


def test_a_run_without_tags_is_about_everybody():
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(TENANTS_NAME, ORDER)

        assert tenants_of_run({}, instance) == ORDER


def test_a_run_is_about_the_tenants_its_tags_name():
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(TENANTS_NAME, ORDER)
        [item] = contiguous_ranges(ORDER, {"bolt", "cargo", "delta"})

        assert tenants_of_run(item.tags, instance) == ["bolt", "cargo", "delta"]
        assert tenants_of_run({"dagster/partition": "echo"}, instance) == ["echo"]


def test_a_range_whose_end_was_removed_is_refused():
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(TENANTS_NAME, ["acme"])
        [item] = contiguous_ranges(ORDER, {"acme", "bolt"})

        with pytest.raises(Refused, match="bolt"):
            tenants_of_run(item.tags, instance)
