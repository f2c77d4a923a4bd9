"""Hooks outside any asset: telling a web service that something happens, and hearing its answer."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from qlrf_pipelines.domain.operations import Status


@dataclass(frozen=True, slots=True, kw_only=True)
class Webhook:
    """One call to a service.

    `token` is sent along, so that the service can tell a repetition. `secret` is a reference
    (`env:NAME`, `file:/path`) to the key the body is signed with, never the key itself.
    """

    url: str
    body: Mapping[str, Any]
    token: str
    secret: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HookReport:
    """What became of a call: it succeeded, failed, or nobody knows whether it arrived."""

    status: Status
    why: str


class Hooks(ABC):
    """Calls once; whether to call again is the caller's."""

    @abstractmethod
    def call(self, hook: Webhook, *, timeout_seconds: float) -> HookReport:
        """POST the body as JSON; 200 to 299 is success, another answer or none sent is failure.

        A call that was sent and not answered within the time is unknown.

        Raises:
            Rejected: the URL is none, or the secret's reference leads nowhere; nothing was sent.
        """
