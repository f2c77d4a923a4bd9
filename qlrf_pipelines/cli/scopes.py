"""`qlrf scopes`: what was listed, what could not be, and accepting losses."""

import getpass

import click

from qlrf_pipelines import wiring
from qlrf_pipelines.cli.output import emit_json, emit_rows, json_option, say, tenant_option
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.services.acceptance import accept_scope, list_scopes
from qlrf_pipelines.settings import Settings

_SHOWN = ("tenant", "scope_id", "status", "listed", "live", "vanished", "last_complete_at", "error")


@click.group("scopes", invoke_without_command=True)
@tenant_option
@json_option
@click.pass_context
def command(ctx: click.Context, tenant: tuple[str, ...], as_json: bool) -> None:
    """Show the latest certificate of every scope: what was listed, and what could not be."""
    if ctx.invoked_subcommand is not None:
        return
    settings: Settings = ctx.obj
    rows = list_scopes(
        wiring.lake(settings), wiring.engine(settings), tuple(TenantId(t) for t in tenant)
    )
    emit_rows(
        rows,
        as_json=as_json,
        columns=_SHOWN,
        title="Scopes",
        empty="Nothing was listed yet; run `qlrf refresh --all`.",
    )


@command.command("accept")
@click.argument("tenant")
@click.argument("scope_id")
@click.option("--reason", required=True, help="Why the assets that vanished are really gone.")
@json_option
@click.pass_context
def accept(ctx: click.Context, tenant: str, scope_id: str, reason: str, as_json: bool) -> None:
    """Say that what a held or abandoned scope lacks is really gone; the next refresh acts on it."""
    settings: Settings = ctx.find_root().obj
    acceptance = accept_scope(
        wiring.live(settings),
        TenantId(tenant),
        scope_id,
        reason=reason,
        by=getpass.getuser(),
        lock_wait=settings.lock_wait_seconds,
    )
    if as_json:
        emit_json(
            {
                "tenant": tenant,
                "scope_id": acceptance.scope_id,
                "accepted_at": acceptance.accepted_at,
                "accepted_by": acceptance.accepted_by,
                "reason": acceptance.reason,
            }
        )
    else:
        say(f"Accepted. The next refresh of {tenant} declares the missing assets gone.")


COMMANDS = {"scopes": command}
