"""The gate in a plain job: skipped until people decide, then gone through once."""

import threading
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
import pytest

from qlrf_pipelines.domain.approval import Conditions, DecisionKind
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import TaskState
from qlrf_pipelines.jobs.approval import Approval, await_approval, executing
from qlrf_pipelines.jobs.approved_change import approved_change
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import cancel, decide, revise, submit_task
from qlrf_pipelines.services.claims import require_claim
from qlrf_pipelines.services.gate import Proposal
from sensors.approvals import run_request
from tests.fakes.approvals import ACME, need
from tests.fakes.world import fake_world


@dg.op
def plan(world: dg.ResourceParam[World], plans: dg.ResourceParam[dict[str, Any]]) -> Proposal:
    return Proposal(
        tenant=ACME,
        kind="restart",
        title="Restart machines",
        document={"restart": list(plans["machines"])},
        context={"inventory": plans["inventory"]},
        requested_by="rita",
        requirement=need(),
    )


@dg.op
def execute(
    context: dg.OpExecutionContext,
    approval: Approval,
    world: dg.ResourceParam[World],
    plans: dg.ResourceParam[dict[str, Any]],
) -> None:
    with executing(context, world, approval):
        plans["restarted"] += approval.document["restart"]
        if plans.get("broken"):
            raise ValueError("a machine said no")


@dg.job
def restart() -> None:
    execute(await_approval(plan()))


class House:
    """A world, an instance that remembers runs, and the machines somebody wants restarted."""

    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.world = fake_world()
        self.plans: dict[str, Any] = {"machines": ["i-1"], "inventory": "a" * 64, "restarted": []}

    def run(self, job: dg.JobDefinition = restart, **parts: Any) -> dg.ExecuteInProcessResult:
        given: dict[str, Any] = {"raise_on_error": False, **parts}
        plans = {"plans": self.plans} if job is restart else {}
        resources = {"world": self.world, **plans}
        return job.execute_in_process(instance=self.instance, resources=resources, **given)

    def request(self) -> dg.RunRequest:
        """What the decision sensor would ask for now."""
        [task] = self.world.tasks.approved_since(ACME, cursor=0, limit=9)
        found = run_request(task)
        assert found is not None
        return found

    def go_on(self, **parts: Any) -> dg.ExecuteInProcessResult:
        return self.run(tags=dict(self.request().tags), **parts)

    @property
    def task(self) -> Any:
        [task] = self.world.tasks.list(ACME)
        return task

    def say(self, kind: str = "approve", by: str = "ann", **parts: Any) -> None:
        decide(
            self.world,
            ACME,
            self.task.id,
            kind=DecisionKind(kind),
            digest=self.task.digest,
            by=by,
            role=Role.ENGINEER,
            reason="because it is so",
            **parts,
        )


@pytest.fixture
def house() -> Iterator[House]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield House(instance)


def skipped(result: dg.ExecuteInProcessResult) -> bool:
    return any(event.is_step_skipped for event in result.all_events)


def test_undecided_the_run_ends_well_and_nothing_behind_the_gate_runs(house):
    result = house.run()

    assert result.success
    assert skipped(result)
    assert house.plans["restarted"] == []
    assert house.task.state is TaskState.AWAITING_APPROVAL
    tags = house.instance.get_run_by_id(result.run_id).tags
    assert (tags["qlrf/task"], tags["qlrf/digest"]) == (house.task.id, house.task.digest)


def test_approved_the_next_run_goes_on_and_is_grouped_with_the_first(house):
    first = house.run()
    house.say()

    request = house.request()
    second = house.go_on()

    assert request.run_key == f"{house.task.id}:{house.task.digest}:execute"
    assert request.job_name == "restart"
    assert request.tags["dagster/parent_run_id"] == first.run_id
    assert request.tags["dagster/root_run_id"] == first.run_id
    assert second.success
    assert house.plans["restarted"] == ["i-1"]
    assert house.task.state is TaskState.COMPLETED


def test_a_second_run_for_the_same_approval_does_nothing(house):
    house.run()
    house.say()
    request = house.request()
    house.run(tags=dict(request.tags))

    again = house.run(tags=dict(request.tags))

    assert again.success
    assert skipped(again)
    assert house.plans["restarted"] == ["i-1"]


def test_a_plan_that_changed_meanwhile_is_asked_for_again(house):
    house.run()
    house.say()
    before = house.request()
    house.plans["machines"] = ["i-1", "i-2"]

    result = house.run(tags=dict(before.tags))

    assert skipped(result)
    assert house.plans["restarted"] == []
    assert house.task.state is TaskState.AWAITING_APPROVAL
    assert house.task.digest != before.tags["qlrf/digest"]
    assert house.task.launch.parent_run == result.run_id
    assert house.task.launch.root_run == before.tags["dagster/root_run_id"]


def test_what_the_plan_was_decided_upon_counts_as_much_as_the_plan(house):
    house.run()
    house.say()
    house.plans["inventory"] = "b" * 64

    house.go_on()

    assert house.plans["restarted"] == []
    assert house.task.state is TaskState.AWAITING_APPROVAL


def test_the_requester_cannot_approve_so_nothing_runs(house):
    house.run()

    with pytest.raises(Exception, match="nobody decides about their own request"):
        house.say(by="rita")

    assert skipped(house.run(tags={"qlrf/task": house.task.id}))


