"""What every channel promises, on the fake and over real connections on loopback."""

import socket
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from qlrf_pipelines.domain.channels import Channel, Place, Smtp, Tls
from qlrf_pipelines.domain.errors import Denied, Rejected, Unavailable
from qlrf_pipelines.domain.messages import Message
from qlrf_pipelines.ports.notifier import Notifier
from resources.notify.channels import ChannelNotifier
from resources.secrets import Secrets
from tests.fakes.mail import MailServer, mail_server
from tests.fakes.messages import message
from tests.fakes.metrics import unused_port
from tests.fakes.notifier import FakeNotifier
from tests.fakes.web import Service, service

HIDDEN = "very-hidden"
SECONDS = 2.0
CHANNELS = ["slack", "webhook", "pagerduty", "email"]


@dataclass
class Side:
    """One channel, and whoever is on its other side."""

    notifier: Notifier
    place: Place
    target: str
    other: Any

    def send(self, told: Message | None = None) -> str:
        return self.notifier.send(told or message(), place=self.place, target=self.target)

    def heard(self) -> int:
        if isinstance(self.other, FakeNotifier):
            return len(self.other.taken)
        if isinstance(self.other, MailServer):
            return len(self.other.letters)
        return len(self.other.heard)

    def answers(self, error: type[Exception]) -> None:
        """Let the other side say that it cannot now, that we may not, or that it never will."""
        if isinstance(self.other, Service):
            self.other.status = {Unavailable: 503, Denied: 403, Rejected: 400}[error]
        elif isinstance(self.other, MailServer):
            self.other.to_recipient = {Unavailable: "451 later", Rejected: "550 no such box"}[error]
        else:

            def refuse(told: Message, target: str) -> None:
                raise error("as told")

            self.other.refuse = refuse


def places(port: int) -> dict[str, tuple[Place, str]]:
    url = f"http://127.0.0.1:{port}/{HIDDEN}"
    smtp = Smtp(host="127.0.0.1", port=port, sender="qlrf@example.com", tls=Tls.NONE)
    return {
        "slack": (Place(channel=Channel.SLACK, credentials={"url": "env:URL"}), "#ops"),
        "webhook": (
            Place(channel=Channel.WEBHOOK, url=url, credentials={"secret": "env:SECRET"}),
            "change-log",
        ),
        "pagerduty": (
            Place(channel=Channel.PAGERDUTY, url=url, credentials={"routingKey": "env:SECRET"}),
            "on-call",
        ),
        "email": (Place(channel=Channel.EMAIL, smtp=smtp), "ops@example.com"),
    }


def side(name: str, other: Any, port: int) -> Side:
    env = {"URL": f"http://127.0.0.1:{port}/{HIDDEN}", "SECRET": HIDDEN}
    place, target = places(port)[name]
    return Side(ChannelNotifier(Secrets(env), seconds=SECONDS), place, target, other)


@pytest.fixture(params=["fake", *CHANNELS])
def channel(request: pytest.FixtureRequest) -> Iterator[Side]:
    with ExitStack() as stack:
        if request.param == "fake":
            fake = FakeNotifier()
            yield Side(fake, *places(1)["slack"], fake)
        elif request.param == "email":
            server = stack.enter_context(mail_server())
            yield side("email", server, server.port)
        else:
            web = stack.enter_context(service())
            yield side(request.param, web, web.port)


def test_a_message_is_sent_once_and_it_is_said_what_came_back(channel: Side) -> None:
    assert channel.send()
    assert channel.heard() == 1


@pytest.mark.parametrize("error", [Unavailable, Denied, Rejected])
def test_a_no_is_raised_as_what_it_means_and_not_tried_again(
    channel: Side, error: type[Exception]
) -> None:
    if isinstance(channel.other, MailServer) and error is Denied:
        return  # a mail server denies a login: see test_mail.py
    channel.answers(error)

    with pytest.raises(error) as raised:
        channel.send()

    assert type(raised.value) is error
    assert HIDDEN not in str(raised.value)


