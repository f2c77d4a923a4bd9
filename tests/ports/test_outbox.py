"""What every outbox promises, in memory and in Postgres."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest

from qlrf_pipelines.domain.evidence import verify_chain
from qlrf_pipelines.domain.notifications import (
    NoteState,
    after_failure,
    given_up,
    lost_entry,
    outlived,
    sent,
)
from qlrf_pipelines.ports.outbox import Outbox
from qlrf_pipelines.ports.world import World
from tests.fakes.approvals import ACME, BETA
from tests.fakes.clock import NOON
from tests.fakes.messages import note, request
from tests.fakes.world import fake_world

LATER = NOON + timedelta(hours=1)


@pytest.fixture(params=["fake", "postgres"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "fake":
        yield fake_world()
        return
    from resources.database.ledger import SqlLedger
    from resources.database.outbox import SqlOutbox
    from resources.database.sessions import Sessions

    sessions = Sessions(request.getfixturevalue("postgres").settings)
    yield fake_world(outbox=SqlOutbox(sessions), ledger=SqlLedger(sessions))
    sessions.close()


@pytest.fixture
def outbox(world: World) -> Outbox:
    return world.outbox


def test_a_message_is_found_as_it_was_kept(outbox):
    outbox.add(ACME, [note()])

    assert list(outbox.due(ACME, now=NOON, limit=10)) == [note()]
    assert list(outbox.list(ACME)) == [note()]
    assert outbox.known(ACME, ["acme:7:slack:#ops", "another"]) == {"acme:7:slack:#ops"}
    assert outbox.known(ACME, []) == set()


def test_queued_again_it_stays_what_it_became(outbox):
    outbox.add(ACME, [note()])
    done = sent(note(), "ok", now=LATER)
    assert outbox.keep(ACME, done)

    outbox.add(ACME, [note(), note("acme:8:slack:#ops")])
    outbox.add(ACME, [])

    assert {one.key: one.state for one in outbox.list(ACME)} == {
        "acme:7:slack:#ops": NoteState.SENT,
        "acme:8:slack:#ops": NoteState.WAITING,
    }
    assert list(outbox.list(ACME, states=[NoteState.SENT])) == [done]


def test_what_is_due_comes_first_due_first_and_at_most_so_many(outbox):
    first, second, third = note("a"), note("b"), note("c", due_at=LATER)
    outbox.add(ACME, [first, second, third])
    outbox.keep(ACME, replace(first, due_at=NOON + timedelta(minutes=1)))

    def due(now, limit=10):
        return [one.key for one in outbox.due(ACME, now=now, limit=limit)]

    assert due(NOON - timedelta(seconds=1)) == []
    assert due(NOON) == ["b"]
    assert due(LATER) == ["b", "a", "c"]
    assert due(LATER, limit=2) == ["b", "a"]


def test_what_failed_waits_and_says_why(outbox):
    outbox.add(ACME, [note()])
    failed = after_failure(note(), "nobody answers", passing=True, now=NOON)

    assert outbox.keep(ACME, failed)

    assert list(outbox.due(ACME, now=NOON, limit=10)) == []
    (kept,) = outbox.list(ACME)
    assert (kept.attempts, kept.said) == (1, "nobody answers")
    assert kept.due_at == NOON + timedelta(seconds=30)


def test_what_is_lost_is_lost_once_with_its_evidence(world, outbox):
    outbox.add(ACME, [note()])
    lost = given_up(note(), now=LATER)
    entry = lost_entry(lost, LATER)

    assert outbox.keep(ACME, lost, [entry])
    assert not outbox.keep(ACME, lost, [entry])
    assert not outbox.keep(ACME, sent(note(), "ok", now=LATER))

    kinds = [kept.kind for kept in world.ledger.entries(ACME)]
    assert kinds == ["notification_lost"]
    assert verify_chain(world.ledger.entries(ACME)) == 1


def test_what_was_not_true_any_more_ends_without_evidence(world, outbox):
    outbox.add(ACME, [replace(note(), message=request())])
    (kept,) = outbox.list(ACME)
    over = outlived(kept, now=LATER)

    assert outbox.keep(ACME, over)
    assert not outbox.keep(ACME, sent(kept, "ok", now=LATER))

    assert list(outbox.list(ACME, states=[NoteState.OBSOLETE])) == [over]
    assert list(outbox.due(ACME, now=LATER, limit=10)) == []
    assert list(world.ledger.entries(ACME)) == []


def test_what_nobody_queued_is_not_kept(world, outbox):
    assert not outbox.keep(ACME, sent(note(), "ok", now=LATER), [lost_entry(note(), NOON)])
    assert list(world.ledger.entries(ACME)) == []


def test_a_message_is_its_tenants_alone(outbox):
    outbox.add(ACME, [note()])

    assert list(outbox.list(BETA)) == []
    assert list(outbox.due(BETA, now=LATER, limit=10)) == []
    assert outbox.known(BETA, [note().key]) == set()
    assert not outbox.keep(BETA, sent(note(), "ok", now=LATER))


def test_ended_by_many_at_once_it_ends_once(world, outbox):
    outbox.add(ACME, [note()])
    lost = given_up(note(), now=LATER)

    with ThreadPoolExecutor(6) as pool:
        ended = list(
            pool.map(lambda _: outbox.keep(ACME, lost, [lost_entry(lost, LATER)]), range(6))
        )

    assert sorted(ended) == [False] * 5 + [True]
    assert len(list(world.ledger.entries(ACME))) == 1
