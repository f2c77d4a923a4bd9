"""Whatever happens, in whatever order, the set-based rules and the plain ones agree."""

from typing import Any

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.estate import Connector, SafetyRule, Tenant, TenantId
from qlrf_pipelines.domain.inventory import Kind
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.acceptances import Acceptance
from qlrf_pipelines.services.inventory import refresh_inventory
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import ENDLESS, FakeCloud, denied, instance, truncated, unavailable
from tests.fakes.lake import FakeLake
from tests.fakes.world import fake_world
from tests.services.reference_inventory import Reference

ACME = TenantId("acme")
REGIONS = ("eu-west-1", "us-east-1")
IDS = [f"i-{number}" for number in range(6)]

machine = st.one_of(
    st.none(),  # not there
    st.tuples(st.sampled_from(["running", "stopped", "terminated"]), st.sampled_from(["a", "b"])),
)
listing = st.fixed_dictionaries({key: machine for key in IDS})
fault = st.one_of(
    st.none(),
    st.none(),
    st.tuples(st.integers(0, 2), st.sampled_from(["denied", "unavailable", "truncated", ENDLESS])),
)
step = st.fixed_dictionaries(
    {
        region: st.fixed_dictionaries(
            {"machines": listing, "fault": fault, "accept": st.booleans()}
        )
        for region in REGIONS
    }
)
ERRORS: dict[str, Any] = {
    "denied": denied,
    "unavailable": unavailable,
    "truncated": truncated,
    ENDLESS: lambda: ENDLESS,
}


@settings(
    max_examples=8, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(
    steps=st.lists(step, min_size=2, max_size=5),
    share=st.sampled_from([0.3, 0.5, 0.9]),
    least=st.integers(1, 4),
    rows_at_once=st.sampled_from([3, 10_000]),
)
def test_any_history_ends_as_the_reference_says(
    steps: list[dict[str, Any]], share: float, least: int, rows_at_once: int
) -> None:
    cloud, clock, lake = FakeCloud({"111": {}}), FakeClock(), FakeLake()
    world = fake_world(clouds={Platform.AWS: cloud}, clock=clock, lake=lake)
    tenant = Tenant(
        name=ACME,
        display_name="Acme",
        connectors=(Connector(tenant=ACME, name="aws", platform=Platform.AWS, regions=REGIONS),),
        safety=SafetyRule(vanish_share=share, vanish_min=least),
    )
    reference = Reference(share=share, least=least)
    accepted: dict[str, Any] = {}

    for turn in steps:
        clock.advance(hours=1)
        cloud.heal()
        for region, facts in turn.items():
            scope = f"aws/111/{region}/instance"
            if facts["accept"]:
                accepted[region] = clock.now()
                world.acceptances.accept(
                    ACME,
                    Acceptance(
                        scope_id=scope, accepted_at=clock.now(), accepted_by="me", reason="gone"
                    ),
                )
        clock.advance(minutes=1)
        for region, facts in turn.items():
            there = {key: found for key, found in facts["machines"].items() if found}
            cloud.region("111", region).instances = [
                instance(key, state=state, instance_type=kind)
                for key, (state, kind) in there.items()
            ]
            last_page = max(1, -(-len(there) // cloud.page_size)) - 1
            broken = facts["fault"] is not None and facts["fault"][0] <= last_page
            if broken:
                page, name = facts["fault"]
                page = last_page if name == ENDLESS else page
                cloud.fail("111", region, Kind.INSTANCE, page=page, error=ERRORS[name]())
            reference.refresh(
                region,
                None if broken else there,
                now=clock.now(),
                accepted_at=accepted.get(region),
            )
        refresh_inventory(world, [tenant], workers=2, lock_wait=1, rows_at_once=rows_at_once)

        compare(lake, reference)
    assert_no_false_deletion(lake, steps)


def compare(lake: FakeLake, reference: Reference) -> None:
    rows = lake.rows("inventory")
    assert {
        (row["region"], row["asset_id"]): (
            row["instance_type"],
            row["fresh"],
            row["missed"],
            row["missed_since"],
            row["tombstone_reason"],
            row["tombstoned_at"] is not None,
        )
        for row in rows
        if row["tombstoned_at"] is None
    } == {
        (region, key): (a.type, a.fresh, a.missed, a.missed_since, None, False)
        for region, assets in reference.assets.items()
        for key, a in assets.items()
        if a.reason is None
    }
    assert {
        (row["region"], row["asset_id"], row["tombstone_reason"])
        for row in rows
        if row["tombstoned_at"]
    } == {
        (region, key, a.reason)
        for region, assets in reference.assets.items()
        for key, a in assets.items()
        if a.reason
    }
    assert len(rows) == len({row["asset_key"] for row in rows})
    history = lake.rows("inventory_changes")
    assert sorted((row["asset_id"], row["change"]) for row in history) == sorted(reference.changes)
    assert len(history) == len({(row["asset_key"], row["change_seq"]) for row in history})
    statuses = {
        row["region"]: str(row["status"]).replace("denied", "incomplete")
        for row in lake.rows("scopes")
        if row["kind"] == "instance"
    }
    assert statuses == reference.status


def assert_no_false_deletion(lake: FakeLake, steps: list[dict[str, Any]]) -> None:
    """Told without the reference: what every listing showed alive is never a tombstone."""
    gone = {
        (row["region"], row["asset_id"])
        for row in lake.rows("inventory")
        if row["tombstoned_at"] is not None
    }
    for region in REGIONS:
        for key in IDS:
            always = all(
                turn[region]["machines"][key] and turn[region]["machines"][key][0] != "terminated"
                for turn in steps
            )
            assert not (always and (region, key) in gone)
