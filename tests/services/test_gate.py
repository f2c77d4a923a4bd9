"""The gate with a recheck: nothing is taken that was not looked at as it is."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from qlrf_pipelines.domain.approval import Conditions
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.tasks import Record, TaskState
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.approvals import revise
from qlrf_pipelines.services.claims import Granted, Withheld
from qlrf_pipelines.services.gate import Attempt, Looked, Proposal, pass_gate
from tests.fakes.approvals import ACME, decide, need
from tests.fakes.clock import NOON
from tests.fakes.world import fake_world

PROPOSAL = Proposal(
    tenant=ACME,
    kind="restart",
    title="Restart",
    document={"restart": ["i-1", "i-2"]},
    requested_by="rita",
    requirement=need(),
    key="t",
)


def attempt(run: str = "run-1") -> Attempt:
    return Attempt(run=run, root_run=run, job="restart")


def asked(world: World) -> str:
    came = pass_gate(world, PROPOSAL, attempt())
    assert isinstance(came, Withheld)
    return came.record.task.id


def test_an_approval_that_comes_in_between_is_looked_at_before_it_is_used():
    world = fake_world()
    task = asked(world)
    looks: list[TaskState] = []

    def look(record: Record) -> Looked:
        looks.append(record.task.state)
        if len(looks) == 1:
            decide(world.tasks, task)
        return Looked(proposal=PROPOSAL, record=record)

    came = pass_gate(world, PROPOSAL, attempt(), recheck=look)

    assert isinstance(came, Granted)
    assert looks == [TaskState.AWAITING_APPROVAL, TaskState.APPROVED]


def test_a_revocation_that_comes_in_between_is_kept_to():
    world = fake_world()
    task = asked(world)
    decide(world.tasks, task)

    def look(record: Record) -> Looked:
        if record.task.state is TaskState.APPROVED:
            decide(world.tasks, task, "revoke", by="bob")
        return Looked(proposal=PROPOSAL, record=record)

    came = pass_gate(world, PROPOSAL, attempt(), recheck=look)

    assert isinstance(came, Withheld)
    assert came.record.task.state is TaskState.REVOKED


def test_what_is_left_out_is_handed_on_and_changes_no_digest():
    world = fake_world()
    task = asked(world)
    digest = decide(world.tasks, task).task.digest

    def look(record: Record) -> Looked:
        return Looked(proposal=replace(PROPOSAL, left_out={"i-2": "gone"}), record=record)

    came = pass_gate(world, PROPOSAL, attempt(), recheck=look)

    assert isinstance(came, Granted)
    assert came.left_out == {"i-2": "gone"}
    assert came.claim.digest == digest


def test_what_is_proposed_anew_is_asked_for_and_not_taken():
    world = fake_world()
    decide(world.tasks, asked(world))
    other = replace(PROPOSAL, document={"restart": ["i-1"]}, title="Restart one")

    came = pass_gate(world, PROPOSAL, attempt(), recheck=lambda r: Looked(proposal=other, record=r))

    assert isinstance(came, Withheld)
    assert came.record.task.state is TaskState.AWAITING_APPROVAL
    assert came.record.task.title == "Restart one"


@pytest.mark.parametrize(
    "limits",
    [
        Conditions(not_before=NOON + timedelta(hours=3)),
        Conditions(not_after=NOON + timedelta(hours=9)),
        Conditions(max_batch=1),
    ],
)
def test_the_same_document_within_other_limits_is_asked_for_anew(limits):
    world = fake_world()
    decide(world.tasks, asked(world))
    other = replace(PROPOSAL, requirement=need(limits=limits))

    came = pass_gate(world, other, attempt())

    assert isinstance(came, Withheld)
    task = came.record.task
    assert task.state is TaskState.AWAITING_APPROVAL
    assert (task.revision, task.requirement.limits) == (2, limits)
    assert came.record.current == ()
    again = pass_gate(world, other, attempt()).record.task
    assert again.revision == 2


def test_other_limits_make_nobody_else_the_author_of_a_document():
    world = fake_world()
    task = asked(world)
    document = {"restart": ["i-9"]}
    context = dict(world.tasks.get(ACME, task).document.context)
    revise(world, ACME, task, document=document, revised_by="bob", context=context)
    limits = Conditions(max_batch=1)
    pass_gate(
        world, replace(PROPOSAL, document=document, requirement=need(limits=limits)), attempt()
    )

    record = world.tasks.get(ACME, task)

    assert record.task.requirement.limits == limits
    assert record.document.made_by == "bob"
    with pytest.raises(Refused, match="wrote what is asked for now"):
        decide(world.tasks, task, by="bob")


def test_a_proposal_that_never_settles_is_not_chased_for_ever():
    world = fake_world()
    task = asked(world)

    def look(record: Record) -> Looked:
        document = {"restart": [f"i-{record.task.revision}"]}
        return Looked(proposal=replace(PROPOSAL, document=document), record=record)

    with pytest.raises(Refused, match="something else each time"):
        pass_gate(world, PROPOSAL, attempt(), recheck=look)

    assert world.tasks.get(ACME, task).claims == ()


def test_of_many_runs_one_is_given_it():
    world = fake_world()
    decide(world.tasks, asked(world))

    def go(number: int) -> Granted | Withheld:
        return pass_gate(
            world,
            PROPOSAL,
            attempt(f"run-{number}"),
            recheck=lambda record: Looked(proposal=PROPOSAL, record=record),
        )

    with ThreadPoolExecutor(8) as runs:
        came = list(runs.map(go, range(8)))

    assert sum(isinstance(one, Granted) for one in came) == 1
