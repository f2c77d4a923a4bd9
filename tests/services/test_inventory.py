"""The inventory keeps every promise of a listing, and believes no listing that broke off."""

import pytest

from qlrf_pipelines.domain.estate import (
    EnvironmentRule,
)
from qlrf_pipelines.domain.inventory import Kind
from qlrf_pipelines.domain.vocabulary import Environment
from tests.fakes.cloud import (
    denied,
    group,
    image,
    instance,
    patch_state,
    volume,
)
from tests.services.house import ACME, House, many


def test_what_is_listed_is_discovered_with_its_facts() -> None:
    rule = EnvironmentRule(tag="Env", values={"PROD": Environment.PRODUCTION})
    house = House(environments=rule)
    house.region.instances = [
        instance(
            "i-1",
            tags={"Name": "web", "Env": "Prod", "Site": "fra"},
            volume_ids=["v-1", "v-2"],
            group_ids=["g-1", "g-2"],
        ),
        instance("i-2", tags={}, volume_ids=["v-1"], state="stopped"),
    ]
    house.region.volumes = [volume("v-1"), volume("v-2", encrypted=False)]
    house.region.groups = [group("g-1", ("tcp", 22, 22)), group("g-2", ("tcp", 22, 22))]
    house.region.images = [image("ami-1", family="base", version="1.0.0")]
    house.region.patch_states = [patch_state("i-1", missing=3)]

    report = house.refresh()

    web, plain = house.assets()["i-1"], house.assets()["i-2"]
    assert web["asset_key"] == "aws:111:us-east-1:i-1"
    assert (web["name"], web["environment"], web["site"]) == ("web", "production", "fra")
    assert (web["image_family"], web["image_version"], web["image_readable"]) == (
        "base",
        "1.0.0",
        True,
    )
    assert (web["volume_count"], web["ebs_encrypted"]) == (2, False)
    assert web["open_ports"] == [{"protocol": "tcp", "from_port": 22, "to_port": 22}]
    assert (web["patch_managed"], web["patches_missing"]) == (True, 3)
    assert (web["fresh"], web["missed"], web["change"]) == (True, 0, "discovered")
    assert web["first_seen"] == web["last_seen"] == house.clock.now()
    assert (plain["name"], plain["environment"], plain["site"]) == (
        "i-2",
        "development",
        "us-east-1",
    )
    assert (plain["volume_count"], plain["ebs_encrypted"], plain["open_ports"]) == (1, True, [])
    assert plain["patch_managed"] is None  # nobody asked: it does not run
    facts = report.facts[ACME]
    assert (facts["assets"], facts["active"], facts["discovered"]) == (2, 1, 2)
    assert (facts["scopes_failed"], facts["gaps"], facts["fresh_share"]) == (0, "", 1.0)


def test_an_unread_fact_is_unknown_and_a_read_absence_is_known() -> None:
    house = House()
    house.region.instances = [
        instance("i-none"),
        instance("i-unread", volume_ids=["v-1", "v-unread"], group_ids=["g-unread"]),
        instance("i-null", volume_ids=None, group_ids=None, tags=None),
    ]
    house.region.volumes = [volume("v-1")]

    house.refresh()

    none, unread, null = (house.assets()[key] for key in ("i-none", "i-unread", "i-null"))
    assert (none["volume_count"], none["ebs_encrypted"], none["open_ports"]) == (0, None, [])
    assert (unread["volume_count"], unread["ebs_encrypted"]) == (2, None)
    assert unread["open_ports"] is None
    assert (null["volume_count"], null["ebs_encrypted"], null["open_ports"]) == (None, None, None)
    assert none["patch_managed"] is False
    assert none["image_readable"] is False


@pytest.mark.parametrize("kind", [Kind.VOLUME, Kind.SECURITY_GROUP, Kind.PATCH_STATE])
def test_a_fact_whose_scope_was_denied_is_unknown(kind: Kind) -> None:
    house = House()
    house.region.instances = [instance("i-1", volume_ids=["v-1"], group_ids=[])]
    house.region.volumes = [volume("v-1", encrypted=False)]
    house.region.patch_states = [patch_state("i-1")]
    house.refresh()
    house.cloud.fail("111", "us-east-1", kind, error=denied())

    report = house.refresh()

    fact = {
        Kind.VOLUME: "ebs_encrypted",
        Kind.SECURITY_GROUP: "open_ports",
        Kind.PATCH_STATE: "patch_managed",
    }[kind]
    asset = house.assets()["i-1"]
    assert asset[fact] is None
    assert asset["fresh"] is True
    assert house.changes()[-1] == ("i-1", "updated")
    assert house.scopes()[f"aws-main/111/us-east-1/{kind}"]["status"] == "denied"
    assert "grant it" in str(report.facts[ACME]["gaps"])


