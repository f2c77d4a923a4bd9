"""`qlrf assets | drift | compliance | risk`: the marts' usual questions, asked for you."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from qlrf_pipelines.cli.asking import (
    Row,
    among,
    count,
    first,
    house_of,
    known,
    matching,
    quoted,
    rows_of,
    say_cut,
)
from qlrf_pipelines.cli.output import emit_rows, json_option, say, tenant_option
from qlrf_pipelines.domain.vocabulary import COVERED_VERDICTS, DriftVerdict, Environment
from qlrf_pipelines.ports.warehouse import Warehouse
from qlrf_pipelines.settings import Settings

_SCOPE_TYPES = ["tenant", "environment", "platform", "region", "site", "family"]
_ASSET = ["tenant", "name", "environment", "region", "family", "version", "approved_version"]
_limit = click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(min=0), help="0 shows all."
)


@click.command("assets")
@tenant_option
@click.option("--environment", type=click.Choice([str(e) for e in Environment]))
@click.option("--region")
@click.option("--verdict", type=click.Choice([str(v) for v in DriftVerdict]), multiple=True)
@click.option("--family", help="Image family.")
@_limit
@json_option
@click.pass_obj
def assets(
    settings: Settings,
    *,
    tenant: Sequence[str],
    environment: str | None,
    region: str | None,
    verdict: Sequence[str],
    family: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List live assets, worst drift first; what was not seen by the last listing is stale."""
    house = house_of(settings, tenant)
    where = matching(
        among("tenant", tenant),
        among("environment", [environment] if environment else []),
        among("region", [region] if region else []),
        among("drift_verdict", verdict),
        among("family", [family] if family else []),
    )
    order = "drift_score DESC, tenant, name, asset_key"
    rows = rows_of(house, f"SELECT * FROM fct_assets{where} ORDER BY {order}{first(limit)}")  # noqa: S608  quoted below
    emit_rows(
        [row | {"seen": _seen(row)} for row in rows] if not as_json else rows,
        as_json=as_json,
        columns=[*_ASSET, "drift_verdict", "drift_score", "risk_level", "risk_score", "seen"],
        empty="No live asset matches.",
    )
    say_cut(house, "fct_assets", where, shown=len(rows))
    _unseen(house, tenant)


@click.command("drift")
@tenant_option
@click.option("--by", type=click.Choice(_SCOPE_TYPES), default="tenant", show_default=True)
@click.option("--offenders", is_flag=True, help="Show the most drifted assets instead.")
@click.option("--days", type=click.IntRange(min=1), help="Show this many days of history instead.")
@_limit
@json_option
@click.pass_obj
def drift(
    settings: Settings,
    *,
    tenant: Sequence[str],
    by: str,
    offenders: bool,
    days: int | None,
    limit: int,
    as_json: bool,
) -> None:
    """Show coverage per scope, the worst offenders, or how coverage moved."""
    if offenders and days:
        raise click.UsageError("Choose one of --offenders and --days.")
    house = house_of(settings, tenant)
    asked = among("tenant", tenant)
    if offenders:
        covered = ", ".join(quoted(str(verdict)) for verdict in COVERED_VERDICTS)
        where = matching(asked, "active", f"drift_verdict NOT IN ({covered})")
        table, order = "fct_assets", "drift_score DESC, drifted_since, tenant, name, asset_key"
        shown = [*_ASSET, "drift_verdict", "drift_score", "versions_behind", "days_behind"]
        shown += ["drifted_since", "drift_reason"]
    else:
        where = matching(asked, f"scope_type = {quoted(by)}", _since(days))
        table = "agg_drift_daily" if days else "agg_drift_scope"
        order = "tenant, scope_value, day" if days else "tenant, coverage, scope_value"
        shown = ["tenant", "scope_value", "total", "current", "drifted", "coverage", "managed"]
        shown = [*(["day"] if days else []), *shown, "status"]
    rows = rows_of(house, f"SELECT * FROM {table}{where} ORDER BY {order}{first(limit)}")  # noqa: S608
    judged = count(house, "fct_assets", matching(asked, "active")) if offenders else 0
    empty = f"None of {judged} active assets has drifted." if judged else "Nothing was measured."
    emit_rows(rows, as_json=as_json, columns=shown, empty=empty)
    say_cut(house, table, where, shown=len(rows))
    _unseen(house, tenant)


