"""Canonical JSON: what is hashed is what RFC 8785 says, however it is written."""

import math

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.canonical import NoCanonicalForm, canonical

# Also what has no canonical form: large integers, NaN, halves of characters.
TEXTS = st.text(st.characters(exclude_categories=())) | st.text('\x00\x1f\x7f"\\/é\u2028😀\ue000')
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(2**53 - 2, 2**53 + 2)
    | st.floats()
    | TEXTS
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(TEXTS, inner) | st.tuples(inner, inner),
    max_leaves=12,
)


@given(VALUES)
def test_every_value_is_written_as_the_reference_writes_it_or_refused_as_it_refuses(
    value: object,
) -> None:
    try:
        expected = rfc8785.dumps(value)  # type: ignore[arg-type]
    except rfc8785.CanonicalizationError:
        with pytest.raises(NoCanonicalForm):
            canonical(value)
    else:
        assert canonical(value) == expected


@pytest.mark.parametrize("value", [math.nan, 2**53, "\ud800", {1: "x"}, {"x": {1, 2}}, b"x"])
def test_what_is_not_json_has_no_canonical_form(value: object) -> None:
    with pytest.raises(NoCanonicalForm):
        canonical(value)