@pytest.mark.parametrize("kind", ["reject", "request_changes"])
def test_a_no_ends_the_run_well_and_runs_nothing(house, kind):
    house.run()
    house.say(kind)

    result = house.run(tags={"qlrf/task": house.task.id})

    assert result.success
    assert skipped(result)
    assert house.plans["restarted"] == []


@pytest.mark.parametrize("end", ["expire", "revoke", "cancel"])
def test_an_approval_that_expired_or_was_revoked_or_cancelled_runs_nothing(house, end):
    house.run()
    house.say()
    request = house.request()
    if end == "expire":
        house.world.clock.advance(hours=24)
    elif end == "revoke":
        house.say("revoke", "bob")
    else:
        cancel(house.world, ACME, house.task.id, by="rita", role=Role.VIEWER, reason="not needed")

    result = house.run(tags=dict(request.tags))

    assert result.success
    assert skipped(result)
    assert house.plans["restarted"] == []


def test_a_window_is_kept_to_and_the_batch_is_handed_on(house):
    house.run()
    opens = house.world.clock.now() + timedelta(hours=2)
    house.say(conditions=Conditions(not_before=opens, max_batch=3))
    tags = {"qlrf/task": house.task.id}

    assert skipped(house.run(tags=tags))
    house.world.clock.advance(hours=2)
    result = house.run(tags=tags)

    assert result.output_for_node("await_approval", "approval").conditions.max_batch == 3
    assert house.plans["restarted"] == ["i-1"]


def test_a_step_behind_the_gate_run_again_by_hand_is_refused(house):
    house.run()
    house.say()
    done = house.go_on()
    approval = done.output_for_node("await_approval", "approval")

    @dg.op
    def keep() -> Approval:
        return approval

    @dg.job
    def around_the_gate() -> None:
        execute(keep())

    result = around_the_gate.execute_in_process(
        instance=house.instance,
        resources={"world": house.world, "plans": house.plans},
        raise_on_error=False,
    )

    assert not result.success
    assert house.plans["restarted"] == ["i-1"]


def test_a_task_approved_for_one_job_runs_no_other(house):
    submitted = submit_task(
        house.world,
        ACME,
        kind="restart",
        title="Restart",
        document={"restart": ["i-1"]},
        requested_by="rita",
        launch=None,
    )
    house.run()
    tags = {"qlrf/tenant": ACME, "qlrf/task": house.world.tasks.list(ACME)[0].id}

    result = house.run(approved_change, tags=tags)

    assert submitted.launch is None
    assert not result.success


def test_an_execution_that_fails_is_failed_and_not_tried_again(house):
    house.run()
    house.say()
    house.plans["broken"] = True
    request = house.request()

    assert not house.run(tags=dict(request.tags)).success
    assert house.task.state is TaskState.FAILED
    assert skipped(house.run(tags=dict(request.tags)))
    assert house.plans["restarted"] == ["i-1"]


def test_a_held_run_goes_on_by_itself_when_somebody_decides(house):
    config = {"ops": {"await_approval": {"config": {"hold_seconds": 60}}}}

    def approve_once_asked() -> None:
        while not house.world.tasks.list(ACME):
            house.world.tasks.wait_for_any()
        house.say()

    approving = threading.Thread(target=approve_once_asked)
    approving.start()
    result = house.run(run_config=config)
    approving.join()

    assert result.success
    assert house.plans["restarted"] == ["i-1"]
    assert house.task.state is TaskState.COMPLETED


def test_the_shipped_change_is_written_into_the_evidence_once(house):
    config = {
        "ops": {
            "plan_change": {
                "config": {
                    "tenant": "acme",
                    "title": "Open port 443",
                    "requested_by": "rita",
                    "document": {"port": 443},
                }
            }
        }
    }
    house.run(approved_change, run_config=config)
    house.say()
    request = house.request()

    for _ in range(2):
        tags = dict(request.tags)
        assert house.run(approved_change, tags=tags, run_config=request.run_config).success

    kinds = [entry.kind for entry in house.world.ledger.entries(ACME)]
    assert kinds == [
        "approval_requested",
        "approval_approve",
        "approval_claimed",
        "approved_change",
        "approval_completed",
    ]
    [entry] = [e for e in house.world.ledger.entries(ACME) if e.kind == "approved_change"]
    assert entry.content["document"] == {"port": 443}
    assert entry.content["approved_by"] == ["ann"]


def test_a_change_nobody_described_is_a_failure_that_says_what_to_do(house):
    result = house.run(approved_change)

    assert not result.success


def test_an_edited_change_runs_as_edited_and_only_once_approved_again(house):
    config = {
        "tenant": "acme",
        "title": "Open a port",
        "requested_by": "rita",
        "document": {"port": 443},
    }
    house.run(approved_change, run_config={"ops": {"plan_change": {"config": config}}})
    house.say()
    stale = house.request()
    revise(house.world, ACME, house.task.id, document={"port": 80}, revised_by="rita")

    assert skipped(house.run(approved_change, tags=dict(stale.tags)))
    house.say()
    house.run(approved_change, tags=dict(house.request().tags))

    [entry] = [e for e in house.world.ledger.entries(ACME) if e.kind == "approved_change"]
    assert entry.content["document"] == {"port": 80}


def test_a_claim_is_of_its_run_alone(house):
    house.run()
    house.say()
    done = house.go_on()

    with pytest.raises(Exception, match=f"belongs to run {done.run_id}"):
        require_claim(house.world, ACME, house.task.id, digest=house.task.digest, holder="another")
