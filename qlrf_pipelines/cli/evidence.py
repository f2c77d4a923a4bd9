"""`qlrf evidence`: verify the ledger or a pack, export a pack."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qlrf_pipelines.cli.output import emit_json, emit_rows, json_option, say, tenant_option
from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected, Tampered
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.settings import Settings

if TYPE_CHECKING:
    from qlrf_pipelines.ports.world import World

_COLUMNS = ("tenant", "status", "entries", "as_of", "assets", "head_hash")


@click.group()
def evidence() -> None:
    """Export and verify the evidence ledger."""


@evidence.command()
@tenant_option
@click.option(
    "--pack",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Verify this exported pack, offline, instead of the ledger.",
)
@json_option
@click.pass_obj
def verify(settings: Settings, tenant: tuple[str, ...], pack: Path | None, as_json: bool) -> int:
    """Check that evidence is what it was when it was written.

    Without --pack: every tenant's chain, and the newest results in the lake against it. Exits with
    1 if anything does not match, or if a tenant has no evidence though it was named.
    """
    if pack is not None and tenant:
        raise Rejected("--pack is about the pack's own tenant; leave --tenant out.")
    rows = [_verify_pack(pack)] if pack is not None else _verify_ledgers(settings, tenant)
    emit_rows(
        rows,
        as_json=as_json,
        columns=_COLUMNS,
        title="Evidence",
        empty="No tenant is known, so there is nothing to verify.",
    )
    wrong = [row for row in rows if row["status"] not in ("verified", "nothing assessed")]
    for row in wrong:
        say(f"{row['status']}: {row['why']}")
    return 1 if wrong else 0


@evidence.command()
@click.option("--tenant", "-t", required=True, help="The tenant whose evidence to export.")
@click.option(
    "--out", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The zip file."
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
@json_option
@click.pass_obj
def export(settings: Settings, tenant: str, out: Path, force: bool, as_json: bool) -> None:
    """Write a tenant's ledger and newest assessment into one file an auditor can verify."""
    from qlrf_pipelines import wiring
    from qlrf_pipelines.services.evidence import export_pack

    proof = export_pack(wiring.live(settings), TenantId(tenant), out, force=force)
    if as_json:
        emit_json({"pack": str(out), **asdict(proof)})
        return
    say(f"Wrote {out}: {proof.entries} ledger entries, {proof.assets} assets, as of {proof.as_of}.")
    say(f"Head of the chain: {proof.head_hash}")
    say(f"Verify it anywhere: qlrf evidence verify --pack {out}")


def _verify_pack(pack: Path) -> Mapping[str, Any]:
    from qlrf_pipelines.services.evidence import verify_pack

    return {"status": "verified", **asdict(verify_pack(pack))}


def _verify_ledgers(settings: Settings, named: tuple[str, ...]) -> list[Mapping[str, Any]]:
    from qlrf_pipelines import wiring

    world = wiring.live(settings)
    if named:
        return [ledger_row(world, TenantId(name), named=True) for name in named]
    known = {tenant.name for tenant in world.estate.load().tenants} | set(world.lake.tenants())
    return [ledger_row(world, tenant, named=False) for tenant in sorted(known)]


def ledger_row(world: "World", tenant: TenantId, *, named: bool) -> Mapping[str, Any]:
    """What `verify` shows of one tenant; one tenant's trouble does not hide the others."""
    from qlrf_pipelines.services.evidence import verify_ledger

    try:
        return {"status": "verified", **asdict(verify_ledger(world, tenant))}
    except NotFound as error:
        status = "no evidence" if named else "nothing assessed"
        return {"tenant": tenant, "status": status, "why": str(error)}
    except Refused as error:
        return {"tenant": tenant, "status": "no evidence", "why": str(error)}
    except Tampered as error:
        return {"tenant": tenant, "status": "tampered", "why": str(error)}


COMMANDS = {"evidence": evidence}
