"""PagerDuty: Events API v2, one incident per matter, resolved when nothing is left to do."""

import json
from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.messages import Event, Message
from qlrf_pipelines.domain.moments import iso
from resources.notify.http import TOKEN, post

ADDRESS = "https://events.pagerduty.com/v2/enqueue"
_LONGEST_SUMMARY = 1024
_SEVERITY: Mapping[Event, str] = {
    Event.STARTED: "info",
    Event.PROGRESS: "info",
    Event.PAUSED: "warning",
    Event.COMPLETED: "info",
    Event.FAILED: "critical",
    Event.ROLLBACK: "error",
    Event.APPROVAL_REQUESTED: "warning",
    Event.APPROVAL_REMINDER: "warning",
    Event.APPROVAL_DECIDED: "info",
    Event.APPROVAL_EXPIRED: "error",
    Event.GLASS_BROKEN: "error",
    Event.DRILL_STARTED: "info",
    Event.DRILL_WAITING: "warning",
    Event.DRILL_HELD: "critical",
    Event.DRILL_COMPLETED: "info",
    Event.DRILL_FAILED: "error",
    Event.DRILL_DUE: "warning",
    Event.RPO_AT_RISK: "error",
}


def payload(message: Message, *, routing_key: str) -> dict[str, Any]:
    """What PagerDuty is sent.

    The key is the matter's: what happens next to it, or is sent again, is no second incident.
    """
    return {
        "routing_key": routing_key,
        "event_action": "resolve" if message.resolves else "trigger",
        "dedup_key": f"qlrf-{message.incident}",
        "client": "QL-RF",
        "payload": {
            "summary": message.summary[:_LONGEST_SUMMARY],
            "source": message.tenant,
            "severity": _SEVERITY[message.event],
            "timestamp": iso(message.at),
            "component": message.subject,
            "group": message.environment or "unknown",
            "class": message.event.value,
            "custom_details": dict(message.lines) | {"token": message.token},
        },
    }


def send(message: Message, *, url: str, routing_key: str, what: str, seconds: float) -> str:
    """Enqueue the event."""
    body = json.dumps(payload(message, routing_key=routing_key)).encode()
    headers = {TOKEN: message.token}
    return post(url or ADDRESS, body, headers=headers, what=what, seconds=seconds)
