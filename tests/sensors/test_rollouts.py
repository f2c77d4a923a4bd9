"""From rollouts nobody drives to their next attempt: once, and never over a living driver."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from weakref import WeakKeyDictionary

import dagster as dg
import pytest
from dagster._core.events import DagsterEvent

from qlrf_pipelines.domain.errors import Unavailable
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.operations import Progress, Status
from qlrf_pipelines.domain.rollout import Change, Rollout
from qlrf_pipelines.domain.tasks import TaskState
from qlrf_pipelines.jobs.rollout import rollout
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import rollouts
from qlrf_pipelines.services.claims import claim
from qlrf_pipelines.services.rollout_task import lock_name
from sensors.rollouts import rollout_reconcile
from tests.fakes.clock import NOON
from tests.fakes.drifted import world_of
from tests.fakes.policy import FakePolicies
from tests.jobs import remediated
from tests.jobs.remediated import ASK, FLEET
from tests.services.rollout_house import ACME, Hands, House, as_engineer, phase, plan

NAMES = ["i-1", "i-2", "i-3"]
BETA = TenantId("beta")


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


def a_house(*, wait: int = 900) -> House:
    """A rollout whose canary is watched for long: driven without holding on, it parks."""
    canary = phase("canary", [["i-1"]], wait=wait)
    house = House(plan(canary, phase("wave-1", [["i-2", "i-3"]], wait=0)), Hands(NAMES))
    # Runs are stamped by the machine's clock, so this house lives by it.
    house.clock.advance(seconds=(datetime.now(UTC) - house.clock.now()).total_seconds())
    house.begin()
    return house


STARTED = DagsterEvent(event_type_value=dg.DagsterEventType.RUN_START.value, job_name=rollout.name)


def changed(found: Rollout, **parts: Any) -> Change:
    return Change(rollout=replace(found, **parts))


CURSORS: "WeakKeyDictionary[dg.DagsterInstance, str | None]" = WeakKeyDictionary()


def tick(world: World, instance: dg.DagsterInstance) -> list[dg.RunRequest]:
    """One tick, which remembers what the one before it kept."""
    kept = CURSORS.get(instance)
    resources = {"world": world}
    with dg.build_sensor_context(instance=instance, cursor=kept, resources=resources) as context:
        result: Any = rollout_reconcile(context)
        CURSORS[instance] = context.cursor
    return [] if isinstance(result, dg.SkipReason) else list(result.run_requests)


def launched(instance: dg.DagsterInstance, request: dg.RunRequest) -> dg.DagsterRun:
    """The run of a request, not started yet."""
    return instance.create_run_for_job(rollout, tags=dict(request.tags))


def test_a_parked_rollout_is_driven_on_when_its_time_has_come(instance: dg.DagsterInstance) -> None:
    house = a_house()
    parked = house.drive(hold_seconds=0)
    assert parked.wake_at is not None

    assert tick(house.world, instance) == []
    house.clock.advance(seconds=901)
    [request] = tick(house.world, instance)

    assert request.job_name == "rollout"
    assert request.tags["qlrf/tenant"] == "acme"
    assert request.tags["qlrf/task"] == house.id
    assert request.tags["qlrf/attempt"] == "1"
    assert request.tags["dagster/parent_run_id"] == "run-1"


def test_what_waits_for_a_human_is_left_alone_until_one_speaks(
    instance: dg.DagsterInstance,
) -> None:
    house = a_house()
    house.drive(hold_seconds=0)
    rollouts.pause(house.world, ACME, house.id, **as_engineer())
    house.clock.advance(hours=1)

    assert tick(house.world, instance) == []
    rollouts.resume(house.world, ACME, house.id, **as_engineer())

    assert len(tick(house.world, instance)) == 1


def test_a_living_driver_is_left_alone(instance: dg.DagsterInstance) -> None:
    house = a_house()
    house.drive(hold_seconds=0)
    house.clock.advance(hours=1)

    with house.world.locks.hold([lock_name(ACME, house.id)], wait_seconds=1):
        assert tick(house.world, instance) == []
    assert len(tick(house.world, instance)) == 1


def test_what_has_just_begun_is_left_to_the_run_that_began_it(instance: dg.DagsterInstance) -> None:
    house = a_house()

    assert tick(house.world, instance) == []
    house.clock.advance(minutes=3)
    assert len(tick(house.world, instance)) == 1


def test_a_run_whose_process_is_gone_is_said_to_have_failed(instance: dg.DagsterInstance) -> None:
    house = a_house()
    dead = instance.create_run_for_job(rollout, tags={})
    instance.run_storage.handle_run_event(dead.run_id, STARTED)
    house.world.rollouts.amend(
        ACME, house.id, lambda found: changed(found, attempt=1, holder=dead.run_id)
    )
    house.clock.advance(minutes=3)

    [request] = tick(house.world, instance)

    found = instance.get_run_by_id(dead.run_id)
    assert found is not None
    assert found.status is dg.DagsterRunStatus.FAILURE
    assert request.tags["dagster/parent_run_id"] == dead.run_id


def test_the_next_attempt_is_asked_for_once_and_again_only_if_it_ended(
    instance: dg.DagsterInstance,
) -> None:
    house = a_house()
    house.drive(hold_seconds=0)
    house.clock.advance(hours=1)
    [first] = tick(house.world, instance)
    house.clock.advance(hours=-1)  # to the machine's own time, by which runs are stamped
    house.world.rollouts.amend(ACME, house.id, lambda found: changed(found, wake_at=None))

    started = launched(instance, first)
    assert tick(house.world, instance) == []
    instance.report_run_failed(started, "the code server was away")
    assert tick(house.world, instance) == []  # not at once
    house.clock.advance(seconds=30)
    [second] = tick(house.world, instance)

    assert second.run_key != first.run_key


def test_a_cancelled_rollout_is_driven_until_nothing_is_in_the_air(
    instance: dg.DagsterInstance,
) -> None:
    house = a_house()
    house.hands.script = lambda o: Progress(status=Status.RUNNING, detail="slow", poll_seconds=5)

    class Died(BaseException):
        pass

    def die(seconds: float) -> None:
        raise Died

    house.world.rollouts.on_wait = die  # type: ignore[attr-defined]
    with pytest.raises(Died):
        house.drive()
    rollouts.cancel(house.world, ACME, house.id, **as_engineer())
    assert house.now.state == "cancelled"

    assert len(tick(house.world, instance)) == 1
    house.hands.script = lambda o: None
    house.listen(house.world)
    house.drive()

    assert tick(house.world, instance) == []
    assert house.states()["i-1"] == "done"


def test_cancelled_rollouts_with_nothing_in_the_air_crowd_out_nobody(
    instance: dg.DagsterInstance,
) -> None:
    house = a_house()
    house.drive(hold_seconds=0)
    for number in range(60):
        other = House(plan(phase("wave-1", [[f"j-{number}"]])), Hands([]), ids=house.world.ids)
        other.world = house.world
        other.record = other.claimed(plan(phase("wave-1", [[f"j-{number}"]]), id=f"q-{number}"))
        other.begin()
        rollouts.cancel(house.world, ACME, other.id, **as_engineer())
    house.clock.advance(hours=1)

    [request] = tick(house.world, instance)

    assert request.tags["qlrf/task"] == house.id


def test_a_driver_killed_after_its_last_word_is_followed_by_one_that_tidies_up(
    instance: dg.DagsterInstance,
) -> None:
    house = a_house(wait=0)

    class Died(BaseException):
        pass

    def die(change: Any) -> None:
        if change.free:
            raise Died

    house.world.rollouts.before_keep = die  # type: ignore[attr-defined]
    with pytest.raises(Died):
        house.drive()
    house.world.rollouts.before_keep = lambda change: None  # type: ignore[attr-defined]
    assert house.now.state == "completed"

    assert len(tick(house.world, instance)) == 1
    house.drive()

    assert tick(house.world, instance) == []
    assert house.task_state() == "completed"


def test_one_tenants_trouble_does_not_stop_the_others(instance: dg.DagsterInstance) -> None:
    house = a_house()
    house.drive(hold_seconds=0)
    house.clock.advance(hours=1)

    class TwoTenants:
        """Another tenant first, whose tasks cannot be read."""

        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

        def tenants(self) -> dict[TenantId, int]:
            return {BETA: 1, ACME: 1}

        def list(self, tenant: TenantId, **parts: Any) -> Sequence[Any]:
            if tenant == BETA:
                raise Unavailable("the database does not answer")
            return self.inner.list(tenant, **parts)

    world = replace(house.world, tasks=TwoTenants(house.world.tasks))

    assert len(tick(world, instance)) == 1


class Claimed:
    """A plan that is approved and claimed by a run that died before it began the rollout."""

    def __init__(self, instance: dg.DagsterInstance, holder: str = "a-run-nobody-knows") -> None:
        self.instance = instance
        self.house = remediated.House(instance, world_of(*FLEET))
        self.house.run(ASK)
        self.house.say()
        task = self.house.task
        claim(self.house.world, ACME, task.id, digest=task.digest, holder=holder)
        self.clock: Any = self.house.world.clock

    def tick(self) -> list[dg.RunRequest]:
        return tick(self.house.world, self.instance)

    def run(self, request: dg.RunRequest) -> Any:
        config = {"ops": {"drive_rollout": {"config": {"hold_seconds": 0.0}}}}
        return rollout.execute_in_process(
            instance=self.instance,
            resources={"world": self.house.world},
            tags=dict(request.tags),
            run_config=config,
            raise_on_error=False,
        )

    def reason(self) -> str:
        entries = self.house.world.ledger.entries(ACME)
        return str([e.content.get("detail") for e in entries][-1])


def test_what_was_claimed_and_not_begun_is_taken_up(instance: dg.DagsterInstance) -> None:
    claimed = Claimed(instance)

    assert claimed.tick() == []
    claimed.clock.advance(minutes=3)
    [request] = claimed.tick()
    assert request.tags["qlrf/attempt"] == "unbegun"
    assert claimed.run(request).success

    [begun] = claimed.house.carried_out
    assert begun.digest == claimed.house.task.digest
    assert claimed.house.rechecked == ["unchanged"]
    assert sum(claimed.house.fleet.effects.values()) == 1  # the canary


def test_assets_that_are_gone_are_left_out_of_what_is_taken_up(
    instance: dg.DagsterInstance,
) -> None:
    claimed = Claimed(instance)
    claimed.house.seen(*FLEET, gone=(1,))
    claimed.clock.advance(minutes=3)
    [request] = claimed.tick()

    assert claimed.run(request).success

    assert list(claimed.house.left_out) == [FLEET[1]["asset_key"]]


def test_what_changed_since_is_not_carried_out_and_the_task_says_why(
    instance: dg.DagsterInstance,
) -> None:
    claimed = Claimed(instance)
    claimed.house.seen(FLEET[0] | {"image_ref": "ami-0bbbbbbbbbbbbbbb1"}, *FLEET[1:])
    claimed.clock.advance(minutes=3)
    [request] = claimed.tick()

    assert claimed.run(request).success

    assert claimed.house.carried_out == []
    assert claimed.house.task.state is TaskState.FAILED
    assert "nothing was changed" in claimed.reason()
    assert FLEET[0]["asset_key"] in claimed.reason()
    assert claimed.tick() == []


def test_if_every_asset_is_gone_nothing_is_taken_up(instance: dg.DagsterInstance) -> None:
    claimed = Claimed(instance)
    claimed.house.seen(*FLEET, gone=(0, 1, 2))
    claimed.clock.advance(minutes=3)
    [request] = claimed.tick()

    assert claimed.run(request).success

    assert claimed.house.task.state is TaskState.CANCELLED
    assert "every asset is gone" in claimed.reason()


def test_what_the_policies_deny_meanwhile_is_not_taken_up(instance: dg.DagsterInstance) -> None:
    claimed = Claimed(instance)
    claimed.house.world = replace(
        claimed.house.world, policy=FakePolicies({"plan_safety": ["not on a Friday"]})
    )
    claimed.clock.advance(minutes=3)
    [request] = claimed.tick()

    assert claimed.run(request).success

    assert claimed.house.carried_out == []
    assert claimed.house.task.state is TaskState.FAILED
    assert "not on a Friday" in claimed.reason()


def test_a_run_that_still_speaks_is_left_to_begin_what_it_claimed(
    instance: dg.DagsterInstance,
) -> None:
    alive = instance.create_run_for_job(rollout, tags={})
    claimed = Claimed(instance, holder=alive.run_id)
    claimed.clock.advance(seconds=(datetime.now(UTC) - NOON).total_seconds())
    instance.report_engine_event("Working on it.", alive)

    assert claimed.tick() == []
    claimed.clock.advance(minutes=5)
    assert len(claimed.tick()) == 1


def test_attempts_that_all_fail_are_asked_for_with_patience(instance: dg.DagsterInstance) -> None:
    house = a_house()
    house.drive(hold_seconds=0)
    for number in range(2, 7):
        house.world.rollouts.amend(
            ACME, house.id, lambda r, n=number: changed(r, wake_at=None, attempt=n)
        )
        [request] = tick(house.world, instance)
        instance.report_run_failed(launched(instance, request), "it died of a mistake")
    house.world.rollouts.amend(ACME, house.id, lambda r: changed(r, attempt=7))

    soon = tick(house.world, instance)
    house.clock.advance(minutes=6)
    later = tick(house.world, instance)

    assert soon == []
    assert len(later) == 1
