"""From a plan through its approval to its execution: what was approved, or less, or nothing."""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from qlrf_pipelines.domain.approval import DecisionKind
from qlrf_pipelines.domain.autonomy import Mode
from qlrf_pipelines.domain.change_risk import ChangeHistory, PastChanges
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.patching import PolicyWindow, Strategy, StrategyType
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.schedules import WeeklyWindow, clock_time
from qlrf_pipelines.domain.tasks import TaskState
from qlrf_pipelines.domain.vocabulary import Environment, Platform
from qlrf_pipelines.jobs.remediation import remediation
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import decide
from qlrf_pipelines.services.claims import sweep
from qlrf_pipelines.services.hands import Hands, hands_of
from qlrf_pipelines.services.planning import make_plan
from qlrf_pipelines.services.planning_request import PlanRequest
from qlrf_pipelines.services.remediation import recheck_at_claim
from qlrf_pipelines.services.submission import submit_plan
from resources.plan_contract import SchemaPlanContract
from resources.policy.embedded import EmbeddedPolicies
from resources.policy.folder import FolderPolicies
from sensors.approvals import run_request
from tests.fakes.approvals import ACME
from tests.fakes.drifted import drifted, fleet, machine, policy, rules, world_of
from tests.fakes.executor import FakeExecutor
from tests.fakes.observations import observed
from tests.fakes.policy import FakePolicies

CALM = Hands(
    past=lambda *_: PastChanges(
        history=ChangeHistory(failure_rate=0, days_since_failure=None, success_streak=20)
    )
)
FREE = rules(Mode.FULL_AUTO, cooldown_minutes=0)


class House:
    """A world with drifted machines, and an instance that remembers runs."""

    def __init__(self, instance: dg.DagsterInstance, world: World) -> None:
        self.instance = instance
        executor = FakeExecutor()
        for number in range(9):
            executor.fleet.add(machine(number)["asset_key"])
        hands = {Platform.AWS: executor}
        self.world = replace(world, policy=FakePolicies(), executors=hands)
        self.world.rollouts.on_wait = lambda seconds: self.world.clock.advance(seconds=seconds)

    def run(self, config: Mapping[str, Any] | None = None, **parts: Any) -> Any:
        given: dict[str, Any] = {"raise_on_error": False, **parts}
        if config is not None:
            given["run_config"] = {"ops": {"plan_remediation": {"config": dict(config)}}}
        return remediation.execute_in_process(
            instance=self.instance, resources={"world": self.world}, **given
        )

    def request(self) -> dg.RunRequest:
        [task] = self.world.tasks.approved_since(ACME, cursor=0, limit=9)
        found = run_request(task)
        assert found is not None
        return found

    def go_on(self) -> Any:
        return self.run(tags=dict(self.request().tags))

    @property
    def task(self) -> Any:
        [task] = self.world.tasks.list(ACME)
        return task

    @property
    def document(self) -> Mapping[str, Any]:
        return self.world.tasks.get(ACME, self.task.id).document.content

    def say(self, kind: str = "approve", by: str = "ann", role: Role = Role.ENGINEER) -> None:
        decide(
            self.world,
            ACME,
            self.task.id,
            kind=DecisionKind(kind),
            digest=self.task.digest,
            by=by,
            role=role,
            reason="the site needs it now",
        )

    def seen(self, *assets: dict[str, Any], gone: tuple[int, ...] = ()) -> None:
        """Another refresh; the assets at these places have ended."""
        now = [a | {"state": "terminated"} if n in gone else a for n, a in enumerate(assets)]
        drift = [drifted(a, active=n not in gone) for n, a in enumerate(now)]
        observed(self.world.lake, "acme", now, drift=drift)

    @property
    def carried_out(self) -> list[Any]:
        entries = self.world.ledger.entries(ACME)
        begun = ("remediation", "rollout_begun")
        return [entry.content for entry in entries if entry.kind in begun]

    @property
    def rechecked(self) -> list[str]:
        entries = self.world.ledger.entries(ACME)
        return [e.content["found"] for e in entries if e.kind == "plan_rechecked"]


FLEET = fleet(3)
ASK = {"tenant": "acme", "families": ["ql-base-linux"], "requested_by": "rita"}


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def house(instance: dg.DagsterInstance) -> House:
    return House(instance, world_of(*FLEET))


def told(result: Any) -> str:
    """Why a run failed, as people read it."""
    [event] = [e for e in result.all_events if e.is_step_failure]
    return str(event.step_failure_data.user_failure_data.description)


def skipped(result: Any) -> bool:
    return any(event.is_step_skipped for event in result.all_events)


