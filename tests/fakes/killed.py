"""A store that kills whoever uses it at one point, as the kernel would."""

from collections.abc import Callable, Sequence
from typing import Any

from qlrf_pipelines.domain.drills import DrillRecord, DrillStep
from qlrf_pipelines.domain.estate import TenantId
from tests.fakes.drills import FakeDrills
from tests.fakes.ledger import FakeLedger


class Killed(BaseException):
    """The process is gone; no line of it runs after this."""


class KillingDrills(FakeDrills):
    """Kills at the n-th change it is asked for, before or after keeping it."""

    def __init__(self, ledger: FakeLedger | None = None) -> None:
        super().__init__(ledger)
        self.at = 0
        self.after = False
        self.seen = 0

    def kill(self, at: int, *, after: bool) -> None:
        """Kill at that change from now on; 0 never does."""
        self.at, self.after, self.seen = at, after, 0

    def amend(
        self, tenant: TenantId, drill: str, step: Callable[[DrillRecord], DrillStep | None]
    ) -> DrillRecord:
        return self._perhaps(lambda: FakeDrills.amend(self, tenant, drill, step))

    def record(self, tenant: TenantId, drill: str, *, attempt: int, **parts: Sequence[Any]) -> None:
        self._perhaps(lambda: FakeDrills.record(self, tenant, drill, attempt=attempt, **parts))

    def _perhaps(self, work: Callable[[], Any]) -> Any:
        self.seen += 1
        if self.at and self.seen >= self.at and not self.after:
            raise Killed
        done = work()
        if self.at and self.seen >= self.at:
            raise Killed
        return done
