"""Hooks that remember every call, and answer as the test said."""

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.operations import Status
from qlrf_pipelines.ports.hooks import HookReport, Hooks, Webhook


class FakeHooks(Hooks):
    """Every call succeeds, except to URLs given another status."""

    def __init__(self) -> None:
        self.calls: list[Webhook] = []
        self.answers: dict[str, Status] = {}

    def call(self, hook: Webhook, *, timeout_seconds: float) -> HookReport:
        if not hook.url.startswith(("http://", "https://")):
            raise Rejected(f"Hook {hook.url!r} is no http or https URL; correct it.")
        self.calls.append(hook)
        status = self.answers.get(hook.url, Status.SUCCEEDED)
        return HookReport(status=status, why=f"{hook.url} {status}.")
