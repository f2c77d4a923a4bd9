"""The inventory keeps every promise of a listing, and believes no listing that broke off."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Rejected, Unavailable
from qlrf_pipelines.domain.estate import (
    Connector,
    EnvironmentRule,
    SafetyRule,
    Tenant,
    TenantId,
)
from qlrf_pipelines.domain.inventory import PAGE_SCHEMAS, Kind
from qlrf_pipelines.domain.reports import StepReport
from qlrf_pipelines.domain.vocabulary import Environment, Platform
from qlrf_pipelines.ports.acceptances import Acceptance
from qlrf_pipelines.services.inventory import flush_changes, refresh_inventory
from tests.fakes.clock import FakeClock
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
from tests.fakes.lake import FakeLake
from tests.fakes.world import fake_world

ACME = TenantId("acme")
HOME = "aws-main/111/us-east-1/instance"


class House:
    """A tenant, its cloud and its lake, an hour apart from refresh to refresh."""

    def __init__(self, cloud: FakeCloud | None = None, **tenant: Any) -> None:
        self.cloud = cloud or FakeCloud({"111": {"us-east-1": FakeRegion()}})
        self.clock = FakeClock()
        self.lake = FakeLake()
        self.world = fake_world(clouds={Platform.AWS: self.cloud}, clock=self.clock, lake=self.lake)
        self.tenants = [a_tenant(**tenant)]

    @property
    def region(self) -> FakeRegion:
        return self.cloud.region("111", "us-east-1")

    def refresh(self) -> StepReport:
        self.clock.advance(hours=1)
        return refresh_inventory(self.world, self.tenants, workers=4, lock_wait=1)

    def accept(self, scope_id: str = HOME) -> None:
        self.clock.advance(minutes=1)
        acceptance = Acceptance(
            scope_id=scope_id, accepted_at=self.clock.now(), accepted_by="me", reason="gone"
        )
        self.world.acceptances.accept(ACME, acceptance)

    def assets(self, tenant: str = "acme") -> dict[str, dict[str, Any]]:
        return {str(r["asset_id"]): r for r in self.lake.rows("inventory", tenant)}

    def live(self, tenant: str = "acme") -> set[str]:
        return {k for k, r in self.assets(tenant).items() if r["tombstoned_at"] is None}

    def changes(self, tenant: str = "acme") -> list[tuple[str, str]]:
        rows = self.lake.rows("inventory_changes", tenant)
        rows.sort(key=lambda row: (row["change_seq"], row["asset_id"]))
        return [(str(row["asset_id"]), str(row["change"])) for row in rows]

    def scopes(self, tenant: str = "acme") -> dict[str, dict[str, Any]]:
        return {str(r["scope_id"]): r for r in self.lake.rows("scopes", tenant)}


def a_tenant(
    name: str = "acme", *, connectors: Mapping[str, tuple[str, ...]] | None = None, **rules: Any
) -> Tenant:
    who = TenantId(name)
    found = connectors if connectors is not None else {"aws-main": ()}
    return Tenant(
        name=who,
        display_name=name,
        connectors=tuple(
            Connector(tenant=who, name=connector, platform=Platform.AWS, regions=regions)
            for connector, regions in found.items()
        ),
        **rules,
    )


def many(count: int, prefix: str = "i") -> list[dict[str, Any]]:
    return [instance(f"{prefix}-{number:02d}") for number in range(count)]


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
