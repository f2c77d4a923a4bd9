"""Every tick asks for one run per batch of tenants, once."""

import tempfile
from datetime import UTC, datetime

import dagster as dg

from assets_defs.partitions import TENANTS_NAME
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import Estate
from sensors.schedules import refresh_schedule
from tests.fakes.estate import FakeEstate
from tests.fakes.fleet import tenant
from tests.fakes.world import fake_world

TICK = datetime(2026, 11, 1, 13, tzinfo=UTC)


def evaluate(estate: FakeEstate, present: list[str]) -> list[dg.RunRequest | dg.SkipReason]:
    schedule = refresh_schedule(cron="0 * * * *", batch=2)
    with (
        tempfile.TemporaryDirectory() as folder,
        dg.DagsterInstance.local_temp(folder) as instance,
    ):
        instance.add_dynamic_partitions(TENANTS_NAME, present)
        with dg.build_schedule_context(
            instance=instance,
            scheduled_execution_time=TICK,
            resources={"world": fake_world(estate=estate)},
        ) as context:
            return list(schedule(context))


def estate(*names: str) -> FakeEstate:
    return FakeEstate(Estate(tenants=tuple(tenant(name) for name in names)))


def test_a_tick_requests_one_run_per_batch_with_the_range_in_its_tags():
    requests = evaluate(estate("acme", "bolt", "cargo"), ["acme", "bolt", "cargo"])

    assert [request.tags["qlrf/tenants"] for request in requests] == ["2", "1"]
    assert requests[0].tags["dagster/asset_partition_range_start"] == "acme"
    assert requests[0].tags["dagster/asset_partition_range_end"] == "bolt"


def test_the_same_tick_evaluated_twice_asks_for_the_same_runs():
    names = ["acme", "bolt", "cargo"]

    first, second = (evaluate(estate(*names), names) for _ in range(2))

    assert [request.run_key for request in first] == [request.run_key for request in second]


def test_a_partition_without_a_contract_is_left_out():
    requests = evaluate(estate("acme", "cargo"), ["acme", "gone", "cargo"])

    assert [request.tags["qlrf/batch"] for request in requests] == ["acme", "cargo"]


def test_nobody_to_refresh_and_an_unreadable_estate_are_said():
    [nobody] = evaluate(estate("acme"), [])
    [unreadable] = evaluate(FakeEstate(error=Rejected("acme.yaml:3 is wrong")), ["acme"])

    assert "No tenant" in nobody.skip_message
    assert "acme.yaml:3" in unreadable.skip_message
