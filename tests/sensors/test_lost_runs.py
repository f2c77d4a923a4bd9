"""An approval whose run died before its gate gets another one: bounded, and never beside it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakKeyDictionary

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent, StepFailureData

from qlrf_pipelines.domain.tasks import Launch
from qlrf_pipelines.jobs.approved_change import approved_change
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.claims import claim
from sensors.approvals import run_request
from sensors.lost_runs import MOST, lost_runs
from tests.fakes.approvals import ACME, decide, first, need
from tests.fakes.clock import NOON, FakeClock
from tests.fakes.world import fake_world

LAUNCH = Launch(job="approved_change")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def world() -> World:
    """A world by the machine's own time, as runs are stamped by it, with one approved task."""
    clock = FakeClock()
    clock.advance(seconds=(datetime.now(UTC) - clock.now()).total_seconds())
    made = fake_world(clock=clock)
    late = need(expires_at=clock.now().replace(year=clock.now().year + 1))
    made.tasks.submit(ACME, first("t-1", launch=LAUNCH, requirement=late))
    decide(made.tasks, "t-1", hours=(clock.now() - NOON).total_seconds() / 3600)
    return made


CURSORS: "WeakKeyDictionary[dg.DagsterInstance, str | None]" = WeakKeyDictionary()


def tick(world: World, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """One tick, which remembers what the one before it kept."""
    kept = CURSORS.get(instance)
    resources = {"world": world}
    with dg.build_sensor_context(instance=instance, cursor=kept, resources=resources) as context:
        result: Any = lost_runs([approved_change])(context)
        CURSORS[instance] = context.cursor
    return [] if isinstance(result, dg.SkipReason) else list(result.run_requests)


def the_run(
    world: World, instance: dg.DagsterInstance, request: dg.RunRequest | None = None
) -> dg.DagsterRun:
    """The run of a request; of the decision sensor's own, if none is given."""
    task = world.tasks.get(ACME, "t-1").task
    asked = request or run_request(task)
    assert asked is not None
    tags = {**asked.tags, "dagster/run_key": str(asked.run_key)}
    return instance.create_run_for_job(approved_change, tags=tags)


def later(world: World, **parts: float) -> None:
    """So long after what runs were stamped with, which is the machine's own time."""
    left = datetime.now(UTC) + timedelta(**parts) - world.clock.now()
    world.clock.advance(seconds=left.total_seconds())  # type: ignore[attr-defined]


def test_a_run_that_died_without_a_word_is_asked_for_once_more(world, instance):
    instance.report_run_failed(the_run(world, instance), "its process is gone")
    later(world, seconds=1)

    [request] = tick(world, instance)
    [same] = tick(world, instance)

    task = world.tasks.get(ACME, "t-1").task
    assert request.run_key == same.run_key == f"t-1:{task.digest}:execute:lost-1"
    assert request.tags == run_request(task).tags


def test_one_that_lives_or_waits_is_left_alone(world, instance):
    run = the_run(world, instance)

    assert tick(world, instance) == []
    instance.report_run_failed(run, "its process is gone")
    later(world, seconds=1)
    [request] = tick(world, instance)
    the_run(world, instance, request)
    assert tick(world, instance) == []


def test_one_that_failed_by_what_it_met_is_left_to_people(world, instance):
    run = the_run(world, instance)
    met = StepFailureData(error=None, user_failure_data=None)
    instance.report_dagster_event(
        DagsterEvent(
            event_type_value=dg.DagsterEventType.STEP_FAILURE.value,
            job_name=run.job_name,
            event_specific_data=met,
        ),
        run_id=run.run_id,
    )
    instance.report_run_failed(run)
    later(world, hours=1)

    assert tick(world, instance) == []


def test_one_that_a_person_canceled_is_left_alone(world, instance):
    instance.report_run_canceled(the_run(world, instance))
    later(world, hours=1)

    assert tick(world, instance) == []


def test_an_approval_that_was_claimed_has_lost_nothing(world, instance):
    run = the_run(world, instance)
    task = world.tasks.get(ACME, "t-1").task
    claim(world, ACME, "t-1", digest=task.digest, holder=run.run_id)
    instance.report_run_failed(run, "its process is gone")
    later(world, hours=1)

    assert tick(world, instance) == []


def test_it_is_asked_for_more_and_more_patiently_and_not_for_ever(world, instance):
    instance.report_run_failed(the_run(world, instance), "its process is gone")
    keys = []
    for number in range(1, MOST):
        later(world, seconds=10 * number - 5)
        [request] = tick(world, instance)
        keys.append(request.run_key)
        instance.report_run_failed(the_run(world, instance, request), "its process is gone")
        later(world, seconds=10 * number - 5)
        assert tick(world, instance) == []

    assert len(set(keys)) == MOST - 1
    later(world, hours=1)
    assert tick(world, instance) == []


def test_one_that_was_never_asked_for_is_asked_for_by_its_own_key(world, instance):
    assert tick(world, instance) == []  # the decision sensor is about to

    later(world, hours=1)

    [request] = tick(world, instance)
    assert request.run_key == run_request(world.tasks.get(ACME, "t-1").task).run_key


def test_another_code_locations_job_is_not_ours(instance):
    made = fake_world()
    made.tasks.submit(ACME, first("t-1", launch=Launch(job="elsewhere")))
    decide(made.tasks, "t-1")
    made.clock.advance(hours=2)

    assert tick(made, instance) == []
