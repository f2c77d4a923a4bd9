"""Messages: what is told to people, short and plain, whatever it is about.

What a message says came from clouds, hooks and people: it is cleaned here, once, before it is kept,
so that no text of theirs can pose as ours, reach everybody in a channel or carry a secret out.
"""

import re
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import digest
from qlrf_pipelines.domain.moments import iso

LONGEST_REASON = 500
_LONGEST_NAME = 100
_DIGEST_DIGITS = 12


class Event(StrEnum):
    """What a policy or a tenant can want to hear of."""

    STARTED = "started"
    PROGRESS = "progress"
    PAUSED = "paused"
    COMPLETED = "completed"
    FAILED = "failed"
    ROLLBACK = "rollback"
    APPROVAL_REQUESTED = "approval_requested"
    APPROVAL_REMINDER = "approval_reminder"
    APPROVAL_DECIDED = "approval_decided"
    APPROVAL_EXPIRED = "approval_expired"
    GLASS_BROKEN = "glass_broken"
    DRILL_STARTED = "drill_started"
    DRILL_WAITING = "drill_waiting"
    DRILL_HELD = "drill_held"
    DRILL_COMPLETED = "drill_completed"
    DRILL_FAILED = "drill_failed"
    DRILL_DUE = "drill_due"
    RPO_AT_RISK = "rpo_at_risk"


_E = Event
OF_ROLLOUTS = (_E.STARTED, _E.PROGRESS, _E.PAUSED, _E.COMPLETED, _E.FAILED, _E.ROLLBACK)
# What a policy's listeners can hear of its plans while these are decided.
OF_PLANS = (_E.APPROVAL_REQUESTED, _E.APPROVAL_REMINDER, _E.APPROVAL_EXPIRED)
OF_APPROVALS = (*OF_PLANS, _E.APPROVAL_DECIDED, _E.GLASS_BROKEN)
OF_RECOVERY_PLANS = (_E.DRILL_DUE, _E.RPO_AT_RISK)
# What a tenant's subscriptions can hear of.
OF_TENANTS = tuple(event for event in Event if event not in OF_ROLLOUTS)


class About(StrEnum):
    """What a message is about."""

    ROLLOUT = "rollout"
    TASK = "task"
    DRILL = "drill"
    RECOVERY_PLAN = "recovery_plan"


def about(event: Event) -> About:
    """What messages of an event are about."""
    if event in OF_ROLLOUTS:
        return About.ROLLOUT
    if event in OF_APPROVALS:
        return About.TASK
    return About.RECOVERY_PLAN if event in OF_RECOVERY_PLANS else About.DRILL


# what it is about -> what it is called, and the command that shows more
_NAMED: Mapping[About, tuple[str, str]] = {
    About.ROLLOUT: ("Rollout", "qlrf rollouts show {subject} --tenant {tenant}"),
    About.TASK: ("Task", "qlrf tasks show {subject} --tenant {tenant}"),
    About.DRILL: ("Drill", "qlrf drills show {subject} --tenant {tenant}"),
    About.RECOVERY_PLAN: ("Recovery plan", "qlrf resilience --by plan --tenant {tenant}"),
}
# The facts a message can have besides those every message has, in the order people read them.
_ABOVE = ("what",)
_BETWEEN = ("environment", "risk", "application", "plan", "type", "rto", "rpo")
_BELOW = ("asked_by", "until", "approvals", "review_by")


