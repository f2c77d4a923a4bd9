"""Hooks that leave the platform: telling somebody else's system that something begins or ended."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.operations import HealthReport


class Hooks(ABC):
    """Calls webhooks; what runs on an asset or in its cloud is an operator's operation."""

    @abstractmethod
    def call(
        self, hook: Mapping[str, Any], *, token: str, payload: Mapping[str, Any]
    ) -> HealthReport:
        """Call a hook's `target` once, within its `timeout_seconds`; an answer 2xx is healthy.

        The same token may be sent again after a crash: the receiver tells a repetition by it.
        What could not be sent at all is unknown.

        Raises:
            Rejected: the reference of the hook's secret leads nowhere; nothing was sent.
        """
