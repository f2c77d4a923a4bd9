"""What every store of tasks promises, in memory and in Postgres."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from qlrf_pipelines.domain import task_steps
from qlrf_pipelines.domain.approval import Conditions, DecisionKind, Extent
from qlrf_pipelines.domain.errors import NotFound, QlrfError, Refused
from qlrf_pipelines.domain.evidence import verify_chain
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import Launch, Record, TaskState
from qlrf_pipelines.ports.tasks import Tasks
from qlrf_pipelines.ports.world import World
from tests.fakes.approvals import ACME, BETA, decide, first, need, take
from tests.fakes.clock import NOON
from tests.fakes.world import fake_world


@pytest.fixture(params=["fake", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "fake":
        yield fake_world()
        return
    from resources.database.ledger import SqlLedger
    from resources.database.sessions import Sessions
    from resources.database.tasks import SqlTasks

    sessions = Sessions(request.getfixturevalue("postgres").settings)
    yield fake_world(tasks=SqlTasks(sessions), ledger=SqlLedger(sessions))
    sessions.close()


@pytest.fixture
def tasks(world: World) -> Tasks:
    return world.tasks


def test_a_task_is_found_as_it_was_kept(tasks):
    launch = Launch(
        job="j", config={"ops": {"a": 1}}, tags={"x": "y"}, parent_run="r", root_run="q"
    )
    kept = tasks.submit(
        ACME, first(launch=launch, content={"n": 1.5, "text": "ünï", "big": 10**15})
    )

    found = tasks.get(ACME, "t-1")

    assert found == kept
    assert found.task.launch == launch
    assert found.task.state is TaskState.AWAITING_APPROVAL
    assert found.task.seq == 1
    assert found.document.content == {"n": 1.5, "text": "ünï", "big": 10**15}
    assert found.task.requirement == need()


def test_what_a_request_limits_and_whether_it_asks_anybody_is_kept(tasks):
    limits = Conditions(not_before=NOON + timedelta(hours=1), not_after=None, max_batch=3)
    asked = need(limits=limits, unattended=Extent.WHOLE)
    free = {"approvals": {"required": False}, "autonomy": {"mode": "full_auto"}}

    tasks.submit(ACME, first(content=free, requirement=asked))

    assert tasks.get(ACME, "t-1").task.requirement == asked


def test_one_key_is_one_task(tasks):
    tasks.submit(ACME, first("t-1", key="same"))

    again = tasks.submit(ACME, first("t-2", key="same"))

    assert again.task.id == "t-1"
    assert [task.id for task in tasks.list(ACME)] == ["t-1"]
    assert tasks.submit(BETA, first("t-3", tenant=BETA, key="same")).task.id == "t-3"


def test_a_task_of_another_tenant_is_not_there(tasks):
    tasks.submit(ACME, first())

    with pytest.raises(NotFound, match="beta"):
        tasks.get(BETA, "t-1")
    with pytest.raises(NotFound):
        tasks.amend(BETA, "t-1", lambda _: None)
    assert tasks.list(BETA) == []
    assert tasks.find(BETA, prefix="t") == []


def test_tasks_are_listed_newest_first_in_pages_and_by_state(tasks):
    for number in range(5):
        tasks.submit(ACME, first(f"t-{number}"))
    decide(tasks, "t-3")

    assert [task.id for task in tasks.list(ACME, limit=2)] == ["t-4", "t-3"]
    assert [task.id for task in tasks.list(ACME, before="t-3", limit=2)] == ["t-2", "t-1"]
    assert [t.id for t in tasks.list(ACME, states=[TaskState.APPROVED])] == ["t-3"]
    assert tasks.count(ACME) == {TaskState.AWAITING_APPROVAL: 4, TaskState.APPROVED: 1}
    assert [task.id for task in tasks.find(ACME, prefix="t-2")] == ["t-2"]
    assert tasks.find(ACME, prefix="%") == []


def test_a_step_is_kept_with_its_evidence_in_one_chain(world, tasks):
    tasks.submit(ACME, first())
    record = decide(tasks, conditions=Conditions(max_batch=3))

    entries = list(world.ledger.entries(ACME))

    assert [entry.kind for entry in entries] == ["approval_requested", "approval_approve"]
    assert verify_chain(entries) == 2
    assert entries[1].subject == "t-1"
    assert entries[1].content["by"] == "ann"
    assert entries[1].content["digest"] == record.task.digest
    assert record.task.seq == record.task.ready_seq == 2
    assert tasks.get(ACME, "t-1") == record
    assert record.decisions[0].conditions == Conditions(max_batch=3)


def test_a_step_that_is_refused_leaves_nothing_behind(world, tasks):
    before = tasks.submit(ACME, first())

    with pytest.raises(Refused):
        decide(tasks, by="rita")

    assert tasks.get(ACME, "t-1") == before
    assert len(list(world.ledger.entries(ACME))) == 1


def test_a_revision_is_kept_beside_the_first(tasks):
    tasks.submit(ACME, first())

    def step(record: Record) -> Any:
        other = first(content={"restart": ["i-9"]}).document
        fresh = replace(other, revision=2, made_by="rita")
        return task_steps.revised(record, document=fresh, task=record.task, now=NOON)

    record = tasks.amend(ACME, "t-1", step)

    assert [d.content["restart"] for d in tasks.documents(ACME, "t-1")] == [["i-1", "i-2"], ["i-9"]]
    assert tasks.get(ACME, "t-1") == record
    assert record.document.revision == record.task.revision == 2


def test_a_claim_is_kept_once_whatever_a_step_believes(tasks):
    tasks.submit(ACME, first())
    decide(tasks)
    record = take(tasks)

    def again(record: Record) -> Any:
        blind = replace(record, claims=())
        mine = replace(record.claims[0], holder="run-2", claimed_at=NOON + timedelta(hours=3))
        return task_steps.claimed(blind, mine)

    with pytest.raises(Refused):
        tasks.amend(ACME, "t-1", again)

    assert tasks.get(ACME, "t-1") == record
    assert record.task.state is TaskState.EXECUTING
    assert [claim.holder for claim in take(tasks, "run-1", "second").claims] == ["run-1", "run-1"]


def test_ready_tasks_come_in_the_order_they_became_ready(tasks):
    for number in (1, 2, 3):
        tasks.submit(ACME, first(f"t-{number}"))
    decide(tasks, "t-3")
    decide(tasks, "t-1")

    ready = tasks.approved_since(ACME, cursor=0, limit=10)

    assert [task.id for task in ready] == ["t-3", "t-1"]
    assert tasks.approved_since(ACME, cursor=ready[0].ready_seq, limit=10) == [ready[1]]
    assert tasks.approved_since(ACME, cursor=0, limit=1) == [ready[0]]
    assert tasks.approved_since(BETA, cursor=0, limit=1) == []
    take(tasks, own="t-3")
    assert tasks.approved_since(ACME, cursor=0, limit=10) == [ready[1]]


def test_the_clock_finds_what_it_has_to_do(tasks):
    tasks.submit(ACME, first("t-1"))
    tasks.submit(ACME, first("t-2", requirement=need(remind_every=timedelta(hours=2))))

    assert tasks.due(ACME, now=NOON, limit=9) == []
    assert [t.id for t in tasks.due(ACME, now=NOON + timedelta(hours=3), limit=9)] == ["t-2"]
    assert len(tasks.due(ACME, now=NOON + timedelta(hours=9), limit=9)) == 2
    assert len(tasks.due(ACME, now=NOON + timedelta(hours=9), limit=1)) == 1


def test_tenants_are_those_that_ever_had_a_task(tasks):
    assert tasks.tenants() == {}
    tasks.submit(BETA, first(tenant=BETA))
    tasks.submit(ACME, first())
    decide(tasks)

    assert tasks.tenants() == {ACME: 2, BETA: 1}


def test_whoever_waits_is_woken_by_the_step(tasks):
    tasks.submit(ACME, first())
    woken: list[bool] = []
    waiting = threading.Thread(
        target=lambda: woken.append(tasks.wait(ACME, "t-1", after=1, seconds=60))
    )
    waiting.start()

    decide(tasks)

    waiting.join(timeout=30)
    assert woken == [True]


def test_whoever_waits_for_what_has_happened_does_not_wait(tasks):
    tasks.submit(ACME, first())

    assert tasks.wait(ACME, "t-1", after=0, seconds=60)
    assert not tasks.wait(ACME, "t-1", after=1, seconds=0.05)
    with pytest.raises(NotFound):
        tasks.wait(ACME, "nobody", after=0, seconds=1)


def test_many_who_claim_at_once_are_one(tasks):
    tasks.submit(ACME, first())
    decide(tasks)

    def attempt(number: int) -> str:
        return take(tasks, f"run-{number}").claims[0].holder

    with ThreadPoolExecutor(6) as pool:
        holders = set(pool.map(attempt, range(24)))

    assert len(holders) == 1


def test_approving_and_revising_at_once_never_approves_the_other_document(tasks):
    def revise(own: str) -> None:
        def step(record: Record) -> Any:
            fresh = replace(first(content={"other": own}).document, revision=2)
            return task_steps.revised(record, document=fresh, task=record.task, now=NOON)

        tasks.amend(ACME, own, step)

    def approve(own: str, seen: str) -> None:
        try:
            decide(tasks, own, digest=seen)
        except QlrfError:
            return

    for number in range(10):
        own = f"t-{number}"
        seen = tasks.submit(ACME, first(own)).task.digest
        with ThreadPoolExecutor(2) as pool:
            for job in (pool.submit(approve, own, seen), pool.submit(revise, own)):
                job.result()
        record = tasks.get(ACME, own)
        assert record.task.state is TaskState.AWAITING_APPROVAL
        assert all(d.digest != record.task.digest for d in record.decisions)


def test_words_and_roles_survive_the_journey(tasks):
    tasks.submit(ACME, first())
    kept = decide(tasks, kind="delegate", delegate="vic", role=Role.ADMIN, reason="on leave ☂")

    [found] = tasks.get(ACME, "t-1").decisions

    assert found == kept.decisions[0]
    assert (found.kind, found.role, found.delegate) == (DecisionKind.DELEGATE, Role.ADMIN, "vic")
