"""`qlrf patches`: what patch policies promised, what is due, and what is late; soonest first."""

from collections.abc import Sequence
from datetime import datetime, timedelta

import click

from qlrf_pipelines import wiring
from qlrf_pipelines.cli.asking import (
    among,
    count,
    first,
    house_of,
    known,
    matching,
    rows_of,
    say_cut,
)
from qlrf_pipelines.cli.output import emit_rows, json_option, say, tenant_option
from qlrf_pipelines.domain.drift import HEALTHY_FROM, WARNING_FROM
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.patch_sla import BREACHING_PART, SlaStatus
from qlrf_pipelines.domain.vocabulary import Severity
from qlrf_pipelines.ports.warehouse import Warehouse
from qlrf_pipelines.settings import Settings

_LISTED = (SlaStatus.BREACHED, SlaStatus.BREACHING, SlaStatus.DUE)
_COLUMNS = ["tenant", "asset_key", "name", "environment", "policy", "severity", "measured_by"]
_COLUMNS += ["missing", "since", "due_at", "within_seconds", "reason", "as_of"]
_KEPT = (SlaStatus.MET, SlaStatus.DUE, SlaStatus.BREACHING)
_PROMISE = "tenant, policy, severity, measured_by, within_seconds"
_SHOWN = ["tenant", "name", "environment", "policy", "severity", "status", "missing", "since"]
_SHOWN += ["due_at", "left", "reason"]
_STANDS = ["tenant", "policy", "severity", "within", "assets", "met", "due", "breaching"]
_STANDS += ["breached", "unknown", "kept", "status", "first_due_at", "as_of"]