@click.command("compliance")
@tenant_option
@click.option("--framework", help="Show the requirements of this framework.")
@click.option("--control", help="Show the results of this control.")
@click.option("--failing", is_flag=True, help="Only what failed or could not be proven.")
@_limit
@json_option
@click.pass_obj
def compliance(
    settings: Settings,
    *,
    tenant: Sequence[str],
    framework: str | None,
    control: str | None,
    failing: bool,
    limit: int,
    as_json: bool,
) -> None:
    """Show how each framework stands, its requirements, or a control's results."""
    if framework and control:
        raise click.UsageError("Choose one of --framework and --control.")
    house = house_of(settings, tenant)
    asked = among("tenant", tenant)
    bad = "verdict IN ('fail', 'never_proven')" if failing else ""
    if control:
        known(house, "dim_control", "control_id", control)
        table, order = "fct_control_results", "tenant, verdict, asset_key"
        where = matching(asked, f"control_id = {quoted(control)}", bad)
        shown = ["tenant", "control_id", "asset_key", "severity", "verdict", "detail"]
    elif framework:
        known(house, "bridge_control_framework", "framework", framework)
        table, order = "agg_compliance_requirement", "tenant, requirement"
        where = matching(asked, f"framework = {quoted(framework)}", bad)
        shown = ["tenant", "requirement", "title", "verdict", "passed", "failed", "never_proven"]
    else:
        table, order = "agg_compliance_framework", "tenant, framework"
        where = matching(asked, "status <> 'healthy'" if failing else "")
        shown = ["tenant", "framework", "requirements_total", "requirements_met"]
        shown += ["requirements_unmet", "requirements_never_proven", "requirements_manual"]
        shown += ["score", "coverage", "status"]
    rows = rows_of(house, f"SELECT * FROM {table}{where} ORDER BY {order}{first(limit)}")  # noqa: S608
    judged = count(house, "fct_control_results", matching(asked)) if failing else 0
    empty = "Nothing fails and nothing is unproven." if judged else "Nothing was judged."
    emit_rows(rows, as_json=as_json, columns=shown, empty=empty)
    say_cut(house, table, where, shown=len(rows))
    _unseen(house, tenant)


@click.command("risk")
@tenant_option
@click.option("--top", default=20, show_default=True, type=click.IntRange(min=1))
@json_option
@click.pass_obj
def risk(settings: Settings, *, tenant: Sequence[str], top: int, as_json: bool) -> None:
    """Show the riskiest assets, every factor of their score, and what was not assessed."""
    house = house_of(settings, tenant)
    where = matching(among("tenant", tenant))
    order = "risk_score DESC, tenant, name, asset_key"
    rows = rows_of(house, f"SELECT * FROM fct_assets{where} ORDER BY {order}{first(top)}")  # noqa: S608
    factors = ["risk_drift", "risk_critical_vulnerabilities", "risk_open_vulnerabilities"]
    factors += ["risk_noncompliance", "risk_exposure", "risk_environment_factor"]
    titles = {factor: factor.removeprefix("risk_").replace("_", " ") for factor in factors}
    emit_rows(
        rows
        if as_json
        else [row | {titles[factor]: row[factor] for factor in factors} for row in rows],
        as_json=as_json,
        columns=[*_ASSET[:3], "risk_score", "risk_level", *titles.values(), "not_assessed"],
        empty="There is no live asset.",
    )
    _unseen(house, tenant)


def _unseen(house: Warehouse, tenants: Sequence[str]) -> None:
    """Say what nobody could look at, so that no table reads as if everything had been seen."""
    where = matching(among("tenant", tenants), "status <> 'complete'")
    rows = rows_of(
        house,
        "SELECT tenant, count(*) AS scopes, max(last_complete_at) AS seen "  # noqa: S608
        f"FROM fct_scope_certificates{where} GROUP BY tenant ORDER BY tenant",
    )
    for row in rows:
        say(
            f"{row['tenant']}: {row['scopes']} scope{'' if row['scopes'] == 1 else 's'} could not "
            "be read completely at the last attempt; what they hold is stale "
            f"(`qlrf scopes -t {row['tenant']}`)."
        )


def _seen(row: Row) -> str:
    return "fresh" if row["fresh"] else "stale"


def _since(days: int | None) -> str:
    # The newest measured day counts as the last one: history is shown even if nothing ran today.
    newest = "(SELECT max(day) FROM agg_drift_daily)"
    return f"day > {newest} - {days}" if days else ""


COMMANDS: dict[str, Callable[..., Any]] = {
    "assets": assets,
    "drift": drift,
    "compliance": compliance,
    "risk": risk,
}