def test_image_facts_are_carried_while_their_listing_fails_and_are_not_stale() -> None:
    house = House()
    house.region.instances = [instance("i-1"), instance("i-2")]
    house.region.images = [image("ami-1", family="base", version="1.0.0")]
    house.refresh()
    house.cloud.fail("111", "us-east-1", Kind.IMAGE)
    house.region.instances[1] = instance("i-2", image_ref="ami-2")

    house.refresh()
    same, moved = house.assets()["i-1"], house.assets()["i-2"]
    house.clock.advance(hours=30)
    house.refresh()

    assert (same["image_readable"], same["image_version"]) == (True, "1.0.0")
    assert (moved["image_readable"], moved["image_version"]) == (False, None)
    assert house.assets()["i-1"]["image_readable"] is False


def test_a_deregistered_image_is_unreadable() -> None:
    house = House()
    house.region.instances = [instance("i-1")]
    house.region.images = [image("ami-1", family="base", version="1.0.0")]
    house.refresh()
    house.region.images = []

    house.refresh()

    assert house.assets()["i-1"]["image_readable"] is False
    assert house.assets()["i-1"]["image_family"] is None


def test_what_vanishes_is_missed_once_and_gone_the_second_time() -> None:
    house = House()
    house.region.instances = many(3)
    house.refresh()
    house.region.instances.pop()

    house.refresh()
    first = house.assets()["i-02"]
    missed_at = house.clock.now()
    house.refresh()
    second = house.assets()["i-02"]

    assert (first["missed"], first["fresh"], first["tombstoned_at"]) == (1, False, None)
    assert first["missed_since"] == missed_at
    assert (second["tombstone_reason"], second["missed"]) == ("missed_twice", 2)
    assert second["tombstoned_at"] == house.clock.now()
    assert second["missed_since"] == missed_at
    assert house.changes()[3:] == [("i-02", "missed"), ("i-02", "tombstoned")]


def test_two_misses_count_only_in_a_row() -> None:
    house = House()
    house.region.instances = many(2)
    house.refresh()
    lost = house.region.instances.pop()
    house.refresh()
    house.region.instances.append(lost)
    report = house.refresh()
    house.region.instances.pop()

    house.refresh()

    assert report.facts[ACME]["returned"] == 1
    assert house.live() == {"i-00", "i-01"}
    assert [change for _, change in house.changes()[2:]] == ["missed", "returned", "missed"]


def test_a_failure_between_two_misses_neither_counts_nor_forgives() -> None:
    house = House()
    house.region.instances = many(2)
    house.refresh()
    house.region.instances.pop()
    house.refresh()
    house.cloud.fail("111", "us-east-1")
    house.refresh()
    assert house.assets()["i-01"]["missed"] == 1
    house.cloud.heal()

    house.refresh()

    assert house.live() == {"i-00"}


def test_a_tombstoned_asset_that_comes_back_lives_again() -> None:
    house = House()
    house.region.instances = many(2)
    house.refresh()
    lost = house.region.instances.pop()
    house.refresh()
    house.refresh()
    house.region.instances.append(lost)

    house.refresh()

    back = house.assets()["i-01"]
    assert (back["change"], back["missed"], back["missed_since"]) == ("returned", 0, None)
    assert (back["tombstoned_at"], back["tombstone_reason"]) == (None, None)
    assert back["first_seen"] < back["last_seen"]


def test_a_terminated_state_is_proof_enough_at_once() -> None:
    house = House()
    house.region.instances = [*many(2), instance("i-born-dead", state="terminated")]
    house.refresh()
    house.region.instances[0]["state"] = "terminated"

    report = house.refresh()
    again = house.refresh()

    gone = house.assets()["i-00"]
    assert (gone["tombstone_reason"], gone["state"]) == ("terminated", "terminated")
    assert "i-born-dead" not in house.assets()
    assert (report.facts[ACME]["tombstoned"], again.facts[ACME]["tombstoned"]) == (1, 0)


def test_a_tombstone_is_forgotten_after_thirty_days_and_its_history_is_not() -> None:
    house = House()
    house.region.instances = many(2)
    house.refresh()
    house.region.instances.pop()
    house.refresh()
    house.refresh()
    house.clock.advance(days=29)
    house.refresh()
    assert "i-01" in house.assets()
    house.clock.advance(days=2)

    house.refresh()

    assert set(house.assets()) == {"i-00"}
    assert ("i-01", "tombstoned") in house.changes()
