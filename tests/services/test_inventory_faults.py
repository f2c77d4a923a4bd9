"""No listing that fails deletes anything, and every failure is told."""

from datetime import timedelta
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import (
    Connector,
    TenantId,
)
from qlrf_pipelines.domain.inventory import PAGE_SCHEMAS, Kind
from tests.fakes.cloud import (
    ENDLESS,
    FakeCloud,
    FakeRegion,
    denied,
    group,
    image,
    instance,
    patch_state,
    truncated,
    unavailable,
    volume,
)
from tests.services.house import ACME, HOME, House, a_tenant, many

FAULTS = [denied, unavailable, truncated, lambda: ENDLESS]


@pytest.mark.parametrize("fault", FAULTS, ids=["denied", "unavailable", "truncated", "endless"])
@pytest.mark.parametrize("kind", list(PAGE_SCHEMAS), ids=str)
def test_no_page_of_any_listing_deletes_anything_by_failing(kind: Kind, fault: Any) -> None:
    house = House()
    house.region.instances = [
        instance(f"i-{n}", image_ref=f"ami-{n}", volume_ids=[f"v-{n}"], group_ids=[f"g-{n}"])
        for n in range(5)
    ]
    house.region.images = [image(f"ami-{n}") for n in range(5)]
    house.region.volumes = [volume(f"v-{n}") for n in range(5)]
    house.region.groups = [group(f"g-{n}") for n in range(5)]
    house.region.patch_states = [patch_state(f"i-{n}") for n in range(5)]
    house.refresh()
    before = house.assets()

    for page in range(3):
        house.cloud.fail("111", "us-east-1", kind, page=page, error=fault())
        report = house.refresh()
        expected_gaps = house.scopes()[f"aws-main/111/us-east-1/{kind}"]["status"]
        house.cloud.heal()
        if fault() == ENDLESS and page < 2:
            continue  # only the last page can lack its end marker

        assert house.live() == set(before)
        assert expected_gaps == ("denied" if fault is denied else "incomplete")
        assert report.facts[ACME]["scopes_failed"] == (3 if kind is Kind.INSTANCE else 1)
        if kind is Kind.INSTANCE:
            kept = {key: row | {"fresh": True} for key, row in house.assets().items()}
            assert kept == {
                key: row
                | {"last_seen": kept[key]["last_seen"], "refresh_id": kept[key]["refresh_id"]}
                for key, row in before.items()
            }
            assert not any(row["fresh"] for row in house.assets().values())
            house.refresh()
            assert all(row["fresh"] for row in house.assets().values())
    assert {change for _, change in house.changes()} <= {"discovered", "updated"}


@pytest.mark.parametrize("kind", [Kind.ACCOUNT, Kind.REGION], ids=str)
def test_a_failed_look_up_keeps_every_scope_behind_it(kind: Kind) -> None:
    house = House()
    house.region.instances = many(20)
    house.refresh()
    house.cloud.fail("111", "", kind)

    report = house.refresh()
    report = house.refresh()

    assert len(house.live()) == 20
    assert not any(row["fresh"] for row in house.assets().values())
    assert house.scopes()[HOME]["status"] == "incomplete"
    assert house.scopes()[HOME]["last_complete_at"] == house.clock.now() - timedelta(hours=2)
    assert {row["status"] for row in house.scopes().values()} <= {"incomplete", "complete"}
    assert report.facts[ACME]["fresh_share"] == 0.0


def test_unresolvable_credentials_stop_one_tenant_and_no_other() -> None:
    class Picky(FakeCloud):
        def sessions(self, connector: Connector) -> Any:
            if connector.tenant == "zen":
                raise Rejected("env:ZEN_KEY is not set; set it.")
            return super().sessions(connector)

    house = House(Picky({"111": {"us-east-1": FakeRegion(instances=many(2))}}))
    house.tenants.append(a_tenant("zen"))

    report = house.refresh()

    assert house.live() == {"i-00", "i-01"}
    assert report.facts[TenantId("zen")]["scopes_failed"] == 1
    assert "ZEN_KEY" in str(report.facts[TenantId("zen")]["gaps"])
    assert report.facts[TenantId("zen")]["fresh_share"] is None
