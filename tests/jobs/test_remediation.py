"""From a plan through its approval to its execution: what was approved, or less, or nothing."""

import threading
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from qlrf_pipelines.domain.change_risk import ChangeHistory, PastChanges
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.tasks import TaskState
from qlrf_pipelines.services.hands import Hands
from qlrf_pipelines.services.planning_request import PlanRequest
from qlrf_pipelines.services.remediation import recheck_at_claim
from qlrf_pipelines.services.submission import submit_plan
from tests.fakes.approvals import ACME
from tests.fakes.drifted import drifted, policy, world_of
from tests.fakes.observations import observed
from tests.fakes.policy import FakePolicies
from tests.jobs.remediated import ASK, FLEET, House, skipped, told

CALM = Hands(
    past=lambda *_: PastChanges(
        history=ChangeHistory(failure_rate=0, days_since_failure=None, success_streak=20)
    )
)


@pytest.fixture
def house(instance: dg.DagsterInstance) -> House:
    return House(instance, world_of(*FLEET))


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
    assert (done.digest, done.total) == (house.task.digest, 3)
    assert house.approved_by == ["ann"]
    assert house.left_out == {}
    assert house.task.state is TaskState.EXECUTING
    assert sum(house.fleet.effects.values()) == 1  # the canary
    assert house.rechecked == ["unchanged"]
    assert house.task.launch.job == "remediation"


def test_a_submitted_plan_is_carried_out_by_the_same_job(house: House):
    request = PlanRequest(tenant=ACME, requested_by="rita", families=("ql-base-linux",))
    planned = house.plan(request)
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
    assert done.digest == digest == house.task.digest
    assert house.left_out == {FLEET[1]["asset_key"]: "no longer active: terminated"}
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
    assert list(house.left_out) == [FLEET[2]["asset_key"]]


def test_what_is_being_carried_out_is_not_rechecked_against_its_own_doing(house: House):
    house.run(ASK)
    house.say()
    record = house.world.tasks.get(ACME, house.task.id)
    house.go_on()
    running = replace(record, task=replace(record.task, state=TaskState.EXECUTING))
    house.seen(*(asset | {"image_ref": "ami-new"} for asset in FLEET))

    proposal = recheck_at_claim(house.world, running, hands=CALM).proposal

    assert proposal.document == record.document.content
    assert house.rechecked == ["unchanged"]


def test_asking_again_after_the_end_is_another_request(house: House):
    house.run(ASK)
    house.say("reject")
    house.run(ASK)

    states = sorted(task.state for task in house.world.tasks.list(ACME))
    assert states == ["awaiting_approval", "rejected"]
