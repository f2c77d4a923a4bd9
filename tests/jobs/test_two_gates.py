"""Two gates in one job: each goes on with what people saw at that gate, and with nothing else."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from qlrf_pipelines.domain.approval import DecisionKind
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import Task, TaskState
from qlrf_pipelines.jobs.approval import Approval, approval_gate, executing
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import decide
from qlrf_pipelines.services.claims import Granted
from qlrf_pipelines.services.gate import Attempt, Proposal, pass_gate
from sensors.approvals import run_request
from tests.fakes.approvals import ACME, need
from tests.fakes.world import fake_world


def proposal(stage: str, what: str, **parts: Any) -> Proposal:
    return Proposal(
        tenant=ACME,
        kind="move",
        title=f"Move: {stage}",
        document={"do": what},
        requested_by="rita",
        requirement=need(),
        stage=stage,
        **parts,
    )


@dg.op
def plan_copy() -> Proposal:
    return proposal("copy", "copy the disks")


@dg.op
def plan_drop() -> Proposal:
    return proposal("drop", "drop the old ones")


@dg.op
def copy(
    context: dg.OpExecutionContext,
    approval: Approval,
    world: dg.ResourceParam[World],
    done: dg.ResourceParam[list[str]],
) -> None:
    with executing(context, world, approval):
        done.append(approval.document["do"])


drop = dg.op(name="drop")(copy.compute_fn.decorated_fn)


@dg.job
def move() -> None:
    copy(approval_gate("first_gate")(plan_copy()))
    drop(approval_gate("second_gate")(plan_drop()))


class House:
    def __init__(self, instance: dg.DagsterInstance) -> None:
        self.instance, self.world = instance, fake_world()
        self.done: list[str] = []

    def run(self, **parts: Any) -> dg.ExecuteInProcessResult:
        resources = {"world": self.world, "done": self.done}
        return move.execute_in_process(instance=self.instance, resources=resources, **parts)

    def task(self, stage: str) -> Task:
        [found] = [one for one in self.world.tasks.list(ACME) if one.stage == stage]
        return found

    def approve(self, stage: str) -> None:
        say_yes(self.world, self.task(stage))

    def go_on(self, stage: str) -> dg.ExecuteInProcessResult:
        request = run_request(self.task(stage))
        assert request is not None
        return self.run(tags=dict(request.tags))


def say_yes(world: World, task: Task) -> None:
    decide(
        world,
        ACME,
        task.id,
        kind=DecisionKind.APPROVE,
        digest=task.digest,
        by="ann",
        role=Role.ENGINEER,
    )


@pytest.fixture
def house() -> Iterator[House]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield House(instance)


WORD = {"copy": "copy the disks", "drop": "drop the old ones"}


@pytest.mark.parametrize("order", [("copy", "drop"), ("drop", "copy")])
def test_each_gate_goes_on_with_what_was_approved_at_it_in_whatever_order(house, order):
    house.run()
    assert [house.task(stage).state for stage in order] == [TaskState.AWAITING_APPROVAL] * 2
    seen = {stage: house.task(stage).digest for stage in order}

    for number, stage in enumerate(order, 1):
        house.approve(stage)
        result = house.go_on(stage)
        assert house.done == [WORD[one] for one in order[:number]]
        tags = house.instance.get_run_by_id(result.run_id).tags
        assert (tags["qlrf/task"], tags["qlrf/stage"]) == (house.task(stage).id, stage)

    assert {stage: house.task(stage).digest for stage in order} == seen
    assert [house.task(stage).state for stage in order] == [TaskState.COMPLETED] * 2
    for stage in order:
        house.go_on(stage)
    assert len(house.done) == 2


def test_what_nobody_saw_at_the_second_gate_waits_while_the_first_is_carried_out(house):
    house.run()
    house.approve("copy")

    house.go_on("copy")

    assert house.done == ["copy the disks"]
    assert house.task("drop").state is TaskState.AWAITING_APPROVAL
    assert house.world.tasks.get(ACME, house.task("drop").id).claims == ()


def attempt(run: str, task: str = "") -> Attempt:
    return Attempt(run=run, root_run="run-1", job="move", task=task)


def test_a_gate_that_is_met_first_in_the_run_that_goes_on_asks_for_a_task_of_its_own():
    world, one = fake_world(), proposal("copy", "copy the disks")
    task = pass_gate(world, one, attempt("run-1")).record.task
    say_yes(world, task)
    assert isinstance(pass_gate(world, one, attempt("run-2", task.id)), Granted)

    came = pass_gate(world, proposal("drop", "drop all"), attempt("run-2", task.id))

    assert not isinstance(came, Granted)
    assert came.record.task.id != task.id
    assert came.record.document.content == {"do": "drop all"}
    assert came.record.task.state is TaskState.AWAITING_APPROVAL


def test_two_gates_of_one_stage_are_not_taken_for_one_another():
    world, one = fake_world(), proposal("copy", "copy the disks")
    task = pass_gate(world, one, attempt("run-1")).record.task
    say_yes(world, task)
    pass_gate(world, one, attempt("run-2", task.id))

    with pytest.raises(Refused, match="stages of their own"):
        pass_gate(world, proposal("copy", "drop all"), attempt("run-2", task.id))


def test_two_gates_of_one_key_are_not_taken_for_one_another():
    world = fake_world()
    pass_gate(world, proposal("copy", "copy the disks", key="nightly"), attempt("run-1"))

    with pytest.raises(Refused, match="a key of its own"):
        pass_gate(world, proposal("drop", "drop all", key="nightly"), attempt("run-1"))