def test_a_plan_asked_for_at_the_launchpad_waits_for_people_and_then_runs_once(house: House):
    first = house.run(ASK)
    assert first.success
    assert skipped(first)
    assert house.task.state is TaskState.AWAITING_APPROVAL
    house.say()
    request = house.request()

    for _ in range(2):
        assert house.run(tags=dict(request.tags)).success

    [done] = house.carried_out
    assert done["document"] == house.document
    assert done["approved_by"] == ["ann"]
    assert done["skipped"] == {}
    assert house.task.state is TaskState.EXECUTING  # the first phase is watched
    assert house.rechecked == ["unchanged"]
    assert house.task.launch.job == "remediation"


def test_a_submitted_plan_is_carried_out_by_the_same_job(house: House):
    request = PlanRequest(tenant=ACME, requested_by="rita", families=("ql-base-linux",))
    planned = make_plan(
        house.world,
        request,
        engine=house.world.policy,
        contract=house.world.plan_contract,
        hands=hands_of(house.world),
    )
    submit_plan(house.world, planned)
    house.say()

    assert house.go_on().success
    assert len(house.carried_out) == 1


def test_an_asset_that_is_gone_is_left_out_under_the_same_digest(house: House):
    house.run(ASK)
    house.say()
    digest = house.task.digest
    house.seen(*FLEET, gone=(1,))

    assert house.go_on().success

    [done] = house.carried_out
    assert done["digest"] == digest == house.task.digest
    assert done["skipped"] == {FLEET[1]["asset_key"]: "no longer active: terminated"}
    assert house.rechecked == ["shrunk"]


def test_an_asset_that_changed_needs_a_new_approval_of_a_new_digest(house: House):
    house.run(ASK)
    house.say()
    before = house.task
    house.seen(FLEET[0] | {"image_ref": "ami-0bbbbbbbbbbbbbbb1"}, *FLEET[1:])

    result = house.go_on()

    assert result.success
    assert skipped(result)
    assert house.carried_out == []
    assert house.task.state is TaskState.AWAITING_APPROVAL
    assert (house.task.id, house.task.revision) == (before.id, 2)
    assert house.task.digest != before.digest
    assert house.task.requested_by == "rita"
    house.say()
    assert house.go_on().success
    assert len(house.carried_out) == 1


def test_an_asset_nobody_saw_any_more_is_asked_about_again_without_it(house: House):
    house.run(ASK)
    house.say()
    house.seen(FLEET[0] | {"fresh": False}, *FLEET[1:])

    assert skipped(house.go_on())

    assert house.task.state is TaskState.AWAITING_APPROVAL
    assert house.document["total_assets"] == 2
    assert house.task.title == house.document["summary"]


@pytest.mark.parametrize("how", ["gone", "mended", "unseen"])
def test_a_plan_of_which_nothing_is_left_is_cancelled_with_the_reason(house: House, how: str):
    house.run(ASK)
    house.say()
    request = house.request()
    if how == "gone":
        house.seen(*FLEET, gone=(0, 1, 2))
    elif how == "mended":
        observed(house.world.lake, "acme", FLEET, drift=[drifted(a, "current") for a in FLEET])
    else:
        house.seen(*(asset | {"fresh": False} for asset in FLEET))

    result = house.run(tags=dict(request.tags))

    assert result.success
    assert house.carried_out == []
    assert house.task.state is TaskState.CANCELLED
    [entry] = [e for e in house.world.ledger.entries(ACME) if e.kind == "approval_cancelled"]
    assert "nothing is left to change" in entry.content["reason"]


def test_policies_that_changed_since_are_asked_again_with_people(house: House):
    house.run(ASK)
    house.say()
    house.world = replace(house.world, policy=FakePolicies(digest="stricter"))

    assert skipped(house.go_on())
    assert house.task.state is TaskState.AWAITING_APPROVAL


def test_what_the_policies_deny_at_the_last_moment_does_not_run_and_stays_approved(house: House):
    house.run(ASK)
    house.say()
    house.world = replace(house.world, policy=FakePolicies({"plan_safety": ["not on a Friday"]}))

    result = house.go_on()

    assert not result.success
    assert "not on a Friday" in told(result)
    assert house.carried_out == []
    assert house.task.state is TaskState.APPROVED
    house.world = replace(house.world, policy=FakePolicies())
    assert house.go_on().success
    assert len(house.carried_out) == 1


class FallenPolicies(FakePolicies):
    """Judged once, and answers no question since; its digest is still known."""

    def _say(self, package: str, value: Mapping[str, Any]) -> Any:
        raise Refused("the policies do not answer")


