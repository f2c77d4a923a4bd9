"""A task's states are a table, and the table is walked whole."""

import pytest

from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.tasks import (
    ENDED,
    NEXT,
    NOT_STARTED,
    OPEN,
    TaskEvent,
    TaskState,
    advance,
    task_digest,
)
from tests.fakes.approvals import need

S, E = TaskState, TaskEvent
# Written out by hand, state by state, so that the table in the code is compared with something.
EXPECTED = {
    S.CREATED: {
        E.PLANNED: S.PLANNED,
        E.FAILED: S.FAILED,
        E.EXPIRED: S.EXPIRED,
        E.CANCELLED: S.CANCELLED,
        E.SUPERSEDED: S.SUPERSEDED,
    },
    S.PLANNED: {
        E.REQUESTED: S.AWAITING_APPROVAL,
        E.REVISED: S.PLANNED,
        E.EXPIRED: S.EXPIRED,
        E.CANCELLED: S.CANCELLED,
        E.SUPERSEDED: S.SUPERSEDED,
    },
    S.AWAITING_APPROVAL: {
        E.APPROVED: S.APPROVED,
        E.REJECTED: S.REJECTED,
        E.CHANGES_REQUESTED: S.PLANNED,
        E.REVISED: S.PLANNED,
        E.EXPIRED: S.EXPIRED,
        E.CANCELLED: S.CANCELLED,
        E.SUPERSEDED: S.SUPERSEDED,
    },
    S.APPROVED: {
        E.STARTED: S.EXECUTING,
        E.REVOKED: S.REVOKED,
        E.REJECTED: S.REJECTED,
        E.CHANGES_REQUESTED: S.PLANNED,
        E.REVISED: S.PLANNED,
        E.EXPIRED: S.EXPIRED,
        E.CANCELLED: S.CANCELLED,
        E.SUPERSEDED: S.SUPERSEDED,
    },
    S.EXECUTING: {
        E.PAUSED: S.PAUSED,
        E.COMPLETED: S.COMPLETED,
        E.ROLLED_BACK: S.ROLLED_BACK,
        E.FAILED: S.FAILED,
        E.STOPPED: S.CANCELLED,
    },
    S.PAUSED: {
        E.RESUMED: S.EXECUTING,
        E.ROLLED_BACK: S.ROLLED_BACK,
        E.FAILED: S.FAILED,
        E.STOPPED: S.CANCELLED,
    },
}


@pytest.mark.parametrize("event", TaskEvent)
@pytest.mark.parametrize("state", TaskState)
def test_every_pair_of_state_and_event(state: TaskState, event: TaskEvent) -> None:
    expected = EXPECTED.get(state, {}).get(event)

    if expected is None:
        with pytest.raises(Refused, match=f"t-1 is {state}, so it cannot be {event}"):
            advance(state, event, task="t-1")
    else:
        assert advance(state, event) is expected


def test_what_has_ended_stays_ended() -> None:
    assert set(ENDED) == {
        S.COMPLETED,
        S.ROLLED_BACK,
        S.FAILED,
        S.REJECTED,
        S.EXPIRED,
        S.REVOKED,
        S.CANCELLED,
        S.SUPERSEDED,
    }
    assert set(ENDED) | set(OPEN) == set(TaskState)


def test_nothing_executes_that_was_not_approved() -> None:
    assert {state for (state, _), after in NEXT.items() if after is S.EXECUTING} == {
        S.APPROVED,
        S.PAUSED,
    }
    assert {state for (state, _), after in NEXT.items() if after is S.APPROVED} == {
        S.AWAITING_APPROVAL
    }


def test_nothing_expires_or_is_revoked_after_it_started() -> None:
    lost = {S.EXPIRED, S.REVOKED, S.SUPERSEDED}

    assert {state for (state, _), after in NEXT.items() if after in lost} <= set(NOT_STARTED)


def test_the_digest_is_of_the_document_its_context_and_who_must_decide() -> None:
    base = task_digest({"a": 1, "b": 2}, {"policy": "p"}, need())

    assert base == task_digest({"b": 2.0, "a": 1}, {"policy": "p"}, need())
    assert base != task_digest({"a": 1, "b": 3}, {"policy": "p"}, need())
    assert base != task_digest({"a": 1, "b": 2}, {"policy": "q"}, need())
    assert base != task_digest({"a": 1, "b": 2}, {}, need())
    assert base != task_digest({"a": 1, "b": 2}, {"policy": "p"}, need(quorum=2))
    assert base != task_digest({"a": 1, "b": 2}, {"policy": "p"}, need(four_eyes=False))
