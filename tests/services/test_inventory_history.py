"""History says what changed, once, and nothing else."""

import json
from datetime import datetime
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.inventory import PAGE_SCHEMAS, Kind
from qlrf_pipelines.services.inventory import flush_changes
from tests.fakes.cloud import (
    instance,
)
from tests.services.house import ACME, HOME, House, a_tenant, many


def test_two_tenants_sharing_an_account_do_not_touch_each_other() -> None:
    house = House()
    house.region.instances = many(3)
    house.tenants.append(a_tenant("zen"))
    house.refresh()
    house.cloud.fail("111", "us-east-1")
    both = house.tenants
    house.tenants = both[:1]
    house.refresh()

    assert house.live("acme") == house.live("zen") == {"i-00", "i-01", "i-02"}
    assert all(row["fresh"] for row in house.assets("zen").values())
    assert not any(row["fresh"] for row in house.assets("acme").values())


def test_an_update_tells_only_what_changed() -> None:
    house = House()
    house.region.instances = [instance("i-1"), instance("i-2")]
    house.refresh()
    house.region.instances[0] = instance("i-1", instance_type="m5.large", tags={"Name": "x"})

    report = house.refresh()

    changed = house.lake.rows("inventory_changes", "acme")[-1]
    assert json.loads(str(changed["before"])) == {
        "instance_type": "t3.small",
        "name": "i-1",
        "tags": {"Name": "i-1"},
    }
    assert json.loads(str(changed["after"])) == {
        "instance_type": "m5.large",
        "name": "x",
        "tags": {"Name": "x"},
    }
    assert report.facts[ACME]["updated"] == 1
    assert report.preview[ACME] == [
        {"asset_key": "aws:111:us-east-1:i-1", "name": "x", "change": "updated"},
        {"asset_key": "aws:111:us-east-1:i-2", "name": "i-2", "change": "as before"},
    ]


def test_nothing_changing_writes_no_history() -> None:
    house = House()
    house.region.instances = many(3)
    house.refresh()

    house.refresh()
    flush_changes(house.world, house.tenants)

    assert len(house.changes()) == 3


def test_an_asset_two_pages_show_is_one_asset() -> None:
    house = House()
    house.region.instances = [
        *many(2),
        instance("i-00", instance_type="m5.large"),
    ]

    house.refresh()

    rows = house.lake.rows("inventory", "acme")
    assert sorted(str(row["asset_id"]) for row in rows) == ["i-00", "i-01"]
    assert house.assets()["i-00"]["instance_type"] == "m5.large"


def test_sequence_numbers_rise_even_if_the_clock_goes_back() -> None:
    house = House()
    house.region.instances = many(1)
    house.refresh()
    house.clock.advance(days=-1)
    house.region.instances = many(2)

    house.refresh()

    rows = house.lake.rows("inventory_changes", "acme")
    assert rows[0]["change_seq"] < rows[1]["change_seq"]  # type: ignore[operator]
    assert len(rows) == 2


@pytest.mark.parametrize("dataset", ["inventory", "inventory_changes", "scopes"])
def test_a_write_that_fails_loses_and_repeats_nothing(dataset: str) -> None:
    house = House()
    house.region.instances = many(2)
    house.refresh()
    house.region.instances = many(3)
    house.lake.failing[dataset] = Unavailable("disk full")
    with pytest.raises(Unavailable):
        house.refresh()
    del house.region.instances[0]

    house.refresh()

    assert sorted(house.changes()) == [
        ("i-00", "discovered"),
        ("i-00", "missed"),
        ("i-01", "discovered"),
        ("i-02", "discovered"),
    ]


def test_an_empty_region_is_proven_empty_without_asking_for_images() -> None:
    house = House()

    house.refresh()

    assert {row["status"] for row in house.scopes().values()} == {"complete"}
    assert {scope.kind for scope, _ in house.cloud.calls} == {
        Kind.INSTANCE,
        Kind.VOLUME,
        Kind.SECURITY_GROUP,
    }


def test_progress_is_told_every_scope_and_its_end() -> None:
    house = House()
    house.region.instances = many(3)

    house.refresh()

    progress: Any = house.world.progress
    planned = {scope.id for scope in progress.scopes_planned}
    ended = {certificate.scope.id for certificate in progress.certificates}
    assert planned == {f"aws-main/111/us-east-1/{kind}" for kind in PAGE_SCHEMAS}
    assert planned < ended


def test_times_are_those_of_the_listing() -> None:
    house = House()
    house.region.instances = many(1)

    house.refresh()

    moment: datetime = house.clock.now()
    asset = house.assets()["i-00"]
    assert asset["changed_at"] == asset["last_seen"] == moment
    assert house.scopes()[HOME]["last_complete_at"] == moment