class OnlyWhile(StrEnum):
    """How long a message is true: it is not sent once its subject does not stand so any more."""

    ALWAYS = ""
    AWAITING_APPROVAL = "awaiting_approval"
    AWAITING_CHANGE = "awaiting_change"
    AWAITING_REVIEW = "awaiting_review"
    AWAITING_SIGNATURE = "awaiting_signature"
    HELD = "held"


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What is told, cleaned; `key` is the same however often it is sent.

    `resolves` is whether nothing is left to do about its subject. `facts` are named and ordered
    by this module alone.
    """

    key: str
    event: Event
    about: About
    tenant: TenantId
    environment: str
    subject: str
    policy: str
    digest: str
    says: str
    reason: str
    assets: Mapping[str, int]
    at: datetime
    facts: Mapping[str, str] = field(default_factory=dict)
    only_while: OnlyWhile = OnlyWhile.ALWAYS
    resolves: bool = False

    @property
    def token(self) -> str:
        """The idempotency key a receiver can tell a repetition by: 64 hex digits."""
        return digest(["notification", self.key])

    @property
    def title(self) -> str:
        """All of it in one line, in words of ours."""
        where = f" in {self.environment}" if self.environment else ""
        return f"{_NAMED[self.about][0]} {self.subject} of {self.tenant}{where} {self.says}"

    @property
    def summary(self) -> str:
        """The title, and what it is about in words of others."""
        more = self.reason or self.facts.get("what", "")
        return f"{self.title}: {more}" if more else self.title

    @property
    def look(self) -> str:
        """The command that shows more."""
        if self.event is Event.DRILL_DUE:
            return f"qlrf drills due --tenant {self.tenant}"
        return _NAMED[self.about][1].format(subject=self.subject, tenant=self.tenant)

    @property
    def incident(self) -> str:
        """The same for all messages about one matter: 64 hex digits."""
        if self.about is About.ROLLOUT:
            return digest([self.tenant, self.subject])
        # A broken glass is not looked at because its task is over; a due drill is not a lag.
        alone = self.about is About.RECOVERY_PLAN or self.event is Event.GLASS_BROKEN
        part = [self.event.value] if alone else []
        return digest([self.tenant, self.about.value, self.subject, *part])

    @property
    def counts(self) -> str:
        """How many assets stand where, in words."""
        return ", ".join(f"{count} {name}" for name, count in sorted(self.assets.items()))

    @property
    def lines(self) -> tuple[tuple[str, str], ...]:
        """Names and values below the title; what is empty is left out."""
        found = (
            *self._named(_ABOVE),
            ("Reason", self.reason),
            ("Assets", self.counts or self.facts.get("assets", "")),
            *self._named(_BETWEEN),
            ("Policy", self.policy),
            ("Digest", self.digest),
            *self._named(_BELOW),
            ("When", iso(self.at, digits=False)),
            ("Look", self.look),
        )
        return tuple((name, value) for name, value in found if value)

    def _named(self, names: tuple[str, ...]) -> Iterator[tuple[str, str]]:
        for name in names:
            shown = name.upper() if name in ("rto", "rpo") else name.replace("_", " ").capitalize()
            yield shown, self.facts.get(name, "")

    def document(self) -> dict[str, Any]:
        """As JSON: what a webhook receives, and what is kept."""
        return {
            "key": self.key,
            "event": self.event.value,
            "about": self.about.value,
            "tenant": self.tenant,
            "environment": self.environment,
            "subject": self.subject,
            "policy": self.policy,
            "digest": self.digest,
            "says": self.says,
            "reason": self.reason,
            "assets": dict(self.assets),
            "facts": dict(self.facts),
            "only_while": self.only_while.value,
            "resolves": self.resolves,
            "at": iso(self.at),
            "title": self.title,
            "look": self.look,
            # The name it had while messages were about rollouts alone.
            **({"rollout": self.subject} if self.about is About.ROLLOUT else {}),
        }


def read_message(document: Mapping[str, Any]) -> Message:
    """A message from its document; one that was kept before there were others is of a rollout."""
    names = ("key", "environment", "policy", "digest", "says", "reason", "assets")
    event = Event(document["event"])
    return Message(
        event=event,
        about=About(document.get("about", About.ROLLOUT)),
        tenant=TenantId(document["tenant"]),
        subject=document["subject"] if "subject" in document else document["rollout"],
        at=datetime.fromisoformat(document["at"]),
        facts=dict(document.get("facts", {})),
        only_while=OnlyWhile(document.get("only_while", "")),
        resolves=bool(document.get("resolves", event is Event.COMPLETED)),
        **{name: document[name] for name in names},
    )


def compose(
    *,
    event: Event,
    about: About,
    tenant: TenantId,
    subject: str,
    says: str,
    at: datetime,
    key: str = "",
    environment: str = "",
    policy: str = "",
    digest: str = "",
    reason: str = "",
    assets: Mapping[str, int] | None = None,
    facts: Mapping[str, str] | None = None,
    only_while: OnlyWhile = OnlyWhile.ALWAYS,
    resolves: bool = False,
) -> Message:
    """A message with everything in it cleaned; `says` and the names of facts are ours."""
    cleaned = {name: plain(text, LONGEST_REASON) for name, text in (facts or {}).items()}
    return Message(
        key=key,
        event=event,
        about=about,
        tenant=tenant,
        environment=plain(environment, _LONGEST_NAME),
        subject=plain(subject, _LONGEST_NAME),
        policy=plain(policy, _LONGEST_NAME),
        digest=digest[:_DIGEST_DIGITS],
        says=says,
        reason=plain(reason, LONGEST_REASON),
        assets=dict(assets or {}),
        at=at,
        facts={name: text for name, text in cleaned.items() if text},
        only_while=only_while,
        resolves=resolves,
    )


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
