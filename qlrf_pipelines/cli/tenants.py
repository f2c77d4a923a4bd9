"""`qlrf tenants`: who there is, and how one leaves."""

from dataclasses import asdict

import click

from qlrf_pipelines.cli.output import emit_json, emit_rows, json_option, say
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.settings import Settings


@click.group("tenants")
def group() -> None:
    """List tenants, or remove one with its data."""


@group.command("list")
@json_option
@click.pass_obj
def list_command(settings: Settings, *, as_json: bool) -> None:
    """List the tenants the estate declares, and what each declared."""
    from qlrf_pipelines import wiring
    from qlrf_pipelines.services.tenants import list_tenants

    emit_rows(list_tenants(wiring.estate(settings)), as_json=as_json)


@group.command("remove")
@click.argument("name")
@click.option("--confirm", metavar="NAME", help="The tenant's name again, instead of typing it.")
@json_option
@click.pass_obj
def remove_command(settings: Settings, *, name: str, confirm: str | None, as_json: bool) -> None:
    """Remove the tenant NAME: its rows in lake and marts, and its Dagster partition.

    This cannot be undone. The evidence ledger is kept, with the removal as its last entry. The
    contracts in the estate are yours: remove them too, or the next refresh discovers the tenant
    again.
    """
    from qlrf_pipelines import wiring
    from qlrf_pipelines.services.tenants import remove_tenant, require_tenant

    tenant = TenantId(name)
    world = wiring.live(settings)
    require_tenant(world, tenant)
    _confirmed(name, confirm)
    from qlrf_pipelines.operate import partitions  # Dagster takes two seconds to import

    # The partition first: were it last, an interruption would leave it behind, and nothing else
    # by which the tenant could be found again.
    partition = partitions.remove(settings, tenant)
    removal = remove_tenant(world, tenant, wait_seconds=settings.lock_wait_seconds)
    if as_json:
        emit_json({**asdict(removal), "partition_removed": partition})
    else:
        rows = [{"dataset": dataset, "removed": count} for dataset, count in removal.rows.items()]
        emit_rows(rows, as_json=False, title=f"Removed {tenant}", empty=f"Removed {tenant}.")
    say(
        f"Its evidence ledger is kept as proof ({removal.entries_kept} entries, the last of them"
        " this removal);"
        f" see `qlrf evidence export --tenant {tenant} --out {tenant}.zip`."
    )
    if removal.still_declared:
        say(
            f"The estate still declares {tenant}: remove its contracts from {settings.estate},"
            " or the next refresh discovers it again."
        )


def _confirmed(name: str, given: str | None) -> None:
    if given is None:
        say(f"This removes every row of tenant {name}, for good. Its ledger entries are kept.")
        given = click.prompt(f"Type {name} to go on", err=True)
    if given != name:
        raise Refused(f'Tenant {name} was not removed: "{given}" is not its name.')


COMMANDS = {"tenants": group}
