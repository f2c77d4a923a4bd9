"""What every set of locks promises, in memory and in Postgres."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.ports.locks import Locks
from tests.fakes.locks import FakeLocks


@pytest.fixture(params=["fake", "postgres"])
def locks(request: pytest.FixtureRequest) -> Iterator[Locks]:
    if request.param == "fake":
        yield FakeLocks()
        return
    from resources.database.locks import SqlLocks
    from resources.database.sessions import Sessions

    sessions = Sessions(request.getfixturevalue("postgres").settings)
    yield SqlLocks(sessions)
    sessions.close()


def test_a_name_that_is_held_is_refused_and_the_message_names_it(locks):
    with (
        locks.hold(["tenant:acme"], wait_seconds=1),
        pytest.raises(Refused, match="tenant:acme"),
        locks.hold(["tenant:acme"], wait_seconds=0.05),
    ):
        pass


def test_other_names_are_free_meanwhile(locks):
    with locks.hold(["tenant:acme"], wait_seconds=1), locks.hold(["tenant:beta"], wait_seconds=1):
        pass


def test_a_name_is_free_again_when_the_block_ends_however_it_ends(locks):
    with locks.hold(["tenant:acme"], wait_seconds=1):
        pass
    with pytest.raises(ZeroDivisionError), locks.hold(["tenant:acme"], wait_seconds=1):
        raise ZeroDivisionError

    with locks.hold(["tenant:acme"], wait_seconds=0.05):
        pass


def test_one_that_is_refused_keeps_none_of_its_names(locks):
    with (
        locks.hold(["tenant:m"], wait_seconds=1),
        pytest.raises(Refused),
        locks.hold(["tenant:a", "tenant:m", "tenant:z"], wait_seconds=0.05),
    ):
        pass

    with locks.hold(["tenant:a", "tenant:z"], wait_seconds=0.05):
        pass


def test_a_name_given_twice_is_held_once(locks):
    with locks.hold(["tenant:acme", "tenant:acme"], wait_seconds=0.05):
        pass
    with locks.hold(["tenant:acme"], wait_seconds=0.05):
        pass


def test_one_who_waits_goes_on_when_the_holder_is_done(locks):
    order: list[str] = []
    held, waiting = threading.Event(), threading.Event()

    def first() -> None:
        with locks.hold(["tenant:acme"], wait_seconds=30):
            held.set()
            waiting.wait(30)
            order.append("first")

    def second() -> None:
        held.wait(30)
        waiting.set()
        with locks.hold(["tenant:acme"], wait_seconds=30):
            order.append("second")

    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(first), pool.submit(second)]:
            done.result()

    assert order == ["first", "second"]


def test_holders_of_many_names_in_any_order_never_block_each_other_for_ever(locks):
    inside = threading.Semaphore(1)

    def work(names: list[str]) -> None:
        for _ in range(10):
            with locks.hold(names, wait_seconds=60):
                assert inside.acquire(blocking=False), "two are inside at once"
                inside.release()

    with ThreadPoolExecutor(3) as pool:
        names = ["tenant:a", "tenant:b", "tenant:c"]
        turns = [names, names[::-1], [names[1], names[2], names[0]]]
        for done in [pool.submit(work, turn) for turn in turns]:
            done.result()
