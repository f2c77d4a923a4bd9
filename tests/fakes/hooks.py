"""Webhooks that are only remembered."""

from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.operations import Health, HealthReport
from qlrf_pipelines.ports.hooks import Hooks


class FakeHooks(Hooks):
    """Answers 200, or what `answers` says of a target; keeps every call."""

    def __init__(self, answers: Mapping[str, HealthReport] | None = None) -> None:
        self.answers = dict(answers or {})
        self.calls: list[tuple[str, str, Mapping[str, Any]]] = []

    def call(
        self, hook: Mapping[str, Any], *, token: str, payload: Mapping[str, Any]
    ) -> HealthReport:
        self.calls.append((str(hook["target"]), token, payload))
        good = HealthReport(health=Health.HEALTHY, why="answered 200")
        return self.answers.get(str(hook["target"]), good)
