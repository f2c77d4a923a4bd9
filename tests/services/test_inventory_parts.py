"""A large region's rows are made part by part; nobody can tell, and no rule is bent by it."""

from typing import Any

from qlrf_pipelines.domain.estate import SafetyRule
from tests.fakes.cloud import group, image, instance, patch_state, volume
from tests.services.house import HOME, House, many


def furnished(rows_at_once: int) -> House:
    """A region with facts of every kind, in which then most things change."""
    house = House(rows_at_once=rows_at_once, safety=SafetyRule(vanish_share=0.9, vanish_min=20))
    house.region.instances = [
        instance(
            f"i-{number:02d}",
            image_ref=f"ami-{number % 3}",
            volume_ids=[f"vol-{number}", f"vol-{number + 1}"],
            group_ids=[f"sg-{number % 4}"],
        )
        for number in range(20)
    ]
    house.region.images = [image(f"ami-{n}", family="base", version=f"1.{n}") for n in range(3)]
    house.region.volumes = [volume(f"vol-{n}", encrypted=n % 5 > 0) for n in range(21)]
    house.region.groups = [group(f"sg-{n}", ("tcp", n, n)) for n in range(4)]
    house.region.patch_states = [patch_state(f"i-{n:02d}", missing=n) for n in range(15)]
    house.refresh()
    del house.region.instances[::4]
    for row in house.region.instances[::2]:
        row["instance_type"] = "m7.large"
    house.region.instances += many(3, prefix="new")
    house.refresh()
    house.refresh()
    return house


def told(house: House, dataset: str) -> list[dict[str, Any]]:
    """A dataset's rows, without the names and numbers every refresh makes up."""
    rows = house.lake.rows(dataset)
    rows.sort(key=lambda row: (row["asset_key"], row["changed_at"]))
    return [{k: v for k, v in row.items() if k not in ("refresh_id", "change_seq")} for row in rows]


def test_parts_come_to_the_same_rows_and_the_same_history_as_the_whole() -> None:
    whole, parts = furnished(rows_at_once=10_000), furnished(rows_at_once=5)

    assert told(parts, "inventory") == told(whole, "inventory")
    assert told(parts, "inventory_changes") == told(whole, "inventory_changes")
    assert {row["tombstone_reason"] for row in told(parts, "inventory")} == {None, "missed_twice"}
    assert {row["ebs_encrypted"] for row in told(parts, "inventory")} >= {True, False}


def test_the_brake_sees_the_whole_region_however_many_parts_it_comes_in() -> None:
    house = House(rows_at_once=4)
    house.region.instances = many(30)
    house.refresh()
    # Ten of thirty trip the brake; in no part of four would ten be missed.
    del house.region.instances[20:]

    house.refresh()
    house.refresh()

    held = house.scopes()[HOME]
    assert (held["status"], held["vanished"], held["live"]) == ("held", 10, 30)
    assert len(house.live()) == 30
