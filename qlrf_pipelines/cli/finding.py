"""Finding what somebody names by the beginning of its id, whichever tenant it belongs to."""

from collections.abc import Callable, Iterable
from typing import Any

import click

from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.domain.estate import TenantId


def named_option(what: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Add the argument WHAT and the option of its tenant to a command."""

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        named = click.argument(what)(function)
        text = f"The {what}'s tenant; found by itself if left out."
        return click.option("--tenant", "-t", help=text)(named)

    return decorate


def tenant_having(
    what: str,
    named: str,
    *,
    tenant: str | None,
    known: Iterable[TenantId],
    has: Callable[[TenantId], object],
) -> TenantId:
    """The tenant that was named, or the only one that has a `what` whose id begins with `named`.

    Raises:
        NotFound: no tenant was named, and none or several have one.
    """
    if tenant:
        return TenantId(tenant)
    found = [one for one in known if has(one)]
    if len(found) == 1:
        return found[0]
    if found:
        raise NotFound(f"{what} {named} is of several tenants: say --tenant {' or '.join(found)}.")
    raise NotFound(f"No tenant has a {what} {named}; see `qlrf {what}s list`.")
