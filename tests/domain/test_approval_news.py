"""Whatever a document says, its request is told, in words of ours where ours stand."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.approval_news import KINDS, events_of, holds, news_of
from qlrf_pipelines.domain.evidence import GENESIS, chain
from qlrf_pipelines.domain.messages import (
    OF_APPROVALS,
    OF_TENANTS,
    Event,
    Message,
    read_message,
)
from qlrf_pipelines.domain.news import heard, listeners
from qlrf_pipelines.domain.patching import Notification
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.domain.tasks import ENDED, NEXT, Record, TaskEvent, TaskState
from tests.fakes.approvals import ACME, decide, first
from tests.fakes.clock import NOON
from tests.fakes.tasks import FakeTasks
from tests.services.gated import subscriber

SCALARS = st.none() | st.booleans() | st.integers(-(2**52), 2**52) | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS | st.floats(allow_nan=False, allow_infinity=False, width=32),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=8,
)
NAMES = ("environment", "risk", "plan", "total_assets", "only", "policy", "notifications")
PARTS = st.dictionaries(st.sampled_from(["level", "score", "groups", "environment"]), VALUES)
DOCUMENTS = st.dictionaries(st.sampled_from(NAMES), VALUES | PARTS, min_size=1)
OURS = {"", "production", "staging", "development", "dr", "sandbox"}


@given(DOCUMENTS, st.text(min_size=1, max_size=60))
def test_a_request_is_told_whatever_its_document_is(content: dict[str, Any], title: str) -> None:
    opened = first(content=content, title=title)
    assert opened.document is not None
    record = Record(task=opened.task, document=opened.document)
    (entry,) = chain(ACME, opened.entries, after_seq=0, after_hash=GENESIS)

    news = news_of(entry, record, opened.document)
    assert news is not None
    (message,) = heard(news, subscriber(), step=entry.seq)

    assert message.environment in OURS
    assert message.title.endswith("asks for approval")
    assert len(dict(message.lines)) == len(message.lines)
    assert all("\n" not in value and len(value) <= 500 for _, value in message.lines)
    assert read_message(message.document()) == message
    assert holds(message, record, now=NOON)
    assert all(one.target for one in listeners(content))


def glass_is_broken(channel: str, *events: str) -> tuple[Message, ...]:
    tasks = FakeTasks()
    asked = tasks.submit(ACME, first())
    record = decide(tasks, kind="break_glass", by="ada", role=Role.ADMIN)
    *_, entry = tasks.ledger.entries(ACME)
    news = news_of(entry, record, asked.document)
    assert news is not None
    return heard(news, Notification(channel=channel, target="on-call", events=events), step=7)


def test_a_broken_glass_opens_an_incident_and_resolves_that_of_the_request() -> None:
    asks = first()
    assert asks.document is not None
    (entry,) = chain(ACME, asks.entries, after_seq=0, after_hash=GENESIS)
    news = news_of(entry, Record(task=asks.task, document=asks.document), asks.document)
    assert news is not None

    glass, decided = glass_is_broken(
        "pagerduty", "approval_requested", "approval_decided", "glass_broken"
    )

    assert (glass.event, glass.resolves) == (Event.GLASS_BROKEN, False)
    assert (decided.event, decided.resolves) == (Event.APPROVAL_DECIDED, True)
    assert decided.incident == news.message.incident != glass.incident
    assert glass.key == "acme:7:pagerduty:on-call"
    assert decided.key == "acme:7.approval_decided:pagerduty:on-call"


def test_who_keeps_no_incidents_or_wants_one_of_them_hears_of_it_once() -> None:
    (told,) = glass_is_broken("slack", "approval_decided", "glass_broken")
    assert told.event is Event.GLASS_BROKEN
    (told,) = glass_is_broken("pagerduty", "approval_decided")
    assert told.event is Event.APPROVAL_DECIDED
    assert glass_is_broken("pagerduty", "approval_expired") == ()


def test_every_way_a_request_ends_or_goes_on_is_an_event_of_approvals() -> None:
    before = (TaskState.AWAITING_APPROVAL, TaskState.APPROVED)
    ends = {event for (state, event), after in NEXT.items() if state in before and after in ENDED}
    words = {"rejected": "reject", "revoked": "revoke"}

    assert {f"approval_{words.get(event, event)}" for event in ends} <= KINDS
    assert TaskEvent.EXPIRED in ends
    assert {event for kind in KINDS for event in events_of(kind)} == set(OF_APPROVALS)
    assert set(OF_APPROVALS) < set(OF_TENANTS)
