"""Every channel behind one port: its secrets are resolved now, used and let go."""

import threading
from collections.abc import Callable

from qlrf_pipelines.domain.channels import Channel, Place
from qlrf_pipelines.domain.errors import QlrfError, Rejected, Unavailable
from qlrf_pipelines.domain.messages import Message
from qlrf_pipelines.ports.notifier import Notifier
from resources.notify.http import SECONDS
from resources.secrets import Secrets

# How many times the wait for a byte an attempt may take in all.
_TIMES = 2


class ChannelNotifier(Notifier):
    """Sends by Slack, webhooks, mail and PagerDuty; a channel is loaded when it is first used."""

    def __init__(self, secrets: Secrets, *, seconds: float = SECONDS) -> None:
        self._secrets = secrets
        self._seconds = seconds

    def send(self, message: Message, *, place: Place, target: str) -> str:
        """One message, once; see the port."""
        what = f"{place.channel} {target} of tenant {message.tenant}"
        found = self._secrets.resolved(place.credentials, owner=what)
        return _bounded(
            lambda: self._send(message, place, target, found, what),
            seconds=self._seconds * _TIMES,
            what=what,
        )

    def _send(
        self, message: Message, place: Place, target: str, found: dict[str, str], what: str
    ) -> str:
        if place.channel is Channel.SLACK:
            from resources.notify import slack

            url = _needed(found.get("url"), what, "credentials.url")
            return slack.send(message, url=url, what=what, seconds=self._seconds)
        if place.channel is Channel.WEBHOOK:
            from resources.notify import webhook

            url = _needed(place.address(target), what, "url")
            return webhook.send(
                message, url=url, secret=found.get("secret"), what=what, seconds=self._seconds
            )
        if place.channel is Channel.PAGERDUTY:
            from resources.notify import pagerduty

            key = _needed(found.get("routingKey"), what, "credentials.routingKey")
            return pagerduty.send(
                message, url=place.url, routing_key=key, what=what, seconds=self._seconds
            )
        return self._mail(message, place, target, found, what)

    def _mail(
        self, message: Message, place: Place, target: str, found: dict[str, str], what: str
    ) -> str:
        from resources.notify import mail

        if place.smtp is None:
            raise Rejected(f"{what} has no smtp; add it to the tenant's notifications.")
        return mail.send(
            message, smtp=place.smtp, login=found, to=target, what=what, seconds=self._seconds
        )


def _bounded(work: Callable[[], str], *, seconds: float, what: str) -> str:
    """What some work says, if it ends in time; else it is left to itself.

    A timeout of a connection bounds the wait for the next byte. A resolver that hangs, or a
    receiver that sends one byte after the other, would hold the messages of every tenant.
    """
    said: list[str] = []
    wrong: list[QlrfError] = []
    over = threading.Event()

    def run() -> None:
        try:
            said.append(work())
        except QlrfError as error:
            wrong.append(error)
        finally:
            over.set()

    threading.Thread(target=run, name="notify", daemon=True).start()
    if not over.wait(seconds):
        raise Unavailable(f"{what} took longer than {seconds:g} seconds; it may have arrived.")
    if wrong:
        raise wrong[0]
    if not said:
        raise Unavailable(f"{what} could not be asked; the process' errors say why.")
    return said[0]


def _needed(found: str | None, what: str, name: str) -> str:
    if not found:
        raise Rejected(f"{what} has no {name}; add it to the tenant's notifications.")
    return found
