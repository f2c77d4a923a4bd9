"""News: what one entry of the ledger tells, and to whom: each listener hears what it asked for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from qlrf_pipelines.domain.channels import Channel
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.messages import Event, Message
from qlrf_pipelines.domain.patching import Notification


@dataclass(frozen=True, slots=True, kw_only=True)
class News:
    """A message to nobody yet; a listener hears it as the first of `events` that it wants.

    Heard as one of `resolving`, it says that nothing is left to do.
    """

    events: tuple[Event, ...]
    message: Message
    resolving: tuple[Event, ...] = ()


def heard(news: News, listener: Notification, *, step: object) -> tuple[Message, ...]:
    """The news as a listener hears it; nothing if it does not want to hear of it.

    It is told once, but where incidents are kept once for each of them: a broken glass is one of
    its own, and nobody is asked any more. `step` is the number of the entry that tells it, or
    whatever else makes it one.
    """
    found: dict[str, Message] = {}
    for event in news.events:
        if event.value in listener.events:
            own = f"{step}.{event}" if found else step
            name = key(news.message.tenant, own, listener)
            told = replace(news.message, event=event, key=name, resolves=event in news.resolving)
            found.setdefault(told.incident, told)
    messages = tuple(found.values())
    return messages if listener.channel == Channel.PAGERDUTY else messages[:1]


def key(tenant: TenantId, step: object, listener: Notification) -> str:
    """What makes a message one: whose, which step, through what and to whom."""
    return f"{tenant}:{step}:{listener.channel}:{listener.target}"


def wanted(listeners: Iterable[Notification], events: Iterable[Event]) -> list[Notification]:
    """Those who want to hear of any of these."""
    names = {event.value for event in events}
    return [one for one in listeners if names.intersection(one.events)]


def reason_of(content: Mapping[str, Any]) -> str:
    """Why somebody did something, with their name; what a process says has none."""
    why = str(content.get("reason") or content.get("detail") or "")
    if "role" not in content:  # a process said it, and its name tells nobody anything
        return why
    return f"{content.get('by')}: {why}" if why else f"by {content.get('by')}"


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
