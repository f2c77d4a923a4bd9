"""A notifier that only remembers."""

from collections.abc import Callable

from qlrf_pipelines.domain.channels import Place
from qlrf_pipelines.domain.messages import Message
from qlrf_pipelines.ports.notifier import Notifier


class FakeNotifier(Notifier):
    """Takes everything unless `refuse` raises; keeps what it took, and what it was asked."""

    def __init__(self) -> None:
        self.taken: list[tuple[Message, Place, str]] = []
        self.asked: list[Message] = []
        self.refuse: Callable[[Message, str], None] = lambda message, target: None

    def send(self, message: Message, *, place: Place, target: str) -> str:
        self.asked.append(message)
        self.refuse(message, target)
        self.taken.append((message, place, target))
        return "taken"

    @property
    def events(self) -> list[str]:
        """The events it took, in their order."""
        return [message.event.value for message, _, _ in self.taken]
