"""Whoever names a thing by its id alone is told where it is, or that it is nowhere."""

import pytest

from qlrf_pipelines.cli.finding import tenant_having
from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.domain.estate import TenantId

ACME, BETA = TenantId("acme"), TenantId("beta")


def where(*having: TenantId, tenant: str | None = None) -> TenantId:
    return tenant_having(
        "task", "1k", tenant=tenant, known=[ACME, BETA], has=lambda one: one in having
    )


def test_the_only_tenant_that_has_it_is_found() -> None:
    assert where(BETA) == BETA


def test_a_tenant_that_was_named_is_not_searched_for() -> None:
    assert where(BETA, tenant="acme") == ACME


def test_what_nobody_has_is_said_with_the_command_that_lists() -> None:
    with pytest.raises(NotFound, match="No tenant has a task 1k; see `qlrf tasks list`"):
        where()


def test_what_several_have_asks_for_one_of_them() -> None:
    with pytest.raises(NotFound, match="say --tenant acme or beta"):
        where(ACME, BETA)
