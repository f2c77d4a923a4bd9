"""Probes with answers a test decides on."""

from collections.abc import Callable, Mapping
from typing import Any

from qlrf_pipelines.domain.operations import Health, HealthReport
from qlrf_pipelines.ports.probes import Probes


class FakeProbes(Probes):
    """Says what `answer` says of a target; healthy unless told otherwise."""

    def __init__(self, answer: Callable[[str], Health] | None = None) -> None:
        self.answer = answer or (lambda target: Health.HEALTHY)
        self.asked: list[Mapping[str, Any]] = []

    def probe(self, check: Mapping[str, Any], *, timeout_seconds: float) -> HealthReport:
        self.asked.append(check)
        health = self.answer(str(check["target"]))
        return HealthReport(health=health, why=f"it is {health}")
