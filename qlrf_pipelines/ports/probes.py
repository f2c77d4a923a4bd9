"""Probes: asking a service from the outside whether it serves."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.operations import HealthReport


class Probes(ABC):
    """Asks once; patience, repetition and verdicts are the caller's."""

    @abstractmethod
    def probe(self, check: Mapping[str, Any], *, timeout_seconds: float) -> HealthReport:
        """One answer to one check, whose `type` is `http` or `tcp` and whose `target` is final.

        An http target is a URL, and 200 to 399 is healthy; a tcp target is `host:port`.
        No answer within the time is unhealthy; a check that cannot be asked is unknown.
        """
