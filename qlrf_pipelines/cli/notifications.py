"""`qlrf notifications`: who was told of what, what waits, and whether a channel works."""

from collections.abc import Mapping
from typing import Any

import click

from qlrf_pipelines import wiring
from qlrf_pipelines.cli.finding import tenants_named
from qlrf_pipelines.cli.output import emit_json, emit_rows, json_option, say, tenant_option
from qlrf_pipelines.cli.people import Who, person_options
from qlrf_pipelines.domain.channels import Channel
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.messages import Event
from qlrf_pipelines.domain.notifications import Note, NoteState
from qlrf_pipelines.domain.roles import Permission, may
from qlrf_pipelines.settings import Settings

_COLUMNS = (
    "tenant",
    "about",
    "subject",
    "event",
    "channel",
    "target",
    "state",
    "attempts",
    "happened_at",
    "said",
)


@click.group("notifications")
def group() -> None:
    """See who was told of rollouts, approvals and drills, and what was not sent; try a channel."""


@group.command("list")
@tenant_option
@click.option("--state", multiple=True, type=click.Choice([s.value for s in NoteState]))
@click.option("--limit", type=click.IntRange(min=1), default=100, show_default=True)
@json_option
@click.pass_obj
def list_command(
    settings: Settings, tenant: tuple[str, ...], state: tuple[str, ...], limit: int, as_json: bool
) -> None:
    """List messages, the newest first; at most --limit per tenant."""
    world = wiring.live(settings)
    states = [NoteState(one) for one in state]
    rows = [
        _facts(note)
        for name in tenants_named(settings, tenant, world.tasks.tenants())
        for note in world.outbox.list(name, states=states, limit=limit)
    ]
    emit_rows(
        rows,
        as_json=as_json,
        columns=_COLUMNS,
        title="Notifications",
        empty="Nobody was told anything yet; policies and tenants say who is to hear of what.",
    )


def _facts(note: Note) -> Mapping[str, Any]:
    message = note.message
    return {
        "tenant": message.tenant,
        "key": note.key,
        "about": message.about.value,
        "subject": message.subject,
        "event": message.event.value,
        "channel": note.channel.value,
        "target": note.target,
        "state": note.state.value,
        "attempts": note.attempts,
        "happened_at": message.at,
        "queued_at": note.queued_at,
        "due_at": note.due_at if note.state is NoteState.WAITING else None,
        "give_up_at": note.give_up_at,
        "ended_at": note.ended_at,
        "said": note.said,
        "title": message.title,
        "reason": message.reason,
    }


@group.command("test")
@click.option("--tenant", "-t", required=True, help="Whose channel.")
@click.option(
    "--channel", required=True, type=click.Choice([c.value for c in Channel]), help="Which one."
)
@click.option("--target", required=True, help="The target, as a policy or tenant would name it.")
@click.option(
    "--event",
    type=click.Choice([e.value for e in Event]),
    default=Event.STARTED.value,
    show_default=True,
    help="Sent as if it were this one.",
)
@json_option
@person_options
def test_command(
    settings: Settings,
    *,
    who: Who,
    tenant: str,
    channel: str,
    target: str,
    event: str,
    as_json: bool,
) -> None:
    """Send one message that says it is a trial, and show what came back.

    Nothing is kept of it, and it is not tried again. PagerDuty opens an incident of the event's
    severity; `completed`, `approval_decided` and `drill_completed` resolve one instead.
    """
    from qlrf_pipelines.services.notifications import try_channel

    if not may(who.role, Permission.EXECUTE_ROLLOUT):
        raise Refused(f"{who.name} is {who.role}: channels are tried by engineers and admins.")
    message, said = try_channel(
        wiring.live(settings),
        TenantId(tenant),
        Channel(channel),
        target,
        by=who.name,
        event=Event(event),
    )
    if as_json:
        emit_json({"sent": True, "said": said, "token": message.token, **message.document()})
    else:
        say(f"Sent to {channel} {target}. It said: {said}")


COMMANDS = {"notifications": group}
