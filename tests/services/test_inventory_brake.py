"""What vanishes at once waits for a human; what nobody lists any more is kept."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.estate import (
    Connector,
    SafetyRule,
)
from qlrf_pipelines.domain.vocabulary import Platform
from tests.fakes.cloud import (
    FakeCloud,
    FakeRegion,
)
from tests.services.house import ACME, HOME, House, a_tenant, many


def test_a_mass_vanishing_is_held_until_a_human_accepts_it() -> None:
    house = House()
    house.region.instances = many(30)
    house.refresh()
    del house.region.instances[18:]

    for _ in range(3):
        report = house.refresh()
    held = house.scopes()[HOME]
    assert (held["status"], held["vanished"], held["live"]) == ("held", 12, 30)
    assert "qlrf scopes accept acme aws-main/111/us-east-1/instance" in held["error"]
    assert report.facts[ACME]["brake_held"] == 1
    assert len(house.live()) == 30
    lost = house.assets()["i-20"]
    assert (lost["missed"], lost["fresh"]) == (0, False)
    assert lost["missed_since"] == house.clock.now() - timedelta(hours=2)
    assert house.assets()["i-01"]["fresh"] is True
    house.accept()

    house.refresh()

    assert len(house.live()) == 18
    assert house.assets()["i-20"]["tombstone_reason"] == "accepted"
    assert house.scopes()[HOME]["status"] == "complete"
    assert {c for _, c in house.changes()} == {"discovered", "tombstoned"}


def test_what_vanishes_after_an_acceptance_is_judged_anew() -> None:
    house = House()
    house.region.instances = many(40)
    house.refresh()
    del house.region.instances[28:]
    house.refresh()
    house.accept()
    del house.region.instances[16:]

    house.refresh()

    assert len(house.live()) == 28
    assert house.scopes()[HOME]["status"] == "held"
    assert house.scopes()[HOME]["vanished"] == 12


def test_a_held_scope_is_released_when_its_assets_return() -> None:
    house = House()
    house.region.instances = many(30)
    house.refresh()
    lost = house.region.instances[18:]
    del house.region.instances[18:]
    house.refresh()
    house.region.instances.extend(lost[:-1])

    house.refresh()

    assert house.scopes()[HOME]["status"] == "complete"
    assert house.assets()["i-29"]["missed"] == 1
    assert house.assets()["i-28"]["missed_since"] is None
    assert house.changes()[30:] == [("i-29", "missed")]


@pytest.mark.parametrize(
    ("before", "lost", "held"),
    [(33, 10, True), (34, 10, False), (9, 9, False), (10, 10, True), (100, 29, False)],
)
def test_the_brake_needs_the_share_and_the_number(before: int, lost: int, held: bool) -> None:
    house = House(safety=SafetyRule(vanish_share=0.3, vanish_min=10))
    house.region.instances = many(before)
    house.refresh()
    del house.region.instances[before - lost :]

    house.refresh()

    assert (house.scopes()[HOME]["status"] == "held") is held


def test_explicit_terminations_do_not_trip_the_brake() -> None:
    house = House()
    house.region.instances = many(20)
    house.refresh()
    for row in house.region.instances[:15]:
        row["state"] = "terminated"

    house.refresh()

    assert len(house.live()) == 5
    assert house.scopes()[HOME]["status"] == "complete"


def test_a_region_nobody_lists_any_more_keeps_its_assets_until_accepted() -> None:
    cloud = FakeCloud(
        {
            "111": {
                "us-east-1": FakeRegion(instances=many(2)),
                "eu-west-1": FakeRegion(instances=many(3, "e")),
            }
        }
    )
    house = House(cloud)
    house.refresh()
    house.tenants = [a_tenant(connectors={"aws-main": ("us-east-1",)})]

    house.refresh()
    report = house.refresh()

    abandoned = house.scopes()["aws-main/111/eu-west-1/instance"]
    assert (abandoned["status"], abandoned["live"]) == ("abandoned", 3)
    assert "aws-main/111/eu-west-1/volume" not in house.scopes()
    assert report.facts[ACME]["scopes_failed"] == 1
    assert len(house.live()) == 5
    assert house.assets()["e-00"]["fresh"] is False
    house.accept("aws-main/111/eu-west-1/instance")

    house.refresh()

    assert house.live() == {"i-00", "i-01"}
    assert "aws-main/111/eu-west-1/instance" not in house.scopes()
    assert house.refresh().facts[ACME]["scopes_failed"] == 0


def test_one_region_of_two_connectors_is_listed_once() -> None:
    house = House(connectors={"aws-a": (), "aws-b": ()})
    house.region.instances = many(3)

    report = house.refresh()
    house.refresh()

    rows = house.lake.rows("inventory", "acme")
    assert [row["connector"] for row in rows] == ["aws-a"] * 3
    refused = house.scopes()["aws-b/111/us-east-1/instance"]
    assert refused["status"] == "incomplete"
    assert "already listed by connector aws-a" in refused["error"]
    assert report.facts[ACME]["scopes_failed"] == 1


def test_a_lost_connector_keeps_its_claim_against_another() -> None:
    cloud = FakeCloud({"111": {"us-east-1": FakeRegion(instances=many(3))}})
    house = House(cloud, connectors={"aws-a": (), "aws-b": ()})
    house.refresh()

    class OneLost(FakeCloud):
        def sessions(self, connector: Connector) -> Any:
            if connector.name == "aws-a":
                raise Unavailable("no answer")
            return super().sessions(connector)

    broken = OneLost(cloud.accounts)
    house.world = replace(house.world, clouds={Platform.AWS: broken})
    cloud.region("111", "us-east-1").instances.clear()
    house.refresh()
    house.refresh()

    assert len(house.live()) == 3
    assert house.scopes()["aws-a/111/us-east-1/instance"]["status"] == "incomplete"


def test_a_renamed_connector_takes_over_what_it_lists() -> None:
    house = House()
    house.region.instances = many(3)
    house.refresh()
    house.tenants = [a_tenant(connectors={"aws-new": ()})]
    house.region.instances.pop()

    house.refresh()
    house.refresh()

    owners = {key: row["connector"] for key, row in house.assets().items()}
    assert owners == {"i-00": "aws-new", "i-01": "aws-new", "i-02": "aws-main"}
    assert house.scopes()[HOME]["status"] == "abandoned"
    assert len(house.live()) == 3
