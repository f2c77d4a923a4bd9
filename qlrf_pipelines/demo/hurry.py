"""Waiting without time: the demonstration's clock jumps over the hours a rollout would watch."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.rollout import AssetRow, Change, Rollout, RolloutState
from qlrf_pipelines.ports.clock import Clock
from qlrf_pipelines.ports.rollouts import Rollouts


class HurriedClock(Clock):
    """Another clock, ahead by everything that was skipped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead = timedelta(0)

    def now(self) -> datetime:
        """The other clock's time, and what was skipped on top."""
        return self._clock.now() + self._ahead

    def skip(self, seconds: float) -> None:
        """Be later by as much, at once."""
        self._ahead += timedelta(seconds=seconds)


class HurriedRollouts(Rollouts):
    """Other rollouts, where whoever waits skips the time; every step is told to `seen`."""

    def __init__(
        self, rollouts: Rollouts, clock: HurriedClock, seen: Callable[[Rollout], None]
    ) -> None:
        self._rollouts = rollouts
        self._clock = clock
        self._seen = seen

    def open(self, tenant: TenantId, first: Change) -> Rollout:
        """As the other one."""
        return self._told(self._rollouts.open(tenant, first))

    def get(self, tenant: TenantId, rollout: str) -> Rollout:
        """As the other one."""
        return self._rollouts.get(tenant, rollout)

    def rows(self, tenant: TenantId, rollout: str) -> Sequence[AssetRow]:
        """As the other one."""
        return self._rollouts.rows(tenant, rollout)

    def amend(
        self,
        tenant: TenantId,
        rollout: str,
        step: Callable[[Rollout], Change | None],
        *,
        attempt: int | None = None,
    ) -> Rollout:
        """As the other one."""
        return self._told(self._rollouts.amend(tenant, rollout, step, attempt=attempt))

    def list(
        self,
        tenant: TenantId,
        *,
        states: Sequence[RolloutState] = (),
        before: str = "",
        limit: int = 100,
    ) -> Sequence[Rollout]:
        """As the other one."""
        return self._rollouts.list(tenant, states=states, before=before, limit=limit)

    def with_work(self, tenant: TenantId, *, now: datetime, limit: int = 1000) -> Sequence[Rollout]:
        """As the other one."""
        return self._rollouts.with_work(tenant, now=now, limit=limit)

    def find(self, tenant: TenantId, *, prefix: str) -> Sequence[Rollout]:
        """As the other one."""
        return self._rollouts.find(tenant, prefix=prefix)

    def wait(self, tenant: TenantId, rollout: str, *, after: int, seconds: float) -> bool:
        """Skip the time; what happened meanwhile is nothing."""
        self._clock.skip(seconds)
        return self._rollouts.get(tenant, rollout).seq > after

    def _told(self, rollout: Rollout) -> Rollout:
        self._seen(rollout)
        return rollout
