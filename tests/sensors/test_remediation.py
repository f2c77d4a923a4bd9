"""What policies ask for by themselves: once per fresh snapshot, bounded, and over nobody's head."""

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import dagster as dg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.approval import DecisionKind
from qlrf_pipelines.domain.datasets import GOLDEN_IMAGES
from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.estate import Estate, TenantId
from qlrf_pipelines.domain.patching import (
    PatchPolicy,
    PatchSchedule,
    PatchSource,
    SourceType,
    Trigger,
)
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import TaskState
from qlrf_pipelines.domain.vocabulary import Severity
from qlrf_pipelines.jobs.remediation import remediation
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import decide
from qlrf_pipelines.services.planning import make_plan
from qlrf_pipelines.services.planning_request import PlanRequest
from qlrf_pipelines.services.submission import submit_plan
from qlrf_pipelines.services.triggers import old_enough, vulnerable
from sensors.remediation import Cursor, Look, look_around, remediation_sensor
from tests.fakes.approvals import ACME
from tests.fakes.clock import NOON
from tests.fakes.drifted import drifted, machine, policy, release, world_of
from tests.fakes.estate import FakeEstate
from tests.fakes.lake import FakeLake
from tests.fakes.observations import a_tenant, an_asset, keep, observed

OLD = NOON - timedelta(days=20)
DRIFT = PatchSchedule(type=Trigger.DRIFT_TRIGGERED, drift_age=timedelta(days=14))
CVE = PatchSchedule(type=Trigger.CVE_TRIGGERED)
VENDOR = PatchSource(type=SourceType.OS_VENDOR)


def a_world(*numbers: int, since: datetime | None = OLD, **parts: Any) -> World:
    usual: dict[str, Any] = {"schedule": DRIFT}
    assets = [machine(number) for number in numbers or (1, 2)]
    rows = [drifted(asset, drifted_since=since) for asset in assets]
    return world_of(*assets, drift=rows, policies=(policy(**(usual | parts)),))


def seen(world: World, *assets: dict[str, Any], since: datetime | None = OLD) -> None:
    rows = [drifted(asset, drifted_since=since) for asset in assets]
    observed(world.lake, "acme", assets, drift=rows)


def look(world: World, cursor: Cursor | None = None, **bounds: int) -> Look:
    return look_around(world, world.estate.load(), cursor or Cursor(), **bounds)


def keys(came: Look) -> list[str]:
    return [str(request.run_key) for request in came.requests]


def run(world: World, request: dg.RunRequest) -> Any:
    with dg.DagsterInstance.ephemeral() as instance:
        return remediation.execute_in_process(
            instance=instance,
            resources={"world": world},
            run_config=dict(request.run_config),
            tags=dict(request.tags),
            raise_on_error=False,
        )


def the_task(world: World) -> Any:
    [task] = world.tasks.list(ACME)
    return task


def say(world: World, kind: str = "approve") -> None:
    task = the_task(world)
    decide(
        world,
        ACME,
        task.id,
        kind=DecisionKind(kind),
        digest=task.digest,
        by="ann",
        role=Role.ENGINEER,
        reason="it was looked at",
    )


def test_a_drift_that_is_old_enough_is_one_run_that_carries_names_and_no_plan():
    world = a_world()

    [request] = look(world).requests

    assert request.job_name == "remediation"
    assert request.run_key.startswith("maintenance:acme:production:")
    assert request.run_config["ops"]["plan_remediation"]["config"] == {
        "tenant": "acme",
        "policy": "maintenance",
        "environment": "production",
        "due": True,
    }
    assert request.tags["qlrf/trigger"] == "drift-triggered"


def test_the_run_asks_people_in_the_name_of_the_policy():
    world = a_world()
    [request] = look(world).requests

    assert run(world, request).success

    task = the_task(world)
    assert (task.state, task.requested_by) == (TaskState.AWAITING_APPROVAL, "policy:maintenance")


def test_the_same_snapshot_is_asked_for_once_however_often_it_is_looked_at():
    world = a_world()
    first = look(world)
    assert look(world, first.cursor).requests == ()
    world.clock.advance(hours=5)  # type: ignore[attr-defined]
    seen(world, machine(1, last_seen=world.clock.now()), machine(2))

    later, from_nothing = look(world, first.cursor), look(world)

    assert keys(first) == keys(later) == keys(from_nothing)  # Dagster starts one run per key