def test_a_policy_engine_that_is_down_is_a_no(house: House):
    house.run(ASK)
    house.say()
    house.world = replace(house.world, policy=FallenPolicies())

    result = house.go_on()

    assert not result.success
    assert "do not answer" in told(result)
    assert house.carried_out == []


def test_an_answer_by_other_policies_than_judged_the_plan_is_a_no(house: House):
    house.run(ASK)
    house.say()

    class Swapped(FakePolicies):
        def bundle_digest(self) -> str:
            return "fake"

    house.world = replace(house.world, policy=Swapped(digest="others"))

    assert "other policies answered" in told(house.go_on())
    assert house.carried_out == []


def test_a_denied_plan_is_a_failure_that_is_not_tried_again(house: House):
    house.world = replace(house.world, policy=FakePolicies({"plan_safety": ["no canary"]}))

    result = house.run(ASK)

    assert not result.success
    assert "no canary" in told(result)
    assert not any(event.is_step_up_for_retry for event in result.all_events)
    assert house.world.tasks.list(ACME) == []


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({}, "needs tenant and requested_by"),
        ({"due": True, "tenant": "acme"}, "needs tenant, policy and environment"),
        (ASK | {"environment": "moon"}, "no environment"),
        (ASK | {"verdicts": ["fine"]}, "verdicts are"),
        ({"due": True, "tenant": "acme", "policy": "maintenance", "environment": "dr"}, "nothing"),
    ],
)
def test_a_run_that_cannot_plan_says_why(instance: Any, config: dict[str, Any], says: str):
    house = House(instance, world_of(*FLEET, policies=(policy(),)))

    assert says in told(house.run(config))


def free_world() -> World:
    return world_of(*fleet(3, "development"), changes=FREE)


def test_what_asks_for_nobody_is_approved_in_the_platforms_name_and_goes(instance: Any):
    house = House(instance, free_world())
    house.world = replace(house.world, policy=EmbeddedPolicies(FolderPolicies().load()))

    result = house.run(ASK)

    assert result.success
    assert house.document["approvals"]["required"] is False
    [done] = house.carried_out
    assert done["approved_by"] == ["autonomy:full_auto"]
    assert house.task.state is TaskState.EXECUTING
    kinds = [e.kind for e in house.world.ledger.entries(ACME)]
    assert kinds[:3] == ["approval_requested", "approval_approve", "plan_rechecked"]


def test_what_asks_for_nobody_is_stopped_by_anybody_before_it_starts(instance: Any):
    house = House(instance, free_world())
    request = PlanRequest(tenant=ACME, requested_by="rita", families=("ql-base-linux",))
    submit_plan(
        house.world,
        make_plan(
            house.world, request, engine=house.world.policy, contract=house.world.plan_contract
        ),
    )
    assert house.task.state is TaskState.APPROVED
    before = house.request()
    house.say("revoke")

    assert skipped(house.run(tags=dict(before.tags)))
    assert house.carried_out == []


def test_no_person_takes_the_platforms_name(instance: Any):
    house = House(instance, world_of(*FLEET))
    house.run(ASK)

    with pytest.raises(Refused, match="platform's own name"):
        house.say(by="autonomy:full_auto", role=Role.ADMIN)

    assert house.task.state is TaskState.AWAITING_APPROVAL


def test_what_went_by_itself_asks_people_once_a_fact_wants_them(instance: Any):
    house = House(instance, free_world())
    request = PlanRequest(tenant=ACME, requested_by="rita", families=("ql-base-linux",))
    planned = make_plan(
        house.world, request, engine=house.world.policy, contract=house.world.plan_contract
    )
    submit_plan(house.world, planned)
    before = house.request()
    house.seen(*(machine(n, "production") for n in range(3)))

    result = house.run(tags=dict(before.tags))

    assert result.success
    assert house.carried_out == []
    assert house.task.state is TaskState.CANCELLED  # they are no development machines any more


def test_a_plan_people_carry_out_is_recorded_and_nothing_else(instance: Any):
    house = House(instance, world_of(*FLEET, changes=rules(Mode.PLAN_ONLY)))
    house.world = replace(house.world, policy=EmbeddedPolicies(FolderPolicies().load()))
    house.run(ASK)
    house.say()

    assert house.go_on().success
    assert len(house.carried_out) == 1


