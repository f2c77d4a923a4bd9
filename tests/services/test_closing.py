"""Closing a task by hand: for executions nobody hears the end of, and never over a rollout."""

from typing import Any

import pytest

from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import Task, TaskState
from qlrf_pipelines.services import rollouts
from qlrf_pipelines.services.approvals import submit_task
from qlrf_pipelines.services.closing import close
from tests.fakes.drill_house import ACME, DrillHouse
from tests.services.rollout_house import Hands, House, phase, plan

LOOKED: dict[str, Any] = {"by": "ann", "role": Role.ENGINEER, "reason": "I looked"}


@pytest.fixture
def house() -> House:
    canary, rest = phase("canary", [["i-1"]], wait=900), phase("wave-1", [["i-2"]], wait=0)
    return House(plan(canary, rest), Hands(["i-1", "i-2"]))


def told(house: House, outcome: TaskState) -> Task:
    return close(house.world, ACME, house.id, outcome=outcome, **LOOKED)


def test_what_nobody_hears_the_end_of_is_closed_by_who_looked(house: House) -> None:
    assert told(house, TaskState.FAILED).state is TaskState.FAILED

    *_, entry = house.world.ledger.entries(ACME)
    assert (entry.content["by"], entry.content["detail"]) == ("ann", "I looked")


@pytest.mark.parametrize("outcome", [TaskState.COMPLETED, TaskState.FAILED, TaskState.ROLLED_BACK])
def test_a_task_is_not_closed_over_its_rollout(house: House, outcome: TaskState) -> None:
    house.begin()
    house.drive(hold_seconds=0)

    with pytest.raises(Refused, match="qlrf rollouts show"):
        told(house, outcome)

    assert house.task_state() == "executing"


def test_a_task_ends_as_its_rollout_did_and_not_otherwise(house: House) -> None:
    house.begin()
    rollouts.cancel(house.world, ACME, house.id, by="ann", role=Role.ENGINEER, reason="no more")

    with pytest.raises(Refused, match="which is cancelled"):
        told(house, TaskState.COMPLETED)


def test_only_an_engineer_closes(house: House) -> None:
    said = LOOKED | {"role": Role.OPERATOR}

    with pytest.raises(Refused, match="takes an engineer"):
        close(house.world, ACME, house.id, outcome=TaskState.FAILED, **said)


def test_a_task_is_not_closed_over_its_drill() -> None:
    house = DrillHouse()
    own = house.start()
    task = submit_task(
        house.world, ACME, kind="dr_drill", title="Drill", document={"drill": own},
        requested_by="rita", key=f"drill:{own}",
    )  # fmt: skip

    with pytest.raises(Refused, match=f"qlrf drills show {own}"):
        close(house.world, ACME, task.id, outcome=TaskState.COMPLETED, **LOOKED)
