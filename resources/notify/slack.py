"""Slack: an incoming webhook, with everything that came from elsewhere as plain text."""

import json
from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.notifications import Event, Message
from resources.notify.http import TOKEN, post

_COLOURS: Mapping[Event, str] = {
    Event.STARTED: "#1d76db",
    Event.PROGRESS: "#1d76db",
    Event.PAUSED: "#d4a72c",
    Event.COMPLETED: "#1a7f37",
    Event.FAILED: "#cf222e",
    Event.ROLLBACK: "#bc4c00",
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