@pytest.mark.parametrize("roles", [("engineer", "admin"), ("engineer",), ("admin",)])
@pytest.mark.parametrize("environment", ["production", "staging"])
def test_the_shipped_policies_let_an_approved_plan_run(
    instance: Any, environment: str, roles: tuple[str, ...]
):
    usual = policy(selector=replace(policy().selector, environments=(Environment(environment),)))
    kept = replace(usual, approval=replace(usual.approval, roles=roles))
    house = House(instance, world_of(*fleet(4, environment), policies=(kept,)))
    house.world = replace(
        house.world,
        policy=EmbeddedPolicies(FolderPolicies().load()),
        plan_contract=SchemaPlanContract(),
    )
    house.run({"tenant": "acme", "policy": "maintenance", "requested_by": "rita"})
    house.say(role=Role.ADMIN)

    result = house.go_on()

    assert result.success
    assert len(house.carried_out) == 1


def test_a_broken_glass_lets_it_run_and_is_told_to_the_policies(instance: Any):
    house = House(
        instance,
        world_of(*FLEET, changes=rules(Mode.APPROVE_ALL, require_two_approvers=True)),
    )
    house.world = replace(house.world, policy=EmbeddedPolicies(FolderPolicies().load()))
    house.run(ASK)
    house.say("break_glass", by="zoe", role=Role.ADMIN)

    assert house.go_on().success
    assert house.task.review_due
    assert len(house.carried_out) == 1


NIGHTLY = Strategy(
    type=StrategyType.MAINTENANCE_WINDOW,
    windows=(
        PolicyWindow(window=WeeklyWindow(start=clock_time("02:00"), lasts=timedelta(hours=2))),
    ),
)


def test_an_approved_plan_starts_when_its_window_opens_and_not_before(instance: Any):
    house = House(instance, world_of(*FLEET, policies=(policy(strategy=NIGHTLY),)))
    house.world = replace(house.world, policy=EmbeddedPolicies(FolderPolicies().load()))
    house.run({"tenant": "acme", "policy": "maintenance", "requested_by": "rita"})
    house.say()
    assert house.world.tasks.approved_since(ACME, cursor=0, limit=9) == []
    tags = {"qlrf/tenant": "acme", "qlrf/task": house.task.id}
    assert skipped(house.run(tags=tags))

    house.world.clock.advance(hours=15)
    sweep(house.world, [ACME])

    assert house.go_on().success
    assert len(house.carried_out) == 1


def test_a_window_that_closed_unused_runs_nothing(instance: Any):
    house = House(instance, world_of(*FLEET, policies=(policy(strategy=NIGHTLY),)))
    house.run({"tenant": "acme", "policy": "maintenance", "requested_by": "rita"})
    house.say()
    house.world.clock.advance(hours=17)

    tags = {"qlrf/tenant": "acme", "qlrf/task": house.task.id}
    assert skipped(house.run(tags=tags))
    assert house.carried_out == []


def test_a_held_run_looks_again_after_the_wait(house: House):
    config = {
        "ops": {
            "plan_remediation": {"config": ASK},
            "await_approval": {"config": {"hold_seconds": 60}},
        }
    }

    def change_and_approve() -> None:
        house.world.tasks.wait_for_any()
        house.seen(*FLEET, gone=(2,))
        house.say()

    approving = threading.Thread(target=change_and_approve)
    approving.start()
    result = house.run(run_config=config)
    approving.join()

    assert result.success
    [done] = house.carried_out
    assert list(done["skipped"]) == [FLEET[2]["asset_key"]]


def test_many_runs_of_one_approval_carry_it_out_once(house: House):
    house.run(ASK)
    house.say()
    tags = dict(house.request().tags)
    runs = [threading.Thread(target=lambda: house.run(tags=tags)) for _ in range(4)]

    for run in runs:
        run.start()
    for run in runs:
        run.join()

    assert len(house.carried_out) == 1
    assert house.task.state is TaskState.EXECUTING


def test_what_is_being_carried_out_is_not_rechecked_against_its_own_doing(house: House):
    house.run(ASK)
    house.say()
    record = house.world.tasks.get(ACME, house.task.id)
    house.go_on()
    running = replace(record, task=replace(record.task, state=TaskState.EXECUTING))
    house.seen(*(asset | {"image_ref": "ami-new"} for asset in FLEET))

    proposal = recheck_at_claim(house.world, running, hands=CALM)

    assert proposal.document == record.document.content
    assert house.rechecked == ["unchanged"]


def test_asking_again_after_the_end_is_another_request(house: House):
    house.run(ASK)
    house.say("reject")
    house.run(ASK)

    states = sorted(task.state for task in house.world.tasks.list(ACME))
    assert states == ["awaiting_approval", "rejected"]