def test_another_fact_is_another_snapshot():
    world = a_world()
    first = look(world)
    seen(world, machine(1, image_ref="ami-0bbbbbbbbbbbbbbb7"), machine(2))

    assert keys(look(world, first.cursor)) != keys(first)
    assert len(look(world, first.cursor).requests) == 1


@pytest.mark.parametrize(("days", "asked"), [(13, 0), (14, 1)])
def test_a_drift_younger_than_the_policys_age_is_left_alone(days: int, asked: int):
    assert len(look(a_world(since=NOON - timedelta(days=days))).requests) == asked


def test_only_what_is_old_enough_is_planned():
    old, young = machine(1), machine(2)
    rows = [drifted(old, drifted_since=OLD), drifted(young, drifted_since=NOON)]
    world = world_of(old, young, drift=rows, policies=(policy(schedule=DRIFT),))
    [request] = look(world).requests

    run(world, request)

    document = world.tasks.get(ACME, the_task(world).id).document.content
    assert document["phases"][0]["assets"] == [old["asset_key"]]
    assert document["total_assets"] == 1


def test_a_drift_comes_of_age_though_nothing_else_happens():
    world = a_world(since=NOON - timedelta(days=13))
    first = look(world)
    world.clock.advance(days=1)  # type: ignore[attr-defined]

    assert len(look(world, first.cursor).requests) == 1


def test_what_nobody_saw_lately_is_not_asked_for():
    world = a_world()
    seen(world, machine(1, fresh=False))

    assert look(world).requests == ()


@settings(max_examples=60, deadline=None)
@given(
    names=st.sets(
        st.sampled_from(["patches_missing", "patches_critical_missing", "patches_security_missing"])
    ),
    severities=st.sets(st.sampled_from(Severity), min_size=1),
    counts=st.lists(st.integers(0, 2), min_size=4, max_size=4),
)
def test_losing_a_count_of_patches_never_makes_a_machine_look_patched(
    names: set[str], severities: set[Severity], counts: list[int]
):
    every = ("patches_missing", "patches_critical_missing", "patches_security_missing")
    known: dict[str, int | None] = dict(zip((*every, "patches_failed"), counts, strict=True))
    less = {name: None if name in names else count for name, count in known.items()}

    assert vulnerable(less, severities) >= vulnerable(known, severities)
    assert vulnerable({}, severities)


def test_a_drift_of_unknown_age_is_old_enough():
    assert old_enough(None, timedelta(days=400), now=NOON)


def of_patches(**facts: Any) -> World:
    asset = machine(1, patches_failed=0, **facts)
    rows = [drifted(asset, "current")]
    return world_of(asset, drift=rows, policies=(policy(schedule=CVE, source=VENDOR),))


@pytest.mark.parametrize(("critical", "asked"), [(2, 1), (0, 0)])
def test_a_missing_critical_patch_is_asked_for_and_a_patched_machine_is_not(
    critical: int, asked: int
):
    world = of_patches(patches_critical_missing=critical, patches_security_missing=0)

    assert len(look(world).requests) == asked


def test_a_machine_behind_whose_patches_nobody_knows_is_taken_for_vulnerable():
    world = a_world(schedule=CVE)

    assert len(look(world).requests) == 1


def test_a_manual_policy_starts_nothing():
    assert look(a_world(schedule=PatchSchedule())).requests == ()


MONTHLY = PatchSchedule(type=Trigger.SCHEDULED, cron="0 2 * * 6#2", timezone="Europe/Berlin")


def test_a_calendar_fires_once_at_its_time_and_never_for_the_past():
    world = a_world(schedule=MONTHLY)
    first = look(world)
    assert first.requests == ()
    world.clock.advance(days=30)  # type: ignore[attr-defined]

    came = look(world, Cursor.read(first.cursor.text()))
    again = look(world, came.cursor)

    assert keys(came) == ["maintenance:acme:production:2026-11-14T01:00:00+00:00"]
    assert again.requests == ()


def test_times_missed_while_nobody_looked_are_one():
    world = a_world(schedule=MONTHLY)
    first = look(world)
    world.clock.advance(days=100)  # type: ignore[attr-defined]

    assert keys(look(world, first.cursor)) == [
        "maintenance:acme:production:2027-01-09T01:00:00+00:00"
    ]


def asked_already(world: World) -> Look:
    came = look(world)
    for request in came.requests:
        run(world, request)
    return came


def test_what_is_asked_for_already_is_not_asked_again():
    world = a_world()
    asked_already(world)

    came = look(world)

    assert came.requests == ()
    assert "asks for exactly that" in came.said[0]


