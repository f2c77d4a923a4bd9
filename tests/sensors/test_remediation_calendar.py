"""Times of a calendar that meet something in their way: they wait for it, and are not lost."""

from datetime import datetime, timedelta

import pytest

from qlrf_pipelines.domain.patching import PatchSchedule, Trigger
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import cancel
from qlrf_pipelines.services.planning import make_plan
from qlrf_pipelines.services.planning_request import PlanRequest
from qlrf_pipelines.services.submission import submit_plan
from sensors.remediation import Cursor, Look, look_around
from tests.fakes.approvals import ACME
from tests.fakes.clock import NOON
from tests.fakes.drifted import drifted, machine, policy, world_of
from tests.fakes.observations import observed

MONTHLY = PatchSchedule(type=Trigger.SCHEDULED, cron="0 2 * * 6#2", timezone="Europe/Berlin")
NOVEMBER = datetime.fromisoformat("2026-11-14T01:00:00+00:00")
DECEMBER = datetime.fromisoformat("2026-12-12T01:00:00+00:00")
MACHINES = [machine(1), machine(2)]
DRIFT = [drifted(asset, drifted_since=NOON - timedelta(days=20)) for asset in MACHINES]


def look(world: World, cursor: Cursor) -> Look:
    """One tick, with the cursor as a sensor keeps it."""
    came = look_around(world, world.estate.load(), cursor)
    assert Cursor.read(came.cursor.text()) == came.cursor
    return came


def keys(came: Look) -> list[str]:
    return [str(request.run_key) for request in came.requests]


def asked_at(moment: datetime) -> list[str]:
    return [f"maintenance:acme:production:{moment.isoformat()}"]


def wait(world: World, until: datetime) -> None:
    world.clock.moment = until  # type: ignore[attr-defined]


def seen_again(world: World) -> None:
    observed(world.lake, "acme", MACHINES, drift=DRIFT)


@pytest.fixture
def world() -> World:
    return world_of(*MACHINES, drift=DRIFT, policies=(policy(schedule=MONTHLY),))


@pytest.fixture
def held(world: World) -> Look:
    """The calendar fired while a person's request for the same machines was undecided."""
    before = look(world, Cursor())
    wait(world, NOVEMBER - timedelta(minutes=1))
    request = PlanRequest(tenant=ACME, requested_by="rita", families=("ql-base-linux",))
    submit_plan(world, make_plan(world, request, engine=world.policy, contract=world.plan_contract))
    wait(world, NOVEMBER + timedelta(minutes=1))
    return look(world, before.cursor)


def taken_back(world: World) -> None:
    [task] = world.tasks.list(ACME)
    cancel(world, ACME, task.id, by="rita", role=Role.VIEWER, reason="not needed")


def test_it_has_its_turn_with_the_next_snapshot_once_nothing_is_in_its_way(world, held):
    assert held.requests == ()
    assert "waits in acme, production" in held.said[0]
    seen_again(world)
    still = look(world, held.cursor)
    assert still.requests == ()
    taken_back(world)
    again = look(world, still.cursor)
    assert (again.requests, again.said) == ((), ())  # nothing was seen since
    seen_again(world)

    came = look(world, again.cursor)

    assert keys(came) == asked_at(NOVEMBER)


def test_it_is_asked_for_within_the_hour_and_once(world, held):
    taken_back(world)
    wait(world, NOVEMBER + timedelta(hours=1))

    came = look(world, held.cursor)

    assert keys(came) == asked_at(NOVEMBER)
    seen_again(world)
    wait(world, NOVEMBER + timedelta(days=3))
    assert look(world, came.cursor).requests == ()


def test_the_next_time_of_the_calendar_takes_its_place(world, held):
    taken_back(world)
    wait(world, DECEMBER)

    came = look(world, held.cursor)

    assert keys(came) == asked_at(DECEMBER)
    assert came.cursor.waiting == {}


def test_a_tenant_that_is_gone_waits_for_nothing(world, held):
    estate = world.estate.load()
    assert held.cursor.waiting == {"acme/maintenance": NOVEMBER.isoformat()}

    came = look_around(world, type(estate)(tenants=()), held.cursor)

    assert came.cursor.waiting == {}
