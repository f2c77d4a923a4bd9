"""`qlrf tasks`: what waits for people, what exactly it is, and saying yes or no to it.

The command line trusts whoever may use this machine: `--as` and `--role` are believed. What they
said is kept in the ledger; who they were is as good as the machine's own log-in.
"""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from qlrf_pipelines.cli.finding import declared, named_option, tenant_having, tenants_named
from qlrf_pipelines.cli.output import emit_json, json_option, limit_option, say, tenant_option
from qlrf_pipelines.cli.people import Who, moment, person_options, reason_option
from qlrf_pipelines.cli.task_request import (
    hours,
    read_document,
    same_request,
    still_a_plan,
)
from qlrf_pipelines.cli.task_rest import asked_rest, rest_of
from qlrf_pipelines.cli.task_text import PREFIX, listed, record_facts, shown, task_facts
from qlrf_pipelines.domain.approval import (
    Conditions,
    DecisionKind,
    Requirement,
)
from qlrf_pipelines.domain.errors import Refused, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.roles import Permission, Role, may
from qlrf_pipelines.domain.rollout import RolloutState
from qlrf_pipelines.domain.tasks import OPEN, Launch, Record, TaskState
from qlrf_pipelines.settings import Settings

if TYPE_CHECKING:
    from qlrf_pipelines.ports.world import World


def _world(settings: Settings) -> "World":
    from qlrf_pipelines import wiring

    return wiring.live(settings)


_one = named_option("task")


def _find(world: "World", tenant: str | None, task: str) -> Record:
    from qlrf_pipelines.services import approvals  # loads the lake's types: `list` needs none

    stored = world.tasks
    where = tenant_having(
        "task",
        task,
        tenant=tenant,
        known=stored.tenants(),
        has=lambda one: stored.find(one, prefix=task),
    )
    return approvals.find_task(world, where, task)


@click.group("tasks")
def group() -> None:
    """Ask for changes, and decide about those of others.

    The command line believes who you say you are (--as, --role): keep it to people you trust.
    """


@group.command("list")
@tenant_option
@click.option("--state", multiple=True, type=click.Choice([s.value for s in TaskState]))
@click.option("--all", "everything", is_flag=True, help="Also what has ended.")
@click.option("--review-due", is_flag=True, help="Only where a broken glass waits for review.")
@limit_option
@click.option("--before", default="", help="Only tasks older than this id: the next page.")
@json_option
@click.pass_obj
def list_command(
    settings: Settings,
    tenant: tuple[str, ...],
    state: tuple[str, ...],
    everything: bool,
    review_due: bool,
    limit: int,
    before: str,
    as_json: bool,
) -> None:
    """List tasks, newest first; without --state or --all, those that have not ended."""
    from qlrf_pipelines import wiring

    tasks = wiring.tasks(settings)
    states = [TaskState(s) for s in state] or ([] if everything or review_due else list(OPEN))
    names = tenants_named(settings, tenant, tasks.tenants())
    rows = []
    for name in names:
        page = tasks.list(name, states=states, review_due=review_due, before=before, limit=limit)
        rows += [task_facts(task, rest=rest_of(tasks, task)) for task in page]
        if len(page) == limit:
            say(f"{name} has more: --tenant {name} --before {page[-1].id}")
    if as_json:
        emit_json(rows)
    elif rows:
        click.echo(listed(rows))
    else:
        say("Nothing waits.")


@group.command("show")
@_one
@click.option("--whole", is_flag=True, help="A plan to its last word, as the digest covers it.")
@json_option
@click.pass_obj
def show(settings: Settings, task: str, tenant: str | None, whole: bool, as_json: bool) -> None:
    """Show what exactly would be done, what was decided about it, and its digest."""
    from qlrf_pipelines.services.outcomes import outcome_of, stood

    world = _world(settings)
    record = _find(world, tenant, task)
    standing = stood(world, record)
    rest = asked_rest(record, now=world.clock.now())
    outcome = outcome_of(world, record)
    if as_json:
        emit_json(record_facts(record, standing, rest=rest, outcome=outcome))
        return
    earlier = world.tasks.documents(record.task.tenant, record.task.id)
    click.echo(shown(record, standing, earlier=earlier, rest=rest, outcome=outcome, whole=whole))


