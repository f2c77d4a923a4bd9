"""Whatever a document says, its request is told, in words of ours where ours stand."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.approval_news import KINDS, events_of, holds, news_of
from qlrf_pipelines.domain.evidence import GENESIS, chain
from qlrf_pipelines.domain.messages import OF_APPROVALS, OF_TENANTS, read_message
from qlrf_pipelines.domain.news import heard, listeners
from qlrf_pipelines.domain.tasks import ENDED, NEXT, Record, TaskEvent, TaskState
from tests.fakes.approvals import ACME, first
from tests.fakes.clock import NOON
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
    message = heard(news, subscriber(), step=entry.seq)

    assert message is not None
    assert message.environment in OURS
    assert message.title.endswith("asks for approval")
    assert len(dict(message.lines)) == len(message.lines)
    assert all("\n" not in value and len(value) <= 500 for _, value in message.lines)
    assert read_message(message.document()) == message
    assert holds(message, record, now=NOON)
    assert all(one.target for one in listeners(content))


def test_every_way_a_request_ends_or_goes_on_is_an_event_of_approvals() -> None:
    before = (TaskState.AWAITING_APPROVAL, TaskState.APPROVED)
    ends = {event for (state, event), after in NEXT.items() if state in before and after in ENDED}
    words = {"rejected": "reject", "revoked": "revoke"}

    assert {f"approval_{words.get(event, event)}" for event in ends} <= KINDS
    assert TaskEvent.EXPIRED in ends
    assert {event for kind in KINDS for event in events_of(kind)} == set(OF_APPROVALS)
    assert set(OF_APPROVALS) < set(OF_TENANTS)
