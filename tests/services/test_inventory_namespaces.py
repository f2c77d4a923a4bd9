"""Where regions come and go, one that is gone proves itself to be empty, and only so."""

from typing import Any

import pytest

from qlrf_pipelines.domain.inventory import Kind
from tests.fakes.cloud import FakeCloud, FakeRegion, denied, instance, truncated, unavailable
from tests.services.house import House, a_tenant, many

GONE = "aws-main/111/preview/instance"


def house(count: int, **cloud: Any) -> House:
    """One whose account has a region to stay and one to go."""
    regions = {"shop": FakeRegion(instances=many(3)), "preview": FakeRegion(instances=[])}
    regions["preview"].instances = many(count, prefix="p")
    made = House(FakeCloud({"111": regions}, come_and_go=True, **cloud))
    made.refresh()
    return made


def staying() -> set[str]:
    return {str(row["asset_id"]) for row in many(3)}


def test_what_was_in_a_region_that_is_gone_goes_by_two_strikes_and_the_region_with_it() -> None:
    home = house(4)
    del home.cloud.accounts["111"]["preview"]

    home.refresh()
    first = (len(home.live()), home.scopes()[GONE]["status"])
    home.refresh()
    second = (home.live(), home.scopes()[GONE]["status"])
    home.refresh()

    assert first == (7, "complete")
    assert second == (staying(), "complete")
    assert GONE not in home.scopes()


def test_a_large_region_that_is_gone_waits_for_a_human_and_goes_once_accepted() -> None:
    home = house(20)
    del home.cloud.accounts["111"]["preview"]
    for _ in range(3):
        home.refresh()
    held = (len(home.live()), home.scopes()[GONE]["status"])
    home.accept(GONE)

    home.refresh()

    assert held == (23, "held")
    assert home.live() == staying()


@pytest.mark.parametrize("fault", [denied, unavailable, truncated])
@pytest.mark.parametrize("kind", [Kind.ACCOUNT, Kind.REGION])
def test_a_region_nobody_could_look_up_is_not_gone(kind: Kind, fault: Any) -> None:
    home = house(4)
    home.cloud.fail("111", "", kind, error=fault())

    for _ in range(3):
        home.refresh()

    assert len(home.live()) == 7
    assert home.scopes()[GONE]["status"] == "incomplete"


def test_a_region_that_comes_back_brings_its_assets_back() -> None:
    home = house(4)
    gone = home.cloud.accounts["111"].pop("preview")
    home.refresh()
    home.refresh()
    home.cloud.accounts["111"]["preview"] = gone

    home.refresh()

    assert len(home.live()) == 7
    assert home.assets()["p-00"]["change"] == "returned"


def test_a_region_the_contract_does_not_name_any_more_is_abandoned_and_not_gone() -> None:
    home = house(4)
    home.tenants = [a_tenant(connectors={"aws-main": ("shop",)})]

    for _ in range(3):
        home.refresh()

    assert len(home.live()) == 7
    assert home.scopes()[GONE]["status"] == "abandoned"


def test_nobody_is_asked_for_a_kind_the_platform_does_not_have() -> None:
    kinds = (Kind.INSTANCE, Kind.IMAGE)
    home = House(FakeCloud({"111": {"shop": FakeRegion(instances=[instance("i-0")])}}, kinds=kinds))

    report = home.refresh()

    assert {scope.kind for scope, _ in home.cloud.calls} == set(kinds)
    listed = {row["kind"] for row in home.scopes().values()} - {"account", "region"}
    assert listed == {"instance", "image"}
    asset = home.assets()["i-0"]
    facts = ("ebs_encrypted", "open_ports", "patch_managed", "patches_missing")
    assert [asset[name] for name in facts] == [None] * 4
    assert report.facts[home.tenants[0].name]["scopes_failed"] == 0
