"""The chain of evidence: a hash anybody can derive from the row it stands in."""

import hashlib
from datetime import UTC, datetime
from typing import Any

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import GENESIS, NewEntry, links, verify_chain

NOON = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | TEXTS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner),
    max_leaves=6,
)


@given(st.lists(st.tuples(TEXTS, TEXTS, st.dictionaries(TEXTS, VALUES)), min_size=1, max_size=4))
def test_a_hash_is_that_of_the_whole_row_in_the_references_canonical_form(
    facts: list[tuple[str, str, dict[str, Any]]],
) -> None:
    new = [NewEntry(kind=k, subject=s, recorded_at=NOON, content=c) for k, s, c in facts]

    linked = list(links(TenantId("acme"), new, after_seq=0, after_hash=GENESIS))

    for number, (entry, written) in enumerate(linked, start=1):
        row = {
            "tenant": "acme",
            "seq": number,
            "kind": entry.kind,
            "subject": entry.subject,
            "recorded_at": "2026-11-01T12:00:00.000000Z",
            "content": entry.content,
            "previous_hash": linked[number - 2][0].hash if number > 1 else GENESIS,
        }
        assert entry.hash == hashlib.sha256(rfc8785.dumps(row)).hexdigest()
        assert written.encode() == rfc8785.dumps(dict(entry.content))
    assert verify_chain(entry for entry, _ in linked) == len(facts)
