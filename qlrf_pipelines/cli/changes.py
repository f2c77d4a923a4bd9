"""`qlrf changes`: what happened to assets between refreshes, newest first."""

from typing import Any

import click

from qlrf_pipelines import wiring
from qlrf_pipelines.cli.output import emit_rows, json_option, tenant_option
from qlrf_pipelines.domain.datasets import INVENTORY_CHANGES
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.vocabulary import Change
from qlrf_pipelines.settings import Settings

_SHOWN = ("changed_at", "tenant", "change", "asset_id", "name", "region", "reason", "before")
_SHOWN_AFTER = (*_SHOWN, "after")


@click.command("changes")
@tenant_option
@click.option("--asset", help="Only this asset: its id or its key.")
@click.option("--change", type=click.Choice([c.value for c in Change]), help="Only this change.")
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    tenant: tuple[str, ...],
    asset: str | None,
    change: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show what appeared, changed, went missing, came back or was declared gone, newest first."""
    settings: Settings = ctx.obj
    lake = wiring.lake(settings)
    with wiring.engine(settings).session() as session:
        who = tuple(TenantId(t) for t in tenant) or tuple(lake.tenants())
        lake.view(session.connection, INVENTORY_CHANGES, tenants=who)
        found = session.connection.execute(
            "SELECT * FROM inventory_changes WHERE ($asset IS NULL OR $asset IN (asset_id, "
            "asset_key)) AND ($change IS NULL OR change = $change) "
            "ORDER BY changed_at DESC, tenant, asset_key LIMIT $limit",
            {"asset": asset, "change": change, "limit": limit},
        )
        names = [column[0] for column in found.description or ()]
        rows: list[dict[str, Any]] = [
            dict(zip(names, row, strict=True)) for row in found.fetchall()
        ]
    for row in rows:
        if row["change"] == Change.DISCOVERED and not as_json:
            row["after"] = None  # everything about it: too wide for a table
    emit_rows(
        rows,
        as_json=as_json,
        columns=_SHOWN_AFTER,
        title="Changes",
        empty="Nothing changed yet; run `qlrf refresh --all`.",
    )


COMMANDS = {"changes": command}
