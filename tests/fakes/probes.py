"""Probes that answer what the test said."""

from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.operations import Health, HealthReport
from qlrf_pipelines.ports.probes import Probes


class FakeProbes(Probes):
    """Every target is healthy, except those given another answer; answers may be a sequence."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, Any]] = []
        self._answers: dict[str, list[Health]] = {}

    def answer(self, target: str, *health: Health) -> None:
        """What a target says, one answer after the other; the last one stays."""
        self._answers[target] = list(health)

    def probe(self, check: Mapping[str, Any], *, timeout_seconds: float) -> HealthReport:
        self.asked.append(dict(check))
        if check.get("type") not in ("http", "tcp") or not check.get("target"):
            return HealthReport(health=Health.UNKNOWN, why="There is no such probe.")
        answers = self._answers.get(str(check["target"]), [Health.HEALTHY])
        health = answers.pop(0) if len(answers) > 1 else answers[0]
        return HealthReport(health=health, why=f"{check['target']} is {health}.")
