"""Two refreshes of one tenant take turns, and an acceptance waits for neither to be under way."""

import threading

import pytest

from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected
from qlrf_pipelines.domain.estate import Connector, Tenant, TenantId
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.acceptance import accept_scope, list_scopes
from qlrf_pipelines.services.inventory import refresh_inventory
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import FakeCloud, FakeRegion, instance
from tests.fakes.lake import FakeLake
from tests.fakes.world import fake_world

ACME = TenantId("acme")
SCOPE = "aws/111/us-east-1/instance"
TENANT = Tenant(
    name=ACME,
    display_name="Acme",
    connectors=(Connector(tenant=ACME, name="aws", platform=Platform.AWS),),
)


def a_world(count: int) -> tuple[World, FakeLake, FakeCloud, FakeClock]:
    machines = [instance(f"i-{number:02d}") for number in range(count)]
    cloud = FakeCloud({"111": {"us-east-1": FakeRegion(instances=machines)}})
    lake, clock = FakeLake(), FakeClock()
    return fake_world(clouds={Platform.AWS: cloud}, lake=lake, clock=clock), lake, cloud, clock


def test_refreshes_at_the_same_time_write_every_change_once() -> None:
    world, lake, _, _ = a_world(5)
    threads = [
        threading.Thread(
            target=refresh_inventory, args=(world, [TENANT]), kwargs={"workers": 2, "lock_wait": 60}
        )
        for _ in range(3)
    ]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(lake.rows("inventory")) == len(lake.rows("inventory_changes")) == 5


def test_a_refresh_that_waited_long_enough_is_refused() -> None:
    world, lake, _, _ = a_world(5)

    with world.locks.hold(["tenant:acme"], wait_seconds=1), pytest.raises(Refused, match="acme"):
        refresh_inventory(world, [TENANT], workers=2, lock_wait=0.01)

    assert lake.rows("inventory") == []


def accept(world: World, scope: str = SCOPE, reason: str = "closed") -> None:
    accept_scope(world, ACME, scope, reason=reason, by="me", lock_wait=0.01)


def test_a_held_scope_can_be_accepted_and_is_then_judged() -> None:
    world, lake, cloud, clock = a_world(20)
    refresh_inventory(world, [TENANT], workers=2, lock_wait=1)
    del cloud.region("111", "us-east-1").instances[5:]
    clock.advance(hours=1)
    refresh_inventory(world, [TENANT], workers=2, lock_wait=1)

    accept(world)
    clock.advance(hours=1)
    refresh_inventory(world, [TENANT], workers=2, lock_wait=1)

    gone = [row for row in lake.rows("inventory") if row["tombstoned_at"]]
    assert {row["tombstone_reason"] for row in gone} == {"accepted"}
    assert len(gone) == 15


def test_only_what_waits_can_be_accepted() -> None:
    world, _, _, _ = a_world(2)
    refresh_inventory(world, [TENANT], workers=2, lock_wait=1)

    with pytest.raises(Refused, match="is complete"):
        accept(world)
    with pytest.raises(NotFound, match="qlrf scopes --tenant acme"):
        accept(world, "aws/111/nowhere/instance")
    with pytest.raises(Rejected, match="--reason"):
        accept(world, reason="  ")
    with world.locks.hold(["tenant:acme"], wait_seconds=1), pytest.raises(Refused):
        accept(world)


def test_scopes_are_listed_for_one_tenant_or_all() -> None:
    world, _, _, _ = a_world(2)
    refresh_inventory(world, [TENANT], workers=2, lock_wait=1)

    everything = list_scopes(world.lake, world.engine)

    assert list_scopes(world.lake, world.engine, (ACME,)) == everything
    assert SCOPE in {row["scope_id"] for row in everything}
    assert list_scopes(world.lake, world.engine, (TenantId("zen"),)) == []
