"""What every store of acceptances promises, in memory and in Postgres."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.ports.acceptances import Acceptance, Acceptances
from tests.fakes.acceptances import FakeAcceptances

ACME, BETA, GAMMA = TenantId("acme"), TenantId("beta"), TenantId("gamma")
NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
SCOPE = "aws-main/111122223333/us-east-1/instance"


@pytest.fixture(params=["fake", "postgres"])
def acceptances(request: pytest.FixtureRequest) -> Iterator[Acceptances]:
    if request.param == "fake":
        yield FakeAcceptances()
        return
    from resources.database.acceptances import SqlAcceptances
    from resources.database.sessions import Sessions

    sessions = Sessions(request.getfixturevalue("postgres").settings)
    yield SqlAcceptances(sessions)
    sessions.close()


def word(scope: str = SCOPE, at: datetime = NOON, by: str = "ann@example.com") -> Acceptance:
    return Acceptance(scope_id=scope, accepted_at=at, accepted_by=by, reason="decommissioned")


def test_nothing_is_accepted_until_somebody_does(acceptances):
    assert acceptances.of([ACME, BETA]) == {}
    assert acceptances.of([]) == {}


def test_an_acceptance_is_found_by_its_tenant_and_scope(acceptances):
    acceptances.accept(ACME, word())

    assert acceptances.of([ACME]) == {(ACME, SCOPE): word()}


def test_a_newer_word_on_a_scope_replaces_the_older(acceptances):
    acceptances.accept(ACME, word())
    newer = word(at=NOON + timedelta(days=1), by="bob@example.com")
    acceptances.accept(ACME, newer)

    assert acceptances.of([ACME]) == {(ACME, SCOPE): newer}


def test_only_the_tenants_asked_for_are_answered(acceptances):
    acceptances.accept(ACME, word())
    acceptances.accept(BETA, word(by="eve@example.com"))
    acceptances.accept(GAMMA, word("other/scope"))

    found = acceptances.of([GAMMA, ACME])

    assert set(found) == {(ACME, SCOPE), (GAMMA, "other/scope")}
    assert found[ACME, SCOPE].accepted_by == "ann@example.com"
