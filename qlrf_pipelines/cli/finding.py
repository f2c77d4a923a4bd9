"""Finding what somebody names by the beginning of its id, whichever tenant it belongs to."""

from collections.abc import Callable, Iterable
from typing import Any

import click

from qlrf_pipelines.domain.estate import TenantId


def named_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the argument WHAT and the option of its tenant to a command."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        named = click.argument(what)(function)
        text = f"The {what}'s tenant; found by itself if left out."
        return click.option("--tenant", "-t", help=text)(named)

    return decorate


def tenant_having(
    tenant: str | None, known: Iterable[TenantId], has: Callable[[TenantId], object]
) -> TenantId:
    """The tenant that was named, or the only one that has it.

    If none or several do, the answer names them, so that looking there fails with their names.
    """
    tenants = [TenantId(tenant)] if tenant else list(known)
    found = [one for one in tenants if has(one)]
    return found[0] if len(found) == 1 else TenantId(tenant or ", ".join(found) or "any")
