"""Every channel behind one port: its secrets are resolved now, used and let go."""

from qlrf_pipelines.domain.channels import Channel, Place
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.notifications import Message
from qlrf_pipelines.ports.notifier import Notifier
from resources.notify.http import SECONDS
from resources.secrets import Secrets


class ChannelNotifier(Notifier):
    """Sends by Slack, webhooks, mail and PagerDuty; a channel is loaded when it is first used."""

    def __init__(self, secrets: Secrets, *, seconds: float = SECONDS) -> None:
        self._secrets = secrets
        self._seconds = seconds

    def send(self, message: Message, *, place: Place, target: str) -> str:
        """One message, once; see the port."""
        what = f"{place.channel} {target} of tenant {message.tenant}"
        found = self._secrets.resolved(place.credentials, owner=what)
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


def _needed(found: str | None, what: str, name: str) -> str:
    if not found:
        raise Rejected(f"{what} has no {name}; add it to the tenant's notifications.")
    return found
