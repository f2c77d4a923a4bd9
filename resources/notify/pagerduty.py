"""PagerDuty: Events API v2, one incident per rollout, resolved when it is completed."""

import json
from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.evidence import digest
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.notifications import Event, Message
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
}


def payload(message: Message, *, routing_key: str) -> dict[str, Any]:
    """What PagerDuty is sent.

    The key is the rollout's: what happens next to it, or is sent again, is no second incident.
    """
    summary = f"{message.title}: {message.reason}" if message.reason else message.title
    resolved = message.event is Event.COMPLETED
    return {
        "routing_key": routing_key,
        "event_action": "resolve" if resolved else "trigger",
        "dedup_key": f"qlrf-{digest([message.tenant, message.rollout])}",
        "client": "QL-RF",
        "payload": {
            "summary": summary[:_LONGEST_SUMMARY],
            "source": message.tenant,
            "severity": _SEVERITY[message.event],
            "timestamp": iso(message.at),
            "component": message.rollout,
            "group": message.environment,
            "class": message.event.value,
            "custom_details": dict(message.lines) | {"token": message.token},
        },
    }


def send(message: Message, *, url: str, routing_key: str, what: str, seconds: float) -> str:
    """Enqueue the event."""
    body = json.dumps(payload(message, routing_key=routing_key)).encode()
    headers = {TOKEN: message.token}
    return post(url or ADDRESS, body, headers=headers, what=what, seconds=seconds)
