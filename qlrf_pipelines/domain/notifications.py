"""Notifications: which step of a rollout is told to whom, as a message that is short and plain.

What a message says came from clouds, hooks and people: it is cleaned here, once, before it is kept,
so that no text of theirs can pose as ours, reach everybody in a channel or carry a secret out.
"""

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from qlrf_pipelines.domain.channels import Channel
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import Entry, NewEntry, digest
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.patching import Notification

GIVES_UP_AFTER = timedelta(hours=24)
LOST = "notification_lost"
_FIRST_WAIT = timedelta(seconds=30)
_LONGEST_WAIT = timedelta(minutes=15)
_LONGEST_REASON = 500
_LONGEST_NAME = 100
_DIGEST_DIGITS = 12


class Event(StrEnum):
    """What a policy can want to hear of."""

    STARTED = "started"
    PROGRESS = "progress"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    ROLLBACK = "rollback"


# kind of ledger entry -> the event it is to a listener, and what it says
STEPS: Mapping[str, tuple[Event, str]] = {
    "rollout_begun": (Event.STARTED, "has started"),
    "rollout_paused": (Event.PAUSED, "is paused"),
    "rollout_held": (Event.PAUSED, "is held and waits for a person"),
    "rollout_finished": (Event.COMPLETED, "is completed"),
    "rollout_gave_up": (Event.FAILED, "has failed"),
    "rollout_cancelled": (Event.FAILED, "was cancelled: what is changed stays changed"),
    "rollout_restore_failed": (Event.FAILED, "is stuck: not everything could be brought back"),
    "rollout_tripped": (Event.ROLLBACK, "is being rolled back"),
    "rollout_rollback_asked": (Event.ROLLBACK, "is being rolled back"),
    "rollout_restored": (Event.ROLLBACK, "is rolled back, and that is verified"),
}
# A task that fails with no rollout was claimed and changed nothing.
NOT_BEGUN = "approval_failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is told, cleaned; `key` is the same however often it is sent."""

    key: str
    event: Event
    tenant: TenantId
    environment: str
    rollout: str
    policy: str
    digest: str
    says: str
    reason: str
    assets: Mapping[str, int]
    at: datetime

    @property
    def token(self) -> str:
        """The idempotency key a receiver can tell a repetition by: 64 hex digits."""
        return digest(["notification", self.key])

    @property
    def title(self) -> str:
        """All of it in one line."""
        return f"Rollout {self.rollout} of {self.tenant} in {self.environment} {self.says}"

    @property
    def look(self) -> str:
        """The command that shows more."""
        return f"qlrf rollouts show {self.rollout} --tenant {self.tenant}"

    @property
    def counts(self) -> str:
        """How many assets stand where, in words."""
        return ", ".join(f"{count} {name}" for name, count in sorted(self.assets.items()))

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """Names and values below the title; what is empty is left out."""
        found = (
            ("Reason", self.reason),
            ("Assets", self.counts),
            ("Policy", self.policy),
            ("Digest", self.digest),
            ("When", iso(self.at, digits=False)),
            ("Look", self.look),
        )
        return tuple((name, value) for name, value in found if value)

    def document(self) -> dict[str, Any]:
        """As JSON: what a webhook receives, and what is kept."""
        return {
            "key": self.key,
            "event": self.event.value,
            "tenant": self.tenant,
            "environment": self.environment,
            "rollout": self.rollout,
            "policy": self.policy,
            "digest": self.digest,
            "says": self.says,
            "reason": self.reason,
            "assets": dict(self.assets),
            "at": iso(self.at),
            "title": self.title,
            "look": self.look,
        }


def read_message(document: Mapping[str, Any]) -> Message:
    """A message from its document."""
    names = ("key", "environment", "rollout", "policy", "digest", "says", "reason", "assets")
    return Message(
        event=Event(document["event"]),
        tenant=TenantId(document["tenant"]),
        at=datetime.fromisoformat(document["at"]),
        **{name: document[name] for name in names},
    )


class NoteState(StrEnum):
    """Where a message stands on its way."""

    WAITING = "waiting"
    SENT = "sent"
    LOST = "lost"


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


def listeners(document: Mapping[str, Any]) -> tuple[Notification, ...]:
    """Who hears of a plan's rollout; what is no listener, as in no plan, hears nothing."""
    given = document.get("notifications")
    found = [_listener(one) for one in given] if isinstance(given, list | tuple) else []
    return tuple(one for one in found if one is not None)


def _listener(given: object) -> Notification | None:
    if not isinstance(given, Mapping):
        return None
    channel, target, events = (given.get(name) for name in ("channel", "target", "events"))
    seconds = given.get("progress_every_seconds")
    if not isinstance(channel, str) or channel not in set(Channel):
        return None
    if not isinstance(target, str) or not target:
        return None
    if not isinstance(events, list | tuple) or not isinstance(seconds, int) or seconds < 1:
        return None
    return Notification(
        channel=str(channel),
        target=target,
        events=tuple(str(event) for event in events),
        progress_every=timedelta(seconds=seconds),
    )