@pytest.mark.parametrize("name", CHANNELS)
def test_nobody_there_is_unavailable_and_no_secret_is_named(name: str) -> None:
    nowhere = side(name, None, unused_port())

    with pytest.raises(Unavailable) as raised:
        nowhere.send()

    assert raised.value.retryable
    assert HIDDEN not in str(raised.value)
    assert f"{name} " in str(raised.value)


@pytest.mark.parametrize("name", ["slack", "webhook", "pagerduty"])
def test_a_reference_that_leads_nowhere_is_named_and_nothing_is_sent(name: str) -> None:
    with service() as web:
        place, target = places(web.port)[name]
        with pytest.raises(Rejected, match="env:"):
            ChannelNotifier(Secrets({})).send(message(), place=place, target=target)

        assert web.heard == []


@pytest.mark.parametrize("name", ["slack", "webhook", "pagerduty"])
def test_no_answer_in_time_is_unavailable(name: str) -> None:
    with service() as web:
        web.silent = True
        slow = side(name, web, web.port)
        slow.notifier = ChannelNotifier(Secrets({"URL": web.url, "SECRET": "s"}), seconds=0.2)

        with pytest.raises(Unavailable, match="did not answer"):
            slow.send()


def test_a_receiver_that_answers_byte_by_byte_holds_nobody_up() -> None:
    over = threading.Event()

    def drip(listening: socket.socket) -> None:
        connection, _ = listening.accept()
        with connection:
            while not over.wait(0.05):  # never longer than the wait for a byte
                try:
                    connection.sendall(b"H")
                except OSError:
                    return

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=drip, args=(listening,), daemon=True).start()
        port = listening.getsockname()[1]
        slow = side("slack", None, port)
        env = {"URL": f"http://127.0.0.1:{port}/{HIDDEN}"}
        slow.notifier = ChannelNotifier(Secrets(env), seconds=0.5)
        try:
            with pytest.raises(Unavailable, match=r"took longer than 1 seconds|did not answer"):
                slow.send()
        finally:
            over.set()


@pytest.mark.parametrize("name", ["slack", "webhook", "pagerduty"])
@pytest.mark.parametrize(
    ("status", "error"), [(429, Unavailable), (500, Unavailable), (302, Rejected), (404, Rejected)]
)
def test_what_a_status_means(name: str, status: int, error: type[Exception]) -> None:
    with service() as web:
        web.status, web.location, web.body = status, "/elsewhere", b"no_service"
        with pytest.raises(error, match=f"{status}: no_service") as raised:
            side(name, web, web.port).send()

        assert type(raised.value) is error
        assert len(web.heard) == 1


@pytest.mark.parametrize("name", CHANNELS)
def test_sent_again_it_carries_the_same_mark(name: str) -> None:
    with ExitStack() as stack:
        if name == "email":
            server = stack.enter_context(mail_server())
            mail = side(name, server, server.port)
            mail.send()
            mail.send()
            marks = [letter["Message-ID"] for letter in server.letters]
        else:
            web = stack.enter_context(service())
            sender = side(name, web, web.port)
            sender.send()
            sender.send()
            marks = [headers["Idempotency-Key"] for _, headers, _ in web.heard]

    assert len(marks) == 2
    assert len(set(marks)) == 1
    assert message().token in marks[0]


def test_a_place_that_lacks_something_says_what() -> None:
    notifier = ChannelNotifier(Secrets({}))
    for channel_, missing in (
        (Channel.SLACK, "credentials.url"),
        (Channel.WEBHOOK, "url"),
        (Channel.PAGERDUTY, "credentials.routingKey"),
        (Channel.EMAIL, "smtp"),
    ):
        with pytest.raises(Rejected, match=missing):
            notifier.send(message(), place=Place(channel=channel_), target="x")
