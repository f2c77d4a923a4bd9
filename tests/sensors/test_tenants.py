"""Tenants become partitions, and stay partitions."""

import dagster as dg

from assets_defs.partitions import TENANTS_NAME
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import Estate
from sensors.tenants import chunks, tenant_sync
from tests.fakes.estate import FakeEstate
from tests.fakes.fleet import tenant
from tests.fakes.world import fake_world


def evaluate(estate: FakeEstate, present: list[str]) -> dg.SensorResult | dg.SkipReason:
    with dg.DagsterInstance.ephemeral() as instance:
        instance.add_dynamic_partitions(TENANTS_NAME, present)
        world = fake_world(estate=estate)
        with dg.build_sensor_context(instance=instance, resources={"world": world}) as context:
            return tenant_sync(context)


def test_new_tenants_are_added_in_chunks_of_a_thousand():
    estate = FakeEstate(Estate(tenants=tuple(tenant(f"t-{n:05d}") for n in range(2500))))

    result = evaluate(estate, ["t-00000"])

    sizes = [len(request.partition_keys) for request in result.dynamic_partitions_requests]
    assert sizes == [1000, 1000, 499]


def test_a_partition_without_a_contract_is_kept_and_mentioned():
    result = evaluate(FakeEstate(Estate(tenants=(tenant("acme"),))), ["acme", "gone"])

    assert isinstance(result, dg.SkipReason)
    assert "1 partitions have no contract" in result.skip_message


def test_an_estate_that_cannot_be_read_changes_nothing_and_says_so():
    result = evaluate(FakeEstate(error=Rejected("tenants/acme.yaml:3 is wrong")), ["acme"])

    assert "tenants/acme.yaml:3" in result.skip_message


def test_chunks_keep_the_order():
    assert chunks(["a", "b", "c"], 2) == [["a", "b"], ["c"]]