def test_its_own_undecided_request_is_replaced_by_what_is_seen_now():
    world = a_world(1)
    asked_already(world)
    before = the_task(world)
    seen(world, machine(1), machine(2))

    [request] = look(world).requests
    run(world, request)

    task = the_task(world)
    assert (task.id, task.revision) == (before.id, 2)
    assert world.tasks.get(ACME, task.id).document.content["total_assets"] == 2


def test_an_approval_is_not_pulled_away_by_new_drift_which_has_its_turn_afterwards():
    world = a_world(1)
    asked_already(world)
    say(world)
    seen(world, machine(1), machine(2))
    held = look(world)
    assert held.requests == ()
    assert "approved" in held.said[0]

    say(world, "revoke")
    world.clock.advance(hours=1)  # type: ignore[attr-defined]

    assert len(look(world, held.cursor).requests) == 1


def test_a_person_who_asked_for_one_of_the_assets_goes_first():
    world = a_world()
    request = PlanRequest(tenant=ACME, requested_by="rita", families=("ql-base-linux",))
    submit_plan(world, make_plan(world, request, engine=world.policy, contract=world.plan_contract))

    assert look(world).requests == ()


def test_what_people_rejected_is_not_asked_again_before_something_changes():
    world = a_world()
    first = asked_already(world)
    say(world, "reject")

    assert keys(look(world)) == keys(first)  # the same key, so no run
    seen(world, machine(1, tags=[("team", "web")]), machine(2))
    [request] = look(world).requests
    run(world, request)

    states = sorted(task.state for task in world.tasks.list(ACME))
    assert states == ["awaiting_approval", "rejected"]


class BrokenFor(FakeLake):
    """A lake in which one tenant's rows cannot be read."""

    broken = TenantId("nobody")

    def view(self, connection: Any, dataset: Any, *, tenants: Any, **rest: Any) -> None:
        if self.broken in tenants:
            raise Unavailable("The rows of t-1 cannot be read.")
        super().view(connection, dataset, tenants=tenants, **rest)


def many(count: int, *policies: PatchPolicy) -> World:
    """Tenants t-0, t-1, ..., each with one drifted machine."""
    names = [f"t-{number}" for number in range(count)]
    estate = Estate(
        tenants=tuple(a_tenant(name) for name in names),
        patches=policies or (policy(schedule=DRIFT),),
    )
    world = replace(world_of(), estate=FakeEstate(estate), lake=BrokenFor())
    for name in names:
        asset = machine(1) | an_asset(name, "i-0001", tags=machine(1)["tags"])
        row = drifted(asset, drifted_since=OLD) | {"tenant": name}
        observed(world.lake, name, [asset], drift=[row])
        keep(world.lake, GOLDEN_IMAGES, [release(tenant=name)], name)
    return world


def test_one_tenants_trouble_stops_no_other_and_is_looked_at_again():
    world = many(3)
    world.lake.broken = TenantId("t-1")  # type: ignore[attr-defined]

    came = look(world)

    assert [key.split(":")[1] for key in keys(came)] == ["t-0", "t-2"]
    assert "t-1 is looked at again later" in came.said[0]
    world.lake.broken = TenantId("nobody")  # type: ignore[attr-defined]
    assert [key.split(":")[1] for key in keys(look(world, came.cursor))] == ["t-1"]


@pytest.mark.parametrize("bounds", [{"tenants": 2}, {"runs": 2}])
def test_a_tick_is_bounded_and_the_next_one_goes_on_with_the_others(bounds: dict[str, int]):
    world = many(6)
    cursor, found = Cursor(), []

    for _ in range(4):
        came = look(world, Cursor.read(cursor.text()), **bounds)
        assert len(came.requests) <= 2
        found += [key.split(":")[1] for key in keys(came)]
        cursor = came.cursor

    assert found == [f"t-{number}" for number in range(6)]


def tick(world: World, cursor: str | None = None) -> Any:
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"world": world}
        ) as context,
    ):
        return remediation_sensor(context), context.cursor


def test_the_sensor_asks_and_remembers():
    world = a_world()

    first, _ = tick(world)
    second, cursor = tick(world, first.cursor)

    assert len(first.run_requests) == 1
    assert isinstance(second, dg.SkipReason)
    assert cursor is not None


def test_an_estate_that_cannot_be_read_starts_nothing():
    world = replace(a_world(), estate=FakeEstate(error=Unavailable("The folder is gone.")))

    result, _ = tick(world)

    assert isinstance(result, dg.SkipReason)
    assert "The folder is gone" in result.skip_message
