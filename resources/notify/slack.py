"""Slack: an incoming webhook, with everything that came from elsewhere as plain text."""

import json
from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.messages import Event, Message
from resources.notify.http import TOKEN, post

_BLUE, _YELLOW, _GREEN, _ORANGE, _RED = "#1d76db", "#d4a72c", "#1a7f37", "#bc4c00", "#cf222e"
_COLOURS: Mapping[Event, str] = {
    Event.STARTED: _BLUE,
    Event.PROGRESS: _BLUE,
    Event.PAUSED: _YELLOW,
    Event.COMPLETED: _GREEN,
    Event.FAILED: _RED,
    Event.ROLLBACK: _ORANGE,
    Event.APPROVAL_REQUESTED: _YELLOW,
    Event.APPROVAL_REMINDER: _YELLOW,
    Event.APPROVAL_DECIDED: _BLUE,
    Event.APPROVAL_EXPIRED: _ORANGE,
    Event.GLASS_BROKEN: _ORANGE,
    Event.DRILL_STARTED: _BLUE,
    Event.DRILL_WAITING: _YELLOW,
    Event.DRILL_HELD: _RED,
    Event.DRILL_COMPLETED: _GREEN,
    Event.DRILL_FAILED: _RED,
    Event.DRILL_DUE: _YELLOW,
    Event.RPO_AT_RISK: _ORANGE,
}


def payload(message: Message) -> dict[str, Any]:
    """What Slack is sent: a line for the preview, and a block Slack takes for text alone."""
    text = "\n".join(f"{name}: {value}" for name, value in message.lines)
    block = {"type": "section", "text": {"type": "plain_text", "text": text, "emoji": False}}
    return {
        "text": _escaped(message.title),
        "unfurl_links": False,
        "unfurl_media": False,
        "attachments": [{"color": _COLOURS[message.event], "blocks": [block]}],
    }


def _escaped(text: str) -> str:
    """Text that mentions nobody and links nowhere; `*_~` and the like would only decorate it."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def send(message: Message, *, url: str, what: str, seconds: float) -> str:
    """Send it to the incoming webhook."""
    body = json.dumps(payload(message)).encode()
    return post(url, body, headers={TOKEN: message.token}, what=what, seconds=seconds)
