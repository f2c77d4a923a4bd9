"""Notifications' use cases: send what is due, late rather than never, and try a channel."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime

from qlrf_pipelines.domain.channels import Channel, Place, find_place
from qlrf_pipelines.domain.errors import NotFound, QlrfError, Refused, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.messages import Event, Message, about, compose
from qlrf_pipelines.domain.notifications import (
    Note,
    NoteState,
    after_failure,
    given_up,
    lost_entry,
    outlived,
    sent,
)
from qlrf_pipelines.domain.tasks import RUNNING
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.news import Estates, still_true

_RESOLVING = (Event.COMPLETED, Event.APPROVAL_DECIDED, Event.DRILL_COMPLETED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What came of trying: how many were sent, and what became of which others."""

    sent: int = 0
    failed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    obsolete: tuple[str, ...] = ()


def deliver(
    world: World, tenant: TenantId, estate: Estates, *, limit: int, stop_at: datetime
) -> Delivered:
    """Try what is due, each message once; a place that fails is not asked again in this turn.

    A message is sent and then marked: killed between the two, it is sent once more, with the same
    token. Whoever else sends this tenant's messages right now is not disturbed.
    """
    if not world.outbox.due(tenant, now=world.clock.now(), limit=1):
        return Delivered()
    with ExitStack() as turn:
        try:
            turn.enter_context(world.locks.hold([f"notifications:{tenant}"], wait_seconds=0))
        except Refused:
            return Delivered()
        return _deliver(world, tenant, estate, limit, stop_at)


def _deliver(
    world: World, tenant: TenantId, estate: Estates, limit: int, stop_at: datetime
) -> Delivered:
    due = world.outbox.due(tenant, now=world.clock.now(), limit=limit)
    waits: dict[tuple[Channel, str], datetime] = {}
    became: dict[NoteState, list[str]] = {state: [] for state in NoteState}
    for number, note in enumerate(due):
        if number and world.clock.now() >= stop_at:
            break
        if note.place in waits and waits[note.place] < note.give_up_at:
            # In the order they happened: none overtakes the one that could not be sent.
            world.outbox.keep(tenant, replace(note, due_at=waits[note.place]))
            continue
        after = _attempt(world, tenant, estate, note)
        entries = (lost_entry(after, world.clock.now()),) if after.state is NoteState.LOST else ()
        world.outbox.keep(tenant, after, entries)
        became[after.state].append(f"{after.key}: {after.said}")
        if after.state is NoteState.WAITING:
            waits[note.place] = after.due_at
    return Delivered(
        sent=len(became[NoteState.SENT]),
        failed=tuple(became[NoteState.WAITING]),
        lost=tuple(became[NoteState.LOST]),
        obsolete=tuple(became[NoteState.OBSOLETE]),
    )


def _attempt(world: World, tenant: TenantId, estate: Estates, note: Note) -> Note:
    now = world.clock.now()
    if not still_true(world, note.message):
        return outlived(note, now=now)
    if now >= note.give_up_at:
        return given_up(note, now=now)
    try:
        declared = (one for one in estate().tenants if one.name == tenant)
        places = [place for one in declared for place in one.notifications]
        place = _place(places, tenant, note.channel, note.target)
        said = world.notifier.send(note.message, place=place, target=note.target)
    except QlrfError as error:
        now = world.clock.now()
        return after_failure(note, str(error), passing=error.retryable, now=now)
    return sent(note, said, now=world.clock.now())


def _place(places: Sequence[Place], tenant: TenantId, channel: Channel, target: str) -> Place:
    found = find_place(places, channel, target)
    if found is None:
        raise Rejected(
            f"Tenant {tenant} has no place for {channel} {target}; add it to the notifications of "
            f"its contract, then try `qlrf notifications test --tenant {tenant}`."
        )
    return found


def at_rest(world: World, tenant: TenantId) -> bool:
    """Whether nothing of a tenant is on its way: no rollout, no message and no due review."""
    running = world.tasks.count(tenant)
    if any(running.get(state, 0) for state in RUNNING):
        return False
    if world.tasks.list(tenant, review_due=True, limit=1):
        return False
    return not world.outbox.list(tenant, states=[NoteState.WAITING], limit=1)


def try_channel(
    world: World,
    tenant: TenantId,
    channel: Channel,
    target: str,
    *,
    by: str,
    event: Event = Event.STARTED,
) -> tuple[Message, str]:
    """Send one message that says it is a trial, and what came back; nothing of it is kept.

    Raises:
        NotFound: the estate declares no such tenant.
        Rejected: the tenant has no place for this, or a secret leads nowhere.
        Unavailable: nobody took it.
    """
    named = {found.name: found for found in world.estate.load().tenants}
    if tenant not in named:
        raise NotFound(f"No contract declares tenant {tenant}; see `qlrf tenants list`.")
    place = _place(named[tenant].notifications, tenant, channel, target)
    message = compose(
        key=f"{tenant}:trial-{world.ids.new()}:{channel}:{target}",
        event=event,
        about=about(event),
        tenant=tenant,
        subject="trial",
        environment="no environment",
        says="is a trial of this channel: nothing is being changed",
        reason=f"asked for by {by}",
        at=world.clock.now(),
        resolves=event in _RESOLVING,
    )
    return message, world.notifier.send(message, place=place, target=target)
