"""Notifications: messages on their way to one listener each, and what becomes of them."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from qlrf_pipelines.domain.channels import Channel
from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.domain.messages import LONGEST_REASON, Message, plain

GIVES_UP_AFTER = timedelta(hours=24)
LOST = "notification_lost"
_FIRST_WAIT = timedelta(seconds=30)
_LONGEST_WAIT = timedelta(minutes=15)


class NoteState(StrEnum):
    """Where a message stands on its way; an obsolete one was decided or done before it was sent."""

    WAITING = "waiting"
    SENT = "sent"
    LOST = "lost"
    OBSOLETE = "obsolete"


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A message to one listener; it is tried from `due_at` on and given up at `give_up_at`."""

    channel: Channel
    target: str
    message: Message
    queued_at: datetime
    due_at: datetime
    give_up_at: datetime
    state: NoteState = NoteState.WAITING
    attempts: int = 0
    said: str = ""
    ended_at: datetime | None = None

    @property
    def key(self) -> str:
        """Its name, and the promise that it is queued once."""
        return self.message.key

    @property
    def place(self) -> tuple[Channel, str]:
        """Where it goes."""
        return self.channel, self.target


def after_failure(note: Note, why: str, *, passing: bool, now: datetime) -> Note:
    """The note after an attempt that failed: again later, or given up.

    What passes by itself is tried again after 30 seconds, doubling up to a quarter of an hour; what
    somebody has to mend is tried again every quarter of an hour.
    """
    doubled = _FIRST_WAIT * 2 ** min(note.attempts, 16)
    wait = min(doubled, _LONGEST_WAIT) if passing else _LONGEST_WAIT
    tried = replace(note, attempts=note.attempts + 1, said=plain(why, LONGEST_REASON))
    if now + wait >= note.give_up_at:
        return given_up(tried, now=now)
    return replace(tried, due_at=now + wait)


def given_up(note: Note, *, now: datetime) -> Note:
    """The note once nobody tries any more."""
    why = note.said or "it was older than is worth sending when it was first looked at"
    return replace(note, state=NoteState.LOST, ended_at=now, said=why)


def outlived(note: Note, *, now: datetime) -> Note:
    """The note once what it says is not true any more: that is not sent, and nobody misses it."""
    before = f"; before: {note.said}" if note.said else ""
    said = plain(f"it was not true any more when its turn came{before}", LONGEST_REASON)
    return replace(note, state=NoteState.OBSOLETE, ended_at=now, said=said)


def sent(note: Note, said: str, *, now: datetime) -> Note:
    """The note once somebody took it."""
    said = plain(said, LONGEST_REASON)
    return replace(note, state=NoteState.SENT, attempts=note.attempts + 1, said=said, ended_at=now)


def lost_entry(note: Note, now: datetime) -> NewEntry:
    """The evidence that somebody was not told."""
    return NewEntry(
        kind=LOST,
        subject=note.message.subject,
        recorded_at=now,
        content={
            "key": note.key,
            "event": note.message.event.value,
            "channel": note.channel.value,
            "target": note.target,
            "attempts": note.attempts,
            "why": note.said,
        },
    )
