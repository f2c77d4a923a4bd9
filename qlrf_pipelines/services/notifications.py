"""Notifications' use cases: queue what the ledger tells, send what is due, try a channel.

A rollout knows nothing of this: it writes its evidence, and what is read from there can be slow,
fail or be killed without the rollout noticing.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import islice
from typing import Any

from qlrf_pipelines.domain.channels import Channel, Place, find_place
from qlrf_pipelines.domain.errors import NotFound, QlrfError, Refused, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import Entry
from qlrf_pipelines.domain.notifications import (
    GIVES_UP_AFTER,
    NOT_BEGUN,
    STEPS,
    Event,
    Message,
    Note,
    NoteState,
    after_failure,
    compose,
    given_up,
    key,
    listeners,
    lost_entry,
    sent,
    told,
)
from qlrf_pipelines.domain.patching import Notification
from qlrf_pipelines.domain.rollout import DRIVEN, Rollout
from qlrf_pipelines.domain.rollout_rules import tally
from qlrf_pipelines.domain.tasks import RUNNING
from qlrf_pipelines.ports.world import World

ENTRIES = 500
_ROLLOUTS = 50
Places = Callable[[TenantId], Sequence[Place]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """How far a tenant's ledger was read, and whether there is more."""

    seq: int
    more: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What came of trying: how many were sent, and what went wrong with which."""

    sent: int = 0
    failed: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


def queue_news(world: World, tenant: TenantId, *, after: int, limit: int = ENTRIES) -> Read:
    """Queue a message for every listener of what the next entries of the ledger tell.

    Read again after a crash, the same entries queue nothing twice.
    """
    entries = list(islice(world.ledger.entries(tenant, after=after), limit))
    documents: dict[str, Mapping[str, Any]] = {}
    notes: list[Note] = []
    for entry in entries:
        if not _is_news(world, entry):
            continue
        if entry.subject not in documents:
            documents[entry.subject] = _document(world, tenant, entry.subject)
        document = documents[entry.subject]
        for listener in listeners(document):
            message = told(entry, document, listener)
            if message is not None:
                until = entry.recorded_at + GIVES_UP_AFTER
                notes.append(_note(world, listener, message, until))
    world.outbox.add(tenant, notes)
    return Read(seq=entries[-1].seq if entries else after, more=len(entries) == limit)


def _is_news(world: World, entry: Entry) -> bool:
    if entry.kind != NOT_BEGUN:
        return entry.kind in STEPS
    try:
        world.rollouts.get(entry.tenant, entry.subject)
    except NotFound:
        return True
    return False  # the rollout itself has said how it failed


def _document(world: World, tenant: TenantId, task: str) -> Mapping[str, Any]:
    try:
        return world.tasks.get(tenant, task).document.content
    except NotFound:
        return {}


def _note(world: World, listener: Notification, message: Message, until: datetime) -> Note:
    now = world.clock.now()
    return Note(
        channel=Channel(listener.channel),
        target=listener.target,
        message=message,
        queued_at=now,
        due_at=now,
        give_up_at=until,
    )


def queue_progress(world: World, tenant: TenantId) -> None:
    """Queue how far each running rollout is, once in every span its listeners asked for.

    A span that passed while nobody looked is left out, and one that could not be told within its
    span is given up: the next one says more.
    """
    for rollout in world.rollouts.list(tenant, states=DRIVEN, limit=_ROLLOUTS):
        document = _document(world, tenant, rollout.id)
        spans = _spans(rollout, document, world.clock.now())
        known = world.outbox.known(tenant, spans)
        new = {name: span for name, span in spans.items() if name not in known}
        if not new:
            continue
        assets = tally(world.rollouts.rows(tenant, rollout.id))
        now = world.clock.now()
        world.outbox.add(
            tenant,
            [
                _note(world, listener, _so_far(name, rollout, document, assets, now), until)
                for name, (listener, until) in new.items()
            ],
        )


def _spans(
    rollout: Rollout, document: Mapping[str, Any], now: datetime
) -> dict[str, tuple[Notification, datetime]]:
    """The span each listener of progress is in, by its key, with the moment it ends."""
    found = {}
    for listener in listeners(document):
        every = listener.progress_every
        number = (now - rollout.started_at) // every
        if Event.PROGRESS.value in listener.events and number >= 1:
            name = key(rollout.tenant, f"{rollout.id}.{number}", listener)
            ends = rollout.started_at + (number + 1) * every
            found[name] = (listener, min(ends, now + GIVES_UP_AFTER))
    return found


def _so_far(
    name: str,
    rollout: Rollout,
    document: Mapping[str, Any],
    assets: Mapping[str, int],
    now: datetime,
) -> Message:
    phases = document.get("phases", ())
    where = f"phase {rollout.phase + 1} of {len(phases)}" if phases else "on its way"
    return compose(
        key=name,
        event=Event.PROGRESS,
        tenant=rollout.tenant,
        rollout=rollout.id,
        document=document,
        digest=rollout.digest,
        says=f"is {rollout.state.value.replace('_', ' ')}, {where}",
        reason=rollout.reason,
        assets=assets,
        at=now,
    )


def deliver(
    world: World, tenant: TenantId, places: Places, *, limit: int, stop_at: datetime
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
        return _deliver(world, tenant, places, limit, stop_at)


def _deliver(
    world: World, tenant: TenantId, places: Places, limit: int, stop_at: datetime
) -> Delivered:
    due = world.outbox.due(tenant, now=world.clock.now(), limit=limit)
    waits: dict[tuple[Channel, str], datetime] = {}
    count = 0
    failed: list[str] = []
    lost: list[str] = []
    for number, note in enumerate(due):
        if number and world.clock.now() >= stop_at:
            break
        if note.place in waits and waits[note.place] < note.give_up_at:
            # In the order they happened: none overtakes the one that could not be sent.
            world.outbox.keep(tenant, replace(note, due_at=waits[note.place]))
            continue
        after = _attempt(world, tenant, places, note)
        entries = (lost_entry(after, world.clock.now()),) if after.state is NoteState.LOST else ()
        world.outbox.keep(tenant, after, entries)
        if after.state is NoteState.SENT:
            count += 1
        elif after.state is NoteState.LOST:
            lost.append(f"{after.key}: {after.said}")
        else:
            failed.append(f"{after.key}: {after.said}")
            waits[note.place] = after.due_at
    return Delivered(sent=count, failed=tuple(failed), lost=tuple(lost))


def _attempt(world: World, tenant: TenantId, places: Places, note: Note) -> Note:
    now = world.clock.now()
    if now >= note.give_up_at:
        return given_up(note, now=now)
    try:
        place = _place(places(tenant), tenant, note.channel, note.target)
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
    """Whether nothing of a tenant is on its way: no rollout, and no message."""
    running = world.tasks.count(tenant)
    if any(running.get(state, 0) for state in RUNNING):
        return False
    return not world.outbox.list(tenant, states=[NoteState.WAITING], limit=1)


def try_channel(
    world: World, tenant: TenantId, channel: Channel, target: str, *, by: str
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
    now = world.clock.now()
    message = compose(
        key=f"{tenant}:trial-{world.ids.new()}:{channel}:{target}",
        event=Event.STARTED,
        tenant=tenant,
        rollout="trial",
        document={"environment": "no environment"},
        digest="",
        says="is a trial of this channel: nothing is being changed",
        reason=f"asked for by {by}",
        assets={},
        at=now,
    )
    return message, world.notifier.send(message, place=place, target=target)