def key(tenant: TenantId, step: object, listener: Notification) -> str:
    """What makes a message one: whose, which step, through what and to whom."""
    return f"{tenant}:{step}:{listener.channel}:{listener.target}"


def told(entry: Entry, document: Mapping[str, Any], listener: Notification) -> Message | None:
    """What an entry of the ledger says to a listener; None if it does not want to hear of it."""
    event, says = STEPS.get(entry.kind, (Event.FAILED, "did not begin: nothing was changed"))
    if event.value not in listener.events:
        return None
    return compose(
        key=key(entry.tenant, entry.seq, listener),
        event=event,
        tenant=entry.tenant,
        rollout=entry.subject,
        document=document,
        digest=str(entry.content.get("digest", "")),
        says=says,
        reason=_reason(entry.content),
        assets=_assets(entry.content.get("assets")),
        at=entry.recorded_at,
    )


def _reason(content: Mapping[str, Any]) -> str:
    why = str(content.get("reason") or content.get("detail") or "")
    if "role" not in content:  # a process said it, and its name tells nobody anything
        return why
    return f"{content.get('by')}: {why}" if why else f"by {content.get('by')}"


def compose(
    *,
    key: str,
    event: Event,
    tenant: TenantId,
    rollout: str,
    document: Mapping[str, Any],
    digest: str,
    says: str,
    reason: str,
    assets: Mapping[str, int],
    at: datetime,
) -> Message:
    """A message with everything in it cleaned."""
    return Message(
        key=key,
        event=event,
        tenant=tenant,
        environment=plain(str(document.get("environment", "")), _LONGEST_NAME) or "unknown",
        rollout=plain(rollout, _LONGEST_NAME),
        policy=plain(str(document.get("policy", "")), _LONGEST_NAME),
        digest=digest[:_DIGEST_DIGITS],
        says=says,
        reason=plain(reason, _LONGEST_REASON),
        assets=assets,
        at=at,
    )


def _assets(found: object) -> Mapping[str, int]:
    if isinstance(found, Mapping):
        return {str(name): int(count) for name, count in found.items()}
    return {"planned": found} if isinstance(found, int) else {}


_ADDRESS = re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.\-]*://)(?:[^\s/?#]*@)?([^\s/?#]*)[/?#][^\s]*")
_LOGIN = re.compile(r"\b([a-zA-Z][a-zA-Z0-9+.\-]*://)[^\s/?#]*@")
_SECRET = re.compile(
    r"(?i)\b((?:[\w\-]*(?:password|passwd|secret|token|api[_\-]?key|routing[_\-]?key))\s*[=:]\s*"
    r"|bearer\s+|basic\s+)\S+"
)


def plain(text: str, longest: int) -> str:
    """One line that can be trusted to be text alone.

    Of an address only the host is left (paths and queries carry tokens), what looks like a secret
    is left out, and so is every character that moves, hides or reorders others.
    """
    one = "".join(c if unicodedata.category(c)[0] != "C" else " " for c in text)
    one = " ".join(one.split())
    one = _LOGIN.sub(r"\1", _ADDRESS.sub(r"\1\2/…", one))
    one = _SECRET.sub(r"\1…", one)
    return one if len(one) <= longest else one[: longest - 1] + "…"


def after_failure(note: Note, why: str, *, passing: bool, now: datetime) -> Note:
    """The note after an attempt that failed: again later, or given up.

    What passes by itself is tried again after 30 seconds, doubling up to a quarter of an hour; what
    somebody has to mend is tried again every quarter of an hour.
    """
    doubled = _FIRST_WAIT * 2 ** min(note.attempts, 16)
    wait = min(doubled, _LONGEST_WAIT) if passing else _LONGEST_WAIT
    tried = replace(note, attempts=note.attempts + 1, said=plain(why, _LONGEST_REASON))
    if now + wait >= note.give_up_at:
        return given_up(tried, now=now)
    return replace(tried, due_at=now + wait)


def given_up(note: Note, *, now: datetime) -> Note:
    """The note once nobody tries any more."""
    why = note.said or "it was older than is worth sending when it was first looked at"
    return replace(note, state=NoteState.LOST, ended_at=now, said=why)


def sent(note: Note, said: str, *, now: datetime) -> Note:
    """The note once somebody took it."""
    said = plain(said, _LONGEST_REASON)
    return replace(note, state=NoteState.SENT, attempts=note.attempts + 1, said=said, ended_at=now)


def lost_entry(note: Note, now: datetime) -> NewEntry:
    """The evidence that somebody was not told."""
    return NewEntry(
        kind=LOST,
        subject=note.message.rollout,
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
