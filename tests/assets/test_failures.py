"""Dagster tries again only what trying again can help."""

import dagster as dg
import pytest

from assets_defs.failures import told_to_dagster
from qlrf_pipelines.domain.errors import Denied, Refused, Rejected, Truncated, Unavailable


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (Unavailable("down"), True),
        (Truncated("cut"), True),
        (Denied("no"), False),
        (Rejected("wrong"), False),
        (Refused("locked"), False),
    ],
)
def test_an_error_is_retried_only_if_it_says_so(error, again):
    with pytest.raises(dg.Failure) as caught, told_to_dagster():
        raise error

    assert caught.value.allow_retries is again
    assert caught.value.description == str(error)


def test_a_bug_stays_a_bug():
    with pytest.raises(ZeroDivisionError), told_to_dagster():
        1 / 0  # noqa: B018
