"""From decisions to runs: once per approved digest, bounded, and time never approves."""

from datetime import timedelta
from typing import Any

import dagster as dg

from qlrf_pipelines.domain.approval import Conditions
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.tasks import Launch, TaskState
from qlrf_pipelines.jobs.approved_change import approved_change
from sensors.approvals import Cursor, decision_sensor, expiry_sweep, in_turn, newly_ready
from tests.fakes.approvals import ACME, BETA, decide, first, need
from tests.fakes.clock import NOON
from tests.fakes.world import fake_world

LAUNCH = Launch(job="approved_change", config={"ops": {}}, parent_run="p", root_run="q")


def waiting(world: Any, own: str, *, tenant: TenantId = ACME, **parts: Any) -> None:
    world.tasks.submit(tenant, first(own, tenant=tenant, **({"launch": LAUNCH} | parts)))


def approved(world: Any, own: str, *, tenant: TenantId = ACME, **parts: Any) -> None:
    waiting(world, own, tenant=tenant, **parts)
    decide(world.tasks, own, tenant=tenant)


def tick(world: Any, cursor: str | None = None) -> Any:
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(
            instance=instance, cursor=cursor, resources={"world": world}
        ) as context,
    ):
        return decision_sensor([approved_change])(context), context.cursor


def test_nothing_approved_is_nothing_to_do():
    world = fake_world()
    waiting(world, "t-1")

    result, _ = tick(world)

    assert isinstance(result, dg.SkipReason)


def test_an_approved_task_is_one_run_with_ids_and_digests_and_no_document():
    world = fake_world()
    approved(world, "t-1")
    task = world.tasks.get(ACME, "t-1").task

    result, _ = tick(world)

    [request] = result.run_requests
    assert request.run_key == f"t-1:{task.digest}:execute"
    assert request.job_name == "approved_change"
    assert request.run_config == {"ops": {}}
    assert request.tags == {
        "dagster/parent_run_id": "p",
        "dagster/root_run_id": "q",
        "qlrf/tenant": "acme",
        "qlrf/task": "t-1",
        "qlrf/digest": task.digest,
        "qlrf/stage": "execute",
    }


def test_a_tick_evaluated_twice_asks_for_the_same_and_the_next_one_for_nothing():
    world = fake_world()
    approved(world, "t-1")

    one, _ = tick(world)
    two, _ = tick(world)
    after, _ = tick(world, one.cursor)

    assert [r.run_key for r in one.run_requests] == [r.run_key for r in two.run_requests]
    assert isinstance(after, dg.SkipReason)


def test_a_tick_is_bounded_and_the_next_one_goes_on_where_it_stopped():
    world = fake_world()
    for number in range(7):
        approved(world, f"t-{number}", tenant=ACME if number < 5 else BETA)
    cursor, seen = Cursor(), []

    for _ in range(4):
        ready, cursor = newly_ready(world.tasks, Cursor.read(cursor.text()), limit=2)
        assert len(ready) <= 2
        seen += [task.id for task in ready]

    assert sorted(seen) == [f"t-{number}" for number in range(7)]


def test_nobody_is_served_last_for_ever():
    assert in_turn(["c", "a", "b"], "") == ["a", "b", "c"]
    assert in_turn(["c", "a", "b"], "b") == ["b", "c", "a"]
    assert in_turn(["c", "a"], "b") == ["c", "a"]


def test_tenants_in_which_nothing_happened_are_not_asked():
    world = fake_world()
    approved(world, "t-1")
    _, cursor = newly_ready(world.tasks, Cursor())
    asked: list[str] = []
    ask = world.tasks.approved_since
    world.tasks.approved_since = lambda tenant, **rest: asked.append(tenant) or ask(tenant, **rest)
    approved(world, "t-2", tenant=BETA)

    newly_ready(world.tasks, cursor)

    assert asked == [BETA]


def test_what_another_code_location_carries_out_is_left_to_it():
    world = fake_world()
    approved(world, "t-1", launch=Launch(job="elsewhere"))
    approved(world, "t-2", launch=None)
    approved(world, "t-3")

    result, _ = tick(world)

    assert [request.tags["qlrf/task"] for request in result.run_requests] == ["t-3"]


def sweep_tick(world: Any) -> str:
    with (
        dg.DagsterInstance.ephemeral() as instance,
        dg.build_sensor_context(instance=instance, resources={"world": world}) as context,
    ):
        return expiry_sweep(context).skip_message


def test_time_expires_reminds_and_opens_windows_and_approves_nothing():
    world = fake_world()
    waiting(world, "t-1", requirement=need(expires_at=NOON + timedelta(hours=3)))
    waiting(world, "t-2", requirement=need(remind_every=timedelta(hours=2)))
    waiting(world, "t-3")
    opens = NOON + timedelta(hours=4)
    decide(world.tasks, "t-3", conditions=Conditions(not_before=opens))
    assert newly_ready(world.tasks, Cursor())[0] == []

    assert "0 expired, 0 reminded, 0 windows" in sweep_tick(world)
    world.clock.advance(hours=5)
    assert "1 expired, 1 reminded, 1 windows" in sweep_tick(world)
    assert "0 expired, 0 reminded, 0 windows" in sweep_tick(world)

    states = {task.id: task.state for task in world.tasks.list(ACME)}
    assert states == {
        "t-1": TaskState.EXPIRED,
        "t-2": TaskState.AWAITING_APPROVAL,
        "t-3": TaskState.APPROVED,
    }
    assert [task.id for task in newly_ready(world.tasks, Cursor())[0]] == ["t-3"]


def test_a_window_that_opens_is_seen_by_a_cursor_that_passed_the_approval():
    world = fake_world()
    waiting(world, "t-1")
    decide(world.tasks, "t-1", conditions=Conditions(not_before=NOON + timedelta(hours=4)))
    approved(world, "t-2")
    _, cursor = newly_ready(world.tasks, Cursor())
    world.clock.advance(hours=5)
    sweep_tick(world)

    ready, _ = newly_ready(world.tasks, cursor)

    assert [task.id for task in ready] == ["t-1"]


def test_an_approval_nobody_used_expires_too():
    world = fake_world()
    approved(world, "t-1")
    world.clock.advance(hours=26)

    assert "1 expired" in sweep_tick(world)
    assert world.tasks.get(ACME, "t-1").task.state is TaskState.EXPIRED
