"""Finding what somebody names by the beginning of its id, whichever tenant it belongs to."""

from collections.abc import Callable, Collection, Iterable
from typing import TYPE_CHECKING, Any

import click

from qlrf_pipelines.domain.errors import NotFound, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.settings import Settings

if TYPE_CHECKING:
    from qlrf_pipelines.ports.world import World


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


def tenants_named(
    settings: Settings, named: Iterable[str], having: Collection[TenantId]
) -> list[TenantId]:
    """The tenants a list is asked for; without names, those that have something.

    Raises:
        NotFound: one that was named has nothing, and no contract declares it.
    """
    from qlrf_pipelines import wiring

    wanted = [TenantId(name) for name in named]
    for strange in [one for one in wanted if one not in having]:
        declared(wiring.live(settings), settings, strange)
    return wanted or list(having)


def declared(world: "World", settings: Settings, tenant: str) -> None:
    """Make sure that there is such a tenant, where an estate says which there are.

    Raises:
        NotFound: no contract declares it.
        Rejected: it has no name.
    """
    if not tenant.strip():
        raise Rejected("--tenant names nobody; see `qlrf tenants list`.")
    if not settings.estate.is_dir():
        return  # approvals need no estate, and nothing else knows the tenants then
    if tenant not in {one.name for one in world.estate.load().tenants}:
        raise NotFound(f"No contract declares tenant {tenant}; see `qlrf tenants list`.")
