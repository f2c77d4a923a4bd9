"""`qlrf resilience`: whether what must survive a lost site was proven to, and when to prove it."""

from collections.abc import Sequence

import click

from qlrf_pipelines.cli.asking import (
    Row,
    among,
    count,
    first,
    house_of,
    matching,
    quoted,
    rows_of,
    say_cut,
)
from qlrf_pipelines.cli.output import emit_rows, json_option, say, tenant_option
from qlrf_pipelines.domain.resilience import NO_DATA, RANKS, SCOPE_TYPES
from qlrf_pipelines.ports.warehouse import Warehouse
from qlrf_pipelines.settings import Settings

_MART = "agg_resilience"
_WHICH = ["tenant", "scope_value", "readiness"]
_STANDS = [*_WHICH, "rto_seconds", "rto_target", "rpo_seconds", "rpo_target"]
_STANDS += ["last_drill_at", "due_at", "reason"]
_COUNTED = [*_WHICH, "status", "applications", "ready", "coverage", "plans", "plans_due"]
_COUNTED += ["plans_overdue", "held_drills", "replication_status", "reason"]
_BOUNDS = [*_WHICH[:2], "drills", "drills_failed", "failure_upper"]
_BOUNDS += [f"{name}_{part}" for name in ("rto", "rpo") for part in
            ("highest", "median_upper", "covered", "trend")]  # fmt: skip
# One number for an application or a plan; of many applications it would say nothing.
_ALONE = ("application", "plan")


@click.command("resilience")
@tenant_option
@click.option("--by", type=click.Choice(SCOPE_TYPES), default="application", show_default=True)
@click.option("--not-ready", is_flag=True, help="Only what is not proven to recover.")
@click.option(
    "--bounds", is_flag=True, help="Show 95 % upper bounds and the trend over all drills instead."
)
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(min=0), help="0 shows all."
)
@json_option
@click.pass_obj
def resilience(
    settings: Settings,
    *,
    tenant: Sequence[str],
    by: str,
    not_ready: bool,
    bounds: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Show how ready each application, plan, pair, site or tenant is to lose a site, worst first.

    Ready means: drilled within its days, recovered within its targets, brought back whole. What
    was not proven is not ready, and where there is no plan nothing is known.
    """
    house = house_of(settings, tenant)
    asked = (among("tenant", tenant), f"scope_type = {quoted(by)}")
    where = matching(*asked, "readiness <> 'ready'" if not_ready else "")
    order = f"{_worst_first()}, tenant, scope_value"
    rows = rows_of(house, f"SELECT * FROM {_MART}{where} ORDER BY {order}{first(limit)}")  # noqa: S608
    judged = count(house, _MART, matching(*asked, f"readiness <> '{NO_DATA}'"))
    columns = _BOUNDS if bounds else _STANDS if by in _ALONE else _COUNTED
    emit_rows(rows, as_json=as_json, columns=columns, empty=_nothing(by, judged))
    say_cut(house, _MART, where, shown=len(rows))
    _unknown(house, tenant)


def _worst_first() -> str:
    """What nobody knows anything about comes last: there is nothing to do about it but plan."""
    words = " ".join(f"WHEN '{word}' THEN {len(RANKS) - rank}" for word, rank in RANKS.items())
    return f"CASE readiness {words} ELSE {len(RANKS) + 1} END"


def _nothing(by: str, judged: int) -> str:
    if judged:
        return f"Each {by} that is planned for is ready."
    return f"Nothing is known of any {by}: no recovery plan was ever judged."


def _unknown(house: Warehouse, tenants: Sequence[str]) -> None:
    """Say which tenants have no plan, so that a short table does not read as if all were well."""
    where = matching(among("tenant", tenants), "scope_type = 'tenant'", f"status = '{NO_DATA}'")
    rows: list[Row] = rows_of(house, f"SELECT tenant FROM {_MART}{where} ORDER BY tenant")  # noqa: S608
    if rows:
        names = ", ".join(row["tenant"] for row in rows[:20])
        more = f" and {len(rows) - 20} more" if len(rows) > 20 else ""
        say(f"No recovery plan, so nothing is known: {names}{more}.")


COMMANDS = {"resilience": resilience}