@group.command("submit")
@click.option("--tenant", "-t", required=True, help="The tenant it is about.")
@click.option("--title", required=True, help="What will be done, in one line.")
@click.option(
    "--document",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="YAML or JSON: everything that is to be approved.",
)
@click.option("--job", default="approved_change", show_default=True, help="What carries it out.")
@click.option("--quorum", default=1, show_default=True, help="How many people must approve.")
@click.option(
    "--approver-role",
    default="engineer",
    show_default=True,
    type=click.Choice([r.value for r in Role if may(r, Permission.APPROVE_TASKS)]),
    help="The least role of those who approve.",
)
@click.option("--expires-hours", default=24.0, show_default=True, help="Time to decide.")
@click.option("--key", default="", help="The same key again is the same task.")
@person_options
@json_option
def submit(
    settings: Settings,
    who: Who,
    tenant: str,
    title: str,
    document: Path,
    job: str,
    quorum: int,
    approver_role: str,
    expires_hours: float,
    key: str,
    as_json: bool,
) -> None:
    """Ask for a change; it runs once others have approved exactly this document."""
    from qlrf_pipelines.services import approvals

    if not may(who.role, Permission.EXECUTE_TASKS):
        raise Refused(f"{who.name} is {who.role}; submitting takes an operator or more (--role).")
    world = _world(settings)
    declared(world, settings, tenant)
    content = read_document(document)
    made = approvals.submit_task(
        world,
        TenantId(tenant),
        kind=job,
        title=title,
        document=content,
        requested_by=who.name,
        requirement=Requirement(
            expires_at=world.clock.now() + hours(expires_hours),
            quorum=quorum,
            role=Role(approver_role),
        ),
        launch=Launch(job=job),
        key=key,
    )
    if key:
        same_request(world.tasks.get(made.tenant, made.id), content)
    if as_json:
        emit_json(task_facts(made))
        return
    say(f"Task {made.id} of tenant {tenant} waits for {quorum} to approve, not {who.name}.")
    say(f"  qlrf tasks show {made.id}")
    say(f"  qlrf tasks approve {made.id} --digest {made.digest[:PREFIX]} --as SOMEBODY")


@group.command("revise")
@_one
@click.option(
    "--document",
    required=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The document that takes the old one's place.",
)
@person_options
@json_option
def revise(
    settings: Settings, who: Who, task: str, tenant: str | None, document: Path, as_json: bool
) -> None:
    """Put another document in the old one's place; it must be approved anew."""
    from qlrf_pipelines.services import approvals

    if not may(who.role, Permission.EXECUTE_TASKS):
        raise Refused(f"{who.name} is {who.role}; revising takes an operator or more (--role).")
    world = _world(settings)
    before = _find(world, tenant, task)
    content = read_document(document)
    still_a_plan(world, before, content)
    after = approvals.revise(
        world,
        before.task.tenant,
        before.task.id,
        document=content,
        revised_by=who.name,
        context={k: v for k, v in before.document.context.items() if k != "job"},
    )
    _told(world.tasks.get(after.tenant, after.id), as_json=as_json)


def _told(record: Record, *, as_json: bool) -> None:
    task = record.task
    if as_json:
        emit_json(task_facts(task))
    else:
        say(f"Task {task.id} of tenant {task.tenant} is {task.state} ({task.digest[:PREFIX]}).")


def _seen(record: Record, given: str | None, *, world: "World") -> str:
    """The digest, once it is sure that it was looked at.

    Raises:
        Rejected: none was given, and nobody is there to be asked.
        Refused: it is another one, or the answer is no.
    """
    digest = record.task.digest
    if given is None:
        if not (sys.stdin.isatty() and sys.stderr.isatty()):
            raise Rejected(
                f"Say what you looked at: --digest {PREFIX} or more characters, from "
                f"`qlrf tasks show {record.task.id}`."
            )
        from qlrf_pipelines.services import approvals

        standing = approvals.standing_of(world, record)
        rest = asked_rest(record, now=world.clock.now())
        click.echo(shown(record, standing, earlier=(), rest=rest), err=True)
        if not click.confirm(f"This is digest {digest[:PREFIX]}. Go on?", err=True):
            raise Refused("Nothing was decided.")
        return digest
    if len(given) < PREFIX or not digest.startswith(given.lower()):
        raise Refused(
            f"Task {record.task.id} is about digest {digest[:PREFIX]}…, not {given}: look at it "
            f"again with `qlrf tasks show {record.task.id}`."
        )
    return digest


