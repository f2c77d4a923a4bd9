"""Whoever watches learns of every scope, without a terminal too."""

import io
from datetime import timedelta

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.inventory import Certificate, Kind, Scope
from qlrf_pipelines.domain.vocabulary import ListingStatus, Platform
from qlrf_pipelines.operate.progress import ConsoleProgress
from tests.fakes.clock import NOON

SCOPE = Scope(
    tenant=TenantId("acme"),
    connector="main",
    platform=Platform.AWS,
    account="1",
    region="us-east-1",
    kind=Kind.INSTANCE,
)


def certificate(status: ListingStatus, error: str | None = None) -> Certificate:
    return Certificate(
        scope=SCOPE,
        identity="me",
        started_at=NOON,
        finished_at=NOON + timedelta(seconds=2),
        status=status,
        pages=1,
        end_marker=True,
        listed=7,
        error=error,
    )


def test_without_a_terminal_every_scope_is_one_line():
    stream = io.StringIO()

    with ConsoleProgress(stream=stream) as progress:
        progress.planned(SCOPE)
        progress.listed(certificate(ListingStatus.COMPLETE))
        progress.listed(certificate(ListingStatus.DENIED, "[no] permission"))
        progress.said("drift done in 0.1 s")

    assert stream.getvalue().splitlines() == [
        "acme main/1/us-east-1/instance: complete, 7 listed in 2.0 s",
        "acme main/1/us-east-1/instance: denied, 7 listed in 2.0 s ([no] permission)",
        "drift done in 0.1 s",
    ]
