"""`qlrf drills`: ask for a drill, watch it, stop it, sign its steps, and read what it proved.

The command line trusts whoever may use this machine: `--as` and `--role` are believed, and kept.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qlrf_pipelines.cli import drill_text
from qlrf_pipelines.cli.drill_files import report_document, write_report
from qlrf_pipelines.cli.finding import named_option, tenant_having, tenants_named
from qlrf_pipelines.cli.output import (
    emit_json,
    emit_rows,
    json_option,
    limit_option,
    say,
    tenant_option,
)
from qlrf_pipelines.cli.people import Who, person_options, reason_option
from qlrf_pipelines.domain.drills import DrillEvent, Outcome, Phase
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.recovery_plans import DrillType
from qlrf_pipelines.settings import Settings

if TYPE_CHECKING:
    from qlrf_pipelines.domain.drills import Drill, DrillRecord
    from qlrf_pipelines.ports.world import World

LOOK_SECONDS = 1.0


def _world(settings: Settings) -> "World":
    from qlrf_pipelines import wiring

    return wiring.live(settings)


_one = named_option("drill")


def _find(world: "World", tenant: str | None, drill: str) -> "DrillRecord":
    from qlrf_pipelines.services import drills

    stored = world.drills
    where = tenant_having(
        "drill",
        drill,
        tenant=tenant,
        known=stored.tenants(),
        has=lambda one: stored.list(one, prefix=drill, limit=1),
    )
    return drills.find_drill(world, where, drill)


def _said(drill: "Drill", *, as_json: bool) -> None:
    if as_json:
        emit_json(drill_text.drill_facts(drill))
    else:
        click.echo(f"Drill {drill.id} of {drill.application} is in {drill.phase}.")


@click.group("drills")
def group() -> None:
    """Prove that an application survives the loss of its site, with measured RTO and RPO.

    The command line believes who you say you are (--as, --role): keep it to people you trust.
    """


@group.command("list")
@tenant_option
@click.option("--open", "open_only", is_flag=True, help="Only drills that are not closed.")
@limit_option
@json_option
@click.pass_obj
def list_command(
    settings: Settings, tenant: tuple[str, ...], open_only: bool, limit: int, as_json: bool
) -> None:
    """List drills, newest first."""
    from qlrf_pipelines import wiring

    kept = wiring.drills(settings)
    names = tenants_named(settings, tenant, kept.tenants())
    rows = [
        row
        for name in names
        for row in drill_text.rows_of(kept.list(name, open_only=open_only, limit=limit))
    ]
    emit_rows(rows, as_json=as_json, columns=drill_text.COLUMNS, empty="There is no drill.")


@group.command("due")
@tenant_option
@click.option("--all", "everything", is_flag=True, help="Also plans that are fresh or never due.")
@json_option
@click.pass_obj
def due(settings: Settings, tenant: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """List recovery plans that must be drilled."""
    from qlrf_pipelines.services import drills

    world = _world(settings)
    plans = world.estate.load().recovery
    names = sorted({TenantId(p.tenant) for p in plans if not tenant or p.tenant in tenant})
    found = drills.due_drills(world, names)
    rows = [drill_text.due_facts(one) for one in found if everything or one.due]
    emit_rows(rows, as_json=as_json, columns=drill_text.DUE_COLUMNS, empty="No drill is due.")


@group.command("start")
@click.argument("plan")
@click.option("--tenant", "-t", required=True, help="Whose plan it is.")
@click.option(
    "--type",
    "kind",
    type=click.Choice([t.value for t in DrillType]),
    help="Another type than the plan's.",
)
@click.option("--member", multiple=True, help="partial: a member that moves; may be repeated.")
@person_options
@json_option
def start(
    settings: Settings,
    who: Who,
    plan: str,
    tenant: str,
    kind: str | None,
    member: tuple[str, ...],
    as_json: bool,
) -> None:
    """Ask for a drill of PLAN; `qlrf up` runs it, and others approve it before it touches.

    A full or partial drill of production takes production away from its users: only an admin asks
    for one, and two other admins agree.
    """
    from qlrf_pipelines.services import drills

    drill = drills.start_drill(
        _world(settings),
        TenantId(tenant),
        plan,
        by=who.name,
        role=who.role,
        type_=DrillType(kind) if kind else None,
        only=member,
    )
    _said(drill, as_json=as_json)
    say(f"Watch it: qlrf drills watch {drill.id}. It waits for approval: qlrf tasks list.")


@group.command("show")
@_one
@json_option
@click.pass_obj
def show(settings: Settings, drill: str, tenant: str | None, as_json: bool) -> None:
    """Show a drill: its targets, what was measured, what moved, and when."""
    record = _find(_world(settings), tenant, drill)
    if as_json:
        emit_json(drill_text.record_facts(record))
    else:
        click.echo(drill_text.shown(record))


@group.command("watch")
@_one
@json_option
@click.pass_obj
def watch(settings: Settings, drill: str, tenant: str | None, as_json: bool) -> int:
    """Follow a drill until it is closed, held, or waits for somebody; with --json, at the end."""
    world = _world(settings)
    record = _find(world, tenant, drill)
    told = 0
    while True:
        rows = drill_text.timeline(record)
        for row in rows[told:]:
            say(f"{row['at']:%H:%M:%S}  {row['phase']:<18} {row['what']:<12} {row['detail']}")
        told = len(rows)
        own = record.drill
        if own.phase in (Phase.CLOSED, Phase.HELD) or own.waiting:
            break
        time.sleep(LOOK_SECONDS)
        record = world.drills.get(own.tenant, own.id)
    if as_json:
        emit_json(drill_text.record_facts(record))
    else:
        click.echo(drill_text.shown(record))
    return _code(record)


@group.command("report")
@_one
@click.option("--pdf", type=click.Path(path_type=Path, dir_okay=False), help="Write it as a PDF.")
@click.option("--force", is_flag=True, help="Replace the PDF if it exists.")
@json_option
@click.pass_obj
def report(
    settings: Settings,
    *,
    drill: str,
    tenant: str | None,
    pdf: Path | None,
    force: bool,
    as_json: bool,
) -> int:
    """Print what a drill proved; exit code 1 if it did not pass or a target was not met.

    With --pdf or --json the evidence of a closed drill is sealed in the ledger the first time.
    """
    world = _world(settings)
    record = _find(world, tenant, drill)
    if record.drill.result is None and pdf is None:
        say(f"Drill {record.drill.id} is in {record.drill.phase}; it has proven nothing yet.")
        if as_json:
            emit_json(None)
        return _code(record)
    if pdf is not None:
        write_report(world, record, pdf, force=force)
        say(f"Wrote {pdf}.")
    if as_json:
        emit_json(report_document(world, record))
    elif pdf is None and record.drill.result is not None:
        click.echo(f"Drill {record.drill.id} of {record.drill.application}: {record.drill.outcome}")
        click.echo("\n".join(drill_text.result_lines(record.drill.result)))
    return _code(record)


def _code(record: "DrillRecord") -> int:
    """0 if it passed and met its targets, 3 while people have to do something, else 1."""
    drill = record.drill
    if drill.waiting:
        return 3
    result = drill.result or {}
    verdicts = [
        result.get(name, {}).get("verdict")
        for name in ("rto", "rpo")
        if result.get(name, {}).get("target") is not None
    ]
    good = drill.outcome is Outcome.PASSED and drill.phase is Phase.CLOSED
    if drill.type is DrillType.TABLETOP:
        return 0 if good else 1
    return 0 if good and all(verdict == "met" for verdict in verdicts) else 1


@group.command("abort")
@_one
@reason_option("Why; it is kept.")
@person_options
@json_option
def abort(
    settings: Settings, who: Who, drill: str, tenant: str | None, reason: str, as_json: bool
) -> None:
    """Stop a drill: nothing more fails over, and what moved is brought back."""
    from qlrf_pipelines.services import drills

    world = _world(settings)
    found = _find(world, tenant, drill).drill
    stopped = drills.abort_drill(
        world, found.tenant, found.id, by=who.name, role=who.role, reason=reason
    )
    _said(stopped, as_json=as_json)


@group.command("sign")
@_one
@click.option("--step", required=True, help="The manual step of the runbook.")
@click.option("--note", default="", help="What was done.")
@person_options
@json_option
def sign(
    settings: Settings,
    who: Who,
    drill: str,
    tenant: str | None,
    step: str,
    note: str,
    as_json: bool,
) -> None:
    """Sign a manual step of the runbook; the drill goes on when all of its phase are signed."""
    from qlrf_pipelines.services import drills

    world = _world(settings)
    found = _find(world, tenant, drill).drill
    done = drills.sign_step(
        world, found.tenant, found.id, step=step, by=who.name, role=who.role, note=note
    )
    _said(done, as_json=as_json)


def _answer(
    settings: Settings,
    who: Who,
    drill: str,
    tenant: str | None,
    reason: str,
    as_json: bool,
    *,
    event: DrillEvent,
) -> None:
    from qlrf_pipelines.services import drills

    world = _world(settings)
    found = _find(world, tenant, drill).drill
    gone = drills.answer_held(
        world, found.tenant, found.id, event, by=who.name, role=who.role, reason=reason
    )
    _said(gone, as_json=as_json)


def _held_command(name: str, event: DrillEvent, text: str) -> click.Command:
    chosen: Callable[..., Any] = partial(_answer, event=event)

    @click.command(name, help=text)
    @_one
    @reason_option("Why; it is kept.")
    @person_options
    @json_option
    def held(settings: Settings, who: Who, **given: Any) -> None:  # noqa: ANN401
        chosen(settings, who, **given)

    return held


group.add_command(
    _held_command(
        "resume",
        DrillEvent.RESUMED,
        "Send a held drill on its way back once more, after mending what held it.",
    )
)
group.add_command(
    _held_command(
        "release",
        DrillEvent.RELEASED,
        "Close a held drill whose members an admin has brought back by hand.",
    )
)

COMMANDS: Mapping[str, click.Command] = {"drills": group}
