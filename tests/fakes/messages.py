"""A message with everything a test does not care about filled in."""

from datetime import timedelta
from typing import Any

from qlrf_pipelines.domain.channels import Channel
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.messages import About, Event, Message, OnlyWhile
from qlrf_pipelines.domain.notifications import Note
from tests.fakes.clock import NOON

ACME = TenantId("acme")


def message(**parts: Any) -> Message:
    """A rollout of acme was tripped at noon."""
    given: dict[str, Any] = {
        "key": "acme:7:slack:#ops",
        "event": Event.ROLLBACK,
        "tenant": ACME,
        "environment": "production",
        "about": About.ROLLOUT,
        "subject": "t-1",
        "policy": "critical-security",
        "digest": "0123456789ab",
        "says": "is being rolled back",
        "reason": "failure_share is 0.4, above 0.2",
        "assets": {"done": 3, "failed": 2},
        "at": NOON,
    }
    return Message(**(given | parts))


def request(**parts: Any) -> Message:
    """At noon, rita asks acme for the approval of a change of twelve assets."""
    given: dict[str, Any] = {
        "event": Event.APPROVAL_REQUESTED,
        "about": About.TASK,
        "policy": "",
        "says": "asks for approval",
        "reason": "",
        "assets": {"planned": 12},
        "facts": {
            "what": "Change 12 production assets",
            "asked_by": "rita",
            "risk": "high, 61.5 of 100",
            "until": "2026-11-02T12:00:00Z",
            "approvals": "0 of 2: 2 more from engineer or higher, not the requester",
        },
        "only_while": OnlyWhile.AWAITING_APPROVAL,
    }
    return message(**(given | parts))


def note(key: str = "acme:7:slack:#ops", **parts: Any) -> Note:
    """That message on its way to #ops, due at noon, for a day."""
    given: dict[str, Any] = {
        "channel": Channel.SLACK,
        "target": "#ops",
        "message": message(key=key),
        "queued_at": NOON,
        "due_at": NOON,
        "give_up_at": NOON + timedelta(hours=24),
    }
    return Note(**(given | parts))