@click.command("patches")
@tenant_option
@click.option("--policy", multiple=True, help="Only this patch policy; may be repeated.")
@click.option("--severity", multiple=True, type=click.Choice([str(s) for s in Severity]))
@click.option(
    "--status",
    multiple=True,
    type=click.Choice([str(s) for s in SlaStatus]),
    help="Only this status (default: due, breaching and breached).",
)
@click.option("--by-policy", is_flag=True, help="Show how each promise stands instead.")
@click.option(
    "--limit", default=50, show_default=True, type=click.IntRange(min=0), help="0 shows all."
)
@json_option
@click.pass_obj
def patches(
    settings: Settings,
    *,
    tenant: Sequence[str],
    policy: Sequence[str],
    severity: Sequence[str],
    status: Sequence[str],
    by_policy: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List what patch policies promised and active assets still lack, what is due soonest first.

    Breached is past its date; breaching has less than a quarter of its time left. What nobody
    could judge lately is unknown: it is counted below the list, and never as met.
    """
    if by_policy and status:
        raise click.UsageError("Choose one of --by-policy and --status.")
    house = house_of(settings, tenant)
    for name in policy:
        known(house, "agg_patch_sla", "policy", name)
    asked = (among("tenant", tenant), among("policy", policy), among("severity", severity))
    now = wiring.clock().now()
    if by_policy:
        _show_promises(house, promises(now), matching(*asked), limit=limit, as_json=as_json)
        return
    mart = standing(now)
    where = matching(*asked, among("status", status or [str(s) for s in _LISTED]))
    order = "due_at NULLS LAST, tenant, name, asset_key, policy, severity"
    rows = rows_of(house, f"SELECT * FROM {mart}{where} ORDER BY {order}{first(limit)}")  # noqa: S608  quoted below
    emit_rows(
        rows if as_json else [row | {"left": _left(row["due_at"], now)} for row in rows],
        as_json=as_json,
        columns=_SHOWN,
        empty=_nothing(count(house, mart, matching(*asked))),
    )
    say_cut(house, mart, where, shown=len(rows))
    if SlaStatus.UNKNOWN not in status:
        _unknown(house, mart, asked)


def standing(now: datetime) -> str:
    """The promises about active assets, as they stand now and not when they were judged."""
    moment = f"TIMESTAMPTZ '{iso(now)}'"
    age = f"extract(epoch FROM {moment} - s.as_of)"
    left = f"extract(epoch FROM s.due_at - {moment})"
    return f"""(
SELECT {", ".join(f"s.{name}" for name in _COLUMNS)},
       CASE WHEN {age} > coalesce(t.stale_after_hours, 0) * 3600 THEN '{SlaStatus.UNKNOWN}'
            WHEN s.status IN ('{SlaStatus.MET}', '{SlaStatus.UNKNOWN}') THEN s.status
            WHEN {left} <= 0 THEN '{SlaStatus.BREACHED}'
            WHEN {BREACHING_PART} * {left} < s.within_seconds THEN '{SlaStatus.BREACHING}'
            ELSE '{SlaStatus.DUE}' END AS status
FROM fct_patch_sla s JOIN dim_tenant t ON t.tenant = s.tenant
WHERE s.active) AS standing"""  # noqa: S608  words of our own


def promises(now: datetime) -> str:
    """How each promise stands now: the mart `agg_patch_sla`, counted again over `standing`.

    A promise nobody judged keeps its row, and is no_data.
    """
    late = ", ".join(f"'{one}'" for one in _LISTED)
    counts = ", ".join(
        f"count(CASE WHEN standing.status = '{one}' THEN 1 END) AS {one}" for one in SlaStatus
    )
    kept = f"cast({' + '.join(_KEPT)} AS double precision) / nullif(assets, 0)"
    overdue = (
        f"standing.status = '{SlaStatus.UNKNOWN}' AND standing.due_at <= TIMESTAMPTZ '{iso(now)}'"
    )
    return f"""(
SELECT {_PROMISE}, assets, {", ".join(SlaStatus)}, unknown_overdue, {kept} AS kept,
       CASE WHEN {kept} IS NULL THEN 'no_data' WHEN {kept} >= {HEALTHY_FROM} THEN 'healthy'
            WHEN {kept} >= {WARNING_FROM} THEN 'warning' ELSE 'critical' END AS status,
       first_due_at, as_of
FROM (
  SELECT {", ".join(f"p.{name}" for name in _PROMISE.split(", "))}, {counts},
         count(standing.asset_key) AS assets,
         count(CASE WHEN {overdue} THEN 1 END) AS unknown_overdue,
         min(CASE WHEN standing.status IN ({late}) THEN standing.due_at END) AS first_due_at,
         min(standing.as_of) AS as_of
  FROM agg_patch_sla p LEFT JOIN {standing(now)}
    ON standing.tenant = p.tenant AND standing.policy = p.policy
   AND standing.severity = p.severity
  GROUP BY {", ".join(f"p.{name}" for name in _PROMISE.split(", "))}
) AS counted) AS promises"""  # noqa: S608  words of our own


def _show_promises(house: Warehouse, mart: str, where: str, *, limit: int, as_json: bool) -> None:
    order = "kept NULLS LAST, first_due_at NULLS LAST, tenant, policy, severity"
    sql = f"SELECT * FROM {mart}{where} ORDER BY {order}{first(limit)}"  # noqa: S608
    rows = rows_of(house, sql)
    emit_rows(
        rows
        if as_json
        else [row | {"within": _span(timedelta(seconds=row["within_seconds"]))} for row in rows],
        as_json=as_json,
        columns=_STANDS,
        empty="No patch policy promises anything here.",
    )
    say_cut(house, mart, where, shown=len(rows))


def _nothing(judged: int) -> str:
    if judged:
        return f"None of {judged} promises stands so."
    return "Nothing was judged: no patch policy is about any active asset, or none was refreshed."


def _unknown(house: Warehouse, mart: str, asked: Sequence[str]) -> None:
    """Say what nobody knows, so that a short list does not read as if all were patched."""
    where = matching(*asked, among("status", [SlaStatus.UNKNOWN.value]))
    rows = rows_of(
        house,
        f"SELECT tenant, count(*) AS n FROM {mart}{where} GROUP BY tenant ORDER BY tenant",  # noqa: S608
    )
    for row in rows:
        promises = "promise" if row["n"] == 1 else "promises"
        say(
            f"{row['tenant']}: {row['n']} {promises} of which nobody knows whether they are kept "
            f"(`qlrf patches -t {row['tenant']} --status unknown`)."
        )


def _left(due_at: datetime | None, now: datetime) -> str | None:
    if due_at is None:
        return None
    return f"{_span(due_at - now)} left" if due_at > now else f"{_span(now - due_at)} late"


def _span(span: timedelta) -> str:
    minutes = int(span.total_seconds()) // 60
    if minutes < 60:
        return f"{minutes} min"
    hours = minutes // 60
    if hours < 24:
        return f"{hours} h"
    return f"{hours // 24} d" + (f" {hours % 24} h" if hours % 24 else "")


COMMANDS = {"patches": patches}