def _decision(
    kind: DecisionKind, line: str, *options: Callable[..., Any], needs_reason: bool = True
) -> None:
    """Make the command of one kind of decision."""

    def decide(
        settings: Settings,
        who: Who,
        task: str,
        tenant: str | None,
        digest: str | None,
        reason: str,
        as_json: bool,
        **more: Any,  # noqa: ANN401
    ) -> None:
        from qlrf_pipelines.services import approvals, rollout_rest

        world = _world(settings)
        record = _find(world, tenant, task)
        limits = {name: more.pop(name, None) for name in ("not_before", "not_after", "max_batch")}
        after = approvals.decide(
            world,
            record.task.tenant,
            record.task.id,
            kind=kind,
            digest=_seen(record, digest, world=world),
            by=who.name,
            role=who.role,
            reason=reason,
            conditions=Conditions(**limits),
            **more,
        )
        back = rollout_rest.heed_word(world, after.task.tenant, after.task.id)
        _told(world.tasks.get(after.task.tenant, after.task.id), as_json=as_json)
        if back is not None and back.state is RolloutState.ROLLING_BACK:
            say(f"Its canary is brought back: qlrf rollouts show {back.id}")

    command: Callable[..., Any] = json_option(person_options(decide))
    for option in options:
        command = option(command)
    command = reason_option("Why.", needed=needs_reason)(command)
    command = click.option("--digest", help=f"What you looked at: its first {PREFIX} or more.")(
        command
    )
    group.command(kind.value.replace("_", "-"), help=line)(_one(command))


_CONDITIONS = (
    click.option("--max-batch", type=click.IntRange(min=1), help="At most so many at once."),
    click.option("--not-after", callback=moment, help="It may start until then (UTC)."),
    click.option("--not-before", callback=moment, help="It may start from then on (UTC)."),
)
_decision(
    DecisionKind.APPROVE,
    "Say yes to exactly this digest, perhaps under conditions.",
    *_CONDITIONS,
    needs_reason=False,
)
_decision(DecisionKind.REJECT, "Say no; the task ends.")
_decision(DecisionKind.REQUEST_CHANGES, "Ask for another document; nothing runs until then.")
_decision(DecisionKind.REVOKE, "Take the approval back; possible until it starts.")
_decision(
    DecisionKind.DELEGATE,
    "Let somebody else decide in your place.",
    click.option("--to", "delegate", required=True, metavar="NAME", help="Who decides instead."),
    needs_reason=False,
)
_decision(
    DecisionKind.BREAK_GLASS,
    "Approve alone, as an admin, in an emergency; somebody must review it.",
    *_CONDITIONS,
)
_decision(DecisionKind.REVIEW, "Review a broken glass of somebody else, afterwards.")


@group.command("cancel")
@_one
@reason_option("Why nobody wants it any more.")
@person_options
@json_option
def cancel(
    settings: Settings, who: Who, task: str, tenant: str | None, reason: str, as_json: bool
) -> None:
    """Take a request back before it starts; the requester or an operator may."""
    from qlrf_pipelines.services import approvals

    world = _world(settings)
    record = _find(world, tenant, task)
    found = record.task
    approvals.cancel(world, found.tenant, found.id, by=who.name, role=who.role, reason=reason)
    _told(world.tasks.get(found.tenant, found.id), as_json=as_json)


@group.command("close")
@_one
@click.option("--outcome", required=True, type=click.Choice(["completed", "rolled_back", "failed"]))
@reason_option("How you know.")
@person_options
@json_option
def close(
    settings: Settings,
    who: Who,
    task: str,
    tenant: str | None,
    outcome: str,
    reason: str,
    as_json: bool,
) -> None:
    """Say how an execution ended whose run died without a word; look first.

    Rollouts and drills say that themselves: steer those.
    """
    from qlrf_pipelines.services.closing import close as close_task

    world = _world(settings)
    found = _find(world, tenant, task).task
    close_task(
        world,
        found.tenant,
        found.id,
        outcome=TaskState(outcome),
        by=who.name,
        role=who.role,
        reason=reason,
    )
    _told(world.tasks.get(found.tenant, found.id), as_json=as_json)


COMMANDS = {"tasks": group}
