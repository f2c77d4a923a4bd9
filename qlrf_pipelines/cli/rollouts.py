"""`qlrf rollouts`: what is being changed right now, and steering it."""

import os
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

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
from qlrf_pipelines.cli.rollout_text import (
    asset_facts,
    fitted,
    headline,
    progress_line,
    rollout_facts,
    shown,
)
from qlrf_pipelines.domain.errors import NotFound
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.rollout import ENDED, WAITS_FOR_HUMAN, Rollout, RolloutState
from qlrf_pipelines.domain.rollout_plan import read_plan
from qlrf_pipelines.domain.tasks import RUNNING
from qlrf_pipelines.settings import Settings

if TYPE_CHECKING:
    from qlrf_pipelines.ports.world import World

_COLUMNS = ("tenant", "rollout", "state", "environment", "phase", "assets", "reason", "changed_at")
_LOOK_SECONDS = 60.0


def _world(settings: Settings) -> "World":
    from qlrf_pipelines import wiring

    return wiring.live(settings)


_one = named_option("rollout")


def _find(world: "World", tenant: str | None, rollout: str) -> Rollout:
    from qlrf_pipelines.services.rollouts import find_rollout

    stored = world.rollouts
    try:
        where = tenant_having(
            "rollout",
            rollout,
            tenant=tenant,
            known=world.tasks.tenants(),
            has=lambda one: stored.find(one, prefix=rollout),
        )
        return find_rollout(world, where, rollout)
    except NotFound as error:
        if (told := _not_begun(world, tenant, rollout)) is not None:
            raise told from error
        raise


def _not_begun(world: "World", tenant: str | None, named: str) -> NotFound | None:
    """What to say of a task that has no rollout, which bears the same id; None if there is none."""
    tenants = [TenantId(tenant)] if tenant else world.tasks.tenants()
    found = [task for one in tenants if named for task in world.tasks.find(one, prefix=named)]
    if len(found) != 1 or found[0].state in RUNNING:
        return None
    task = found[0]
    return NotFound(
        f"Task {task.id} is {task.state} and has no rollout; "
        f"see `qlrf tasks show {task.id} --tenant {task.tenant}`."
    )


@click.group("rollouts")
def group() -> None:
    """Look at rollouts and steer them: pause, resume, promote, retry, roll back, cancel.

    The command line believes who you say you are (--as, --role): keep it to people you trust.
    """


@group.command("list")
@tenant_option
@click.option("--state", multiple=True, type=click.Choice([s.value for s in RolloutState]))
@click.option("--all", "everything", is_flag=True, help="Also what has ended.")
@limit_option
@json_option
@click.pass_obj
def list_command(
    settings: Settings,
    tenant: tuple[str, ...],
    state: tuple[str, ...],
    everything: bool,
    limit: int,
    as_json: bool,
) -> None:
    """List rollouts, newest first; without --state or --all, those that have not ended."""
    world = _world(settings)
    going = [one for one in RolloutState if one not in ENDED]
    states = [RolloutState(one) for one in state] or ([] if everything else going)
    rows = []
    for name in tenants_named(settings, tenant, world.tasks.tenants()):
        page = world.rollouts.list(name, states=states, limit=limit)
        if len(page) == limit:
            say(f"{name} may have more: --tenant {name} --limit {10 * limit}")
        for found in page:
            facts = rollout_facts(found, world.rollouts.rows(name, found.id))
            if not as_json:
                facts["assets"] = ", ".join(f"{n} {s}" for s, n in facts["assets"].items())
            rows.append(facts)
    emit_rows(rows, as_json=as_json, columns=_COLUMNS, empty="Nothing is being changed.")


@group.command("show")
@_one
@json_option
@click.pass_obj
def show(settings: Settings, rollout: str, tenant: str | None, as_json: bool) -> None:
    """Show a rollout phase by phase, and every asset that is not as it should be."""
    world = _world(settings)
    found = _find(world, tenant, rollout)
    rows = world.rollouts.rows(found.tenant, found.id)
    if as_json:
        emit_json(rollout_facts(found, rows) | {"rows": [asset_facts(row) for row in rows]})
        return
    plan = read_plan(world.tasks.get(found.tenant, found.id).document.content)
    click.echo(shown(found, rows, plan))


@group.command("watch")
@_one
@click.option("--until-human", is_flag=True, help="Also stop when it waits for a human.")
@json_option
@click.pass_obj
def watch(
    settings: Settings, rollout: str, tenant: str | None, until_human: bool, as_json: bool
) -> int:
    """Follow a rollout live until it ends: redrawn on a terminal, one line per change elsewhere.

    That goes to stderr; how it ended, to stdout. Exit 0 if it completed, 1 if it ended otherwise or
    waits for a human.
    """
    world = _world(settings)
    found = _find(world, tenant, rollout)
    plan = read_plan(world.tasks.get(found.tenant, found.id).document.content)
    screen, told = sys.stderr.isatty() and not as_json, ""
    while True:
        rows = world.rollouts.rows(found.tenant, found.id)
        over = found.state in ENDED or (until_human and found.state in WAITS_FOR_HUMAN)
        if as_json:
            emit_json(rollout_facts(found, rows))
        elif screen:
            _redraw("" if over else shown(found, rows, plan))
        elif told != (told := progress_line(found, rows)):
            say(told)
        if over:
            if not as_json:
                click.echo(shown(found, rows, plan))
            return 0 if found.state is RolloutState.COMPLETED else 1
        world.rollouts.wait(found.tenant, found.id, after=found.seq, seconds=_LOOK_SECONDS)
        found = world.rollouts.get(found.tenant, found.id)


def _redraw(view: str) -> None:
    """Put a view in the place of the last one, cut to what the terminal has room for."""
    columns, lines = os.get_terminal_size(sys.stderr.fileno())
    click.echo("\033[H\033[2J" + fitted(view, columns=columns, lines=lines), err=True)


def _verb(name: str, line: str, *, needs_reason: bool = False) -> None:
    """Make the command of one thing to say to a rollout."""

    def command(
        settings: Settings, who: Who, rollout: str, tenant: str | None, reason: str, as_json: bool
    ) -> None:
        from qlrf_pipelines.services import rollouts

        world = _world(settings)
        found = _find(world, tenant, rollout)
        say_it = getattr(rollouts, name)
        after = say_it(world, found.tenant, found.id, by=who.name, role=who.role, reason=reason)
        if as_json:
            emit_json(rollout_facts(after, world.rollouts.rows(after.tenant, after.id)))
        else:
            say(headline(after))

    made: Callable[..., Any] = json_option(person_options(command))
    made = reason_option("Why.", needed=needs_reason)(made)
    group.command(name, help=line)(_one(made))


_verb("pause", "Begin nothing more until somebody resumes; what is under way is followed.")
_verb("resume", "Go on where it stopped.")
_verb("promote", "Let the phase pass that is watched or held.", needs_reason=True)
_verb("retry", "Try again what failed; ask again for what is unknown, never doing it twice.")
_verb("rollback", "Bring back everything that was changed, the last first.", needs_reason=True)
_verb("cancel", "End it where it is; what is changed stays changed.", needs_reason=True)

COMMANDS = {"rollouts": group}
