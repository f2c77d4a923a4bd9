"""A transaction of two round trips is kept whole or not at all, and never left open."""

import pytest
import sqlalchemy as sa

from qlrf_pipelines.domain.errors import Refused
from resources.database.sessions import Row, Said, Say, Sessions, closing, opening, saying

LOOK = opening(
    "SELECT set_config('qlrf.tenant', 'acme', true);SELECT pg_advisory_xact_lock(7);"
    "SELECT count(*) AS kept FROM public.scope_acceptances"
)
ASK: Said = (LOOK, {})
ADD = (
    "INSERT INTO public.scope_acceptances (tenant, scope_id, accepted_at, accepted_by, reason) "
    "VALUES (:tenant, 'scope-1', now(), 'ann', 'gone')"
)
KEEP = closing(ADD)
KEEP_AND_DIE = closing(f"{ADD};COMMIT;SELECT pg_terminate_backend(pg_backend_pid())")
MINE, THEIRS = {"tenant": "acme"}, {"tenant": "beta"}


@pytest.fixture
def sessions(postgres):
    opened = Sessions(postgres.settings)
    yield opened
    opened.close()


def kept(sessions: Sessions) -> int:
    return sessions.settle(ASK, lambda _, row: (row["kept"], None))


def over(sessions: Sessions) -> bool:
    """Whether nobody holds the turn any more; waits for a server that has yet to notice it."""
    with sessions.dedicated() as connection:
        connection.execute(sa.text("SET lock_timeout = '30s'"))
        connection.execute(sa.text("SELECT pg_advisory_xact_lock(7)"))
    return True


def test_what_is_answered_is_kept(sessions):
    assert sessions.settle(ASK, lambda _, row: (row["kept"], (KEEP, MINE))) == 0

    assert over(sessions)
    assert kept(sessions) == 1


def test_an_answer_of_nothing_keeps_nothing_and_ends_it(sessions):
    assert sessions.settle(ASK, lambda _, row: ("seen", None)) == "seen"

    assert over(sessions)
    assert kept(sessions) == 0


def test_an_answer_that_raises_keeps_nothing_and_ends_it(sessions):
    def answer(say: Say, _: Row) -> tuple[None, None]:
        say(saying(ADD), MINE)
        raise Refused("no")

    with pytest.raises(Refused, match=r"^no$"):
        sessions.settle(ASK, answer)

    assert over(sessions)
    assert kept(sessions) == 0


def test_what_the_database_refuses_is_not_kept_and_the_next_ask_begins_anew(sessions):
    with pytest.raises(Refused, match="row-level security"):
        sessions.settle(ASK, lambda _, row: (None, (KEEP, THEIRS)))

    assert over(sessions)
    assert kept(sessions) == 0


def test_a_connection_lost_before_the_end_is_asked_again(sessions):
    asked: list[int] = []

    def answer(say: Say, row: Row) -> tuple[None, Said]:
        asked.append(row["kept"])
        say(saying(ADD), MINE)
        if len(asked) == 1:
            say("SELECT pg_terminate_backend(pg_backend_pid())", {})
        return None, (closing("SELECT 1"), {})

    sessions.settle(ASK, answer)

    assert asked == [0, 0]
    assert kept(sessions) == 1


def test_an_end_that_got_no_answer_is_asked_again_and_sees_what_was_kept(sessions):
    asked: list[int] = []

    def answer(_: Say, row: Row) -> tuple[None, Said | None]:
        asked.append(row["kept"])
        return None, None if row["kept"] else (KEEP_AND_DIE, MINE)

    sessions.settle(ASK, answer)

    assert asked == [0, 1]
    assert kept(sessions) == 1
