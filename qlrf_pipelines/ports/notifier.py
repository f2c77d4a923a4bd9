"""The notifier: hands a message to whoever carries it to people."""

from abc import ABC, abstractmethod

from qlrf_pipelines.domain.channels import Place
from qlrf_pipelines.domain.messages import Message


class Notifier(ABC):
    """Sends once and does not try again: whoever calls it keeps what was not sent."""

    @abstractmethod
    def send(self, message: Message, *, place: Place, target: str) -> str:
        """Send a message to a policy's target by a place of its tenant; what the other side said.

        Sent again, the message carries the same token, so that a receiver can tell.

        Raises:
            Unavailable: nobody took it (Denied: we are not allowed to).
            Rejected: a secret's reference leads nowhere, or the other side will never take this.
        """
