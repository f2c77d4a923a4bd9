"""Channels: how people and systems are reached, as a tenant declares it; secrets are references."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

_WEB = ("http://", "https://")


class Channel(StrEnum):
    """Through what a message goes."""

    SLACK = "slack"
    EMAIL = "email"
    WEBHOOK = "webhook"
    PAGERDUTY = "pagerduty"


class Tls(StrEnum):
    """How the connection to a mail server is protected."""

    STARTTLS = "starttls"
    IMPLICIT = "implicit"
    NONE = "none"


@dataclass(frozen=True, slots=True, kw_only=True)
class Smtp:
    """Who takes mail, and in whose name it is sent."""

    host: str
    sender: str
    port: int = 587
    tls: Tls = Tls.STARTTLS


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where the messages of one channel go; no `target` means: those no other place is for.

    `credentials` are references (`env:NAME`, `file:/path`), never secrets.
    """

    channel: Channel
    target: str = ""
    url: str = ""
    smtp: Smtp | None = None
    credentials: Mapping[str, str] = field(default_factory=dict)

    def address(self, target: str) -> str:
        """Where a webhook is called for a policy's target: the URL, or the target itself."""
        return self.url or (target if is_web(target) else "")


def is_web(text: str) -> bool:
    """Whether a text is an address of the web."""
    return text.startswith(_WEB)


def find_place(places: Sequence[Place], channel: Channel, target: str) -> Place | None:
    """The place for a policy's target: its own, else the channel's for every other target.

    A webhook's target that is a URL needs none: it is called unsigned.
    """
    mine = [place for place in places if place.channel is channel]
    for wanted in (target, ""):
        for place in mine:
            if place.target == wanted:
                return place
    if channel is Channel.WEBHOOK and is_web(target):
        return Place(channel=channel, target=target, url=target)
    return None
