"""What every ledger promises, in memory and in Postgres."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import GENESIS, NewEntry, verify_chain
from qlrf_pipelines.ports.ledger import Ledger
from tests.fakes.ledger import FakeLedger

ACME, BETA = TenantId("acme"), TenantId("beta")
NOON = datetime(2026, 11, 1, 12, 0, 0, 123456, tzinfo=UTC)


@pytest.fixture(params=["fake", "postgres"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    if request.param == "fake":
        yield FakeLedger()
        return
    from resources.database.ledger import SqlLedger
    from resources.database.sessions import Sessions

    sessions = Sessions(request.getfixturevalue("postgres").settings)
    yield SqlLedger(sessions)
    sessions.close()


def fact(number: int = 1, **parts) -> NewEntry:
    given = {"kind": "control", "subject": f"i-{number}", "recorded_at": NOON, "content": {}}
    return NewEntry(**(given | parts))


def test_a_new_ledger_has_no_head_and_no_entries(ledger):
    assert ledger.head(ACME) is None
    assert list(ledger.entries(ACME)) == []


def test_entries_are_numbered_from_one_without_a_gap_over_many_appends(ledger):
    ledger.append({ACME: [fact(1), fact(2)]})
    ledger.append({ACME: [fact(3)]})

    entries = list(ledger.entries(ACME))

    assert [entry.seq for entry in entries] == [1, 2, 3]
    assert [entry.subject for entry in entries] == ["i-1", "i-2", "i-3"]
    assert entries[0].previous_hash == GENESIS
    assert verify_chain(entries) == 3
    assert ledger.head(ACME) == entries[-1]


def test_every_tenant_has_a_chain_of_its_own(ledger):
    ledger.append({BETA: [fact(1)], ACME: [fact(2), fact(3)]})

    assert verify_chain(ledger.entries(ACME)) == 2
    assert verify_chain(ledger.entries(BETA)) == 1
    assert {entry.tenant for entry in ledger.entries(BETA)} == {BETA}


def test_entries_after_a_number_leave_the_earlier_ones_out(ledger):
    ledger.append({ACME: [fact(n) for n in range(5)]})

    assert [entry.seq for entry in ledger.entries(ACME, after=3)] == [4, 5]
    assert list(ledger.entries(ACME, after=5)) == []


def test_appending_nothing_changes_nothing(ledger):
    ledger.append({})
    ledger.append({ACME: []})

    assert ledger.head(ACME) is None


def test_more_entries_than_one_page_come_whole_and_in_order(ledger):
    ledger.append({ACME: [fact(n) for n in range(2500)]})

    assert verify_chain(ledger.entries(ACME)) == 2500


def test_a_moment_keeps_its_microseconds_whatever_zone_it_was_given_in(ledger):
    abroad = NOON.astimezone(timezone(timedelta(hours=5, minutes=30)))
    ledger.append({ACME: [fact(recorded_at=abroad), fact(recorded_at=NOON.replace(tzinfo=None))]})

    assert verify_chain(ledger.entries(ACME)) == 2
    assert next(iter(ledger.entries(ACME))).recorded_at == NOON


WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
STORED = WORDS.filter(lambda word: "\x00" not in word)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@settings(
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    facts=st.lists(
        st.builds(
            NewEntry,
            kind=STORED,
            subject=STORED,
            recorded_at=st.datetimes(
                datetime(1970, 1, 1),  # noqa: DTZ001  the strategy adds the zone
                datetime(2200, 1, 1),  # noqa: DTZ001
                timezones=st.just(UTC),
            ),
            content=st.dictionaries(WORDS, VALUES, max_size=4),
        ),
        max_size=4,
    )
)
def test_whatever_json_is_kept_its_hashes_can_be_derived_again(ledger, facts):
    before = ledger.head(ACME)
    ledger.append({ACME: facts})

    kept = list(ledger.entries(ACME, after=before.seq if before else 0))

    assert [entry.content for entry in kept] == [dict(item.content) for item in facts]
    verify_chain(ledger.entries(ACME))
