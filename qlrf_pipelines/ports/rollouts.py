"""Rollouts: durable rows of what is being changed; a process is only an attempt at going on."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from datetime import datetime

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.rollout import AssetRow, Change, Rollout, RolloutState


class Rollouts(ABC):
    """Where rollouts are kept; every step is kept whole, with its evidence in the ledger, or not.

    Each asset belongs to at most one rollout at a time: `Change.locks` takes it, `free` gives it
    back.
    """

    @abstractmethod
    def open(self, tenant: TenantId, first: Change) -> Rollout:
        """Keep a new rollout with its rows; the one that is kept under its id, if there is one.

        Raises:
            Refused: another rollout holds one of `locks`, or no run has claimed its task's digest.
        """

    @abstractmethod
    def get(self, tenant: TenantId, rollout: str) -> Rollout:
        """A rollout's row.

        Raises:
            NotFound: the tenant has no such rollout.
        """

    @abstractmethod
    def rows(self, tenant: TenantId, rollout: str) -> Sequence[AssetRow]:
        """The rows of its assets, in their order."""

    @abstractmethod
    def amend(
        self,
        tenant: TenantId,
        rollout: str,
        step: Callable[[Rollout], Change | None],
        *,
        attempt: int | None = None,
    ) -> Rollout:
        """Take one step under the rollout's lock; None keeps everything as it is.

        With `attempt`, only the process that drives the rollout in this attempt may take it.
        `step` may be called again if the connection was lost, so it must be pure.

        Raises:
            NotFound: the tenant has no such rollout.
            Refused: another attempt drives it now; another rollout holds one of `locks`; or what
                `step` raised.
        """

    @abstractmethod
    def list(
        self,
        tenant: TenantId,
        *,
        states: Sequence[RolloutState] = (),
        before: str = "",
        limit: int = 100,
    ) -> Sequence[Rollout]:
        """Rollouts, newest first; those older than the id `before`; no states means all."""

    @abstractmethod
    def with_work(self, tenant: TenantId, *, now: datetime, limit: int = 1000) -> Sequence[Rollout]:
        """Rollouts that have something to do now without a human, oldest first.

        Those on their way that do not sleep beyond `now`; those that were stopped and have
        something in the air, which somebody follows to its end; and those that are over and still
        hold an asset: something is in the air, or whoever ended them was killed before the last
        step.
        """

    @abstractmethod
    def find(self, tenant: TenantId, *, prefix: str) -> Sequence[Rollout]:
        """The rollouts whose id begins so, at most ten."""

    @abstractmethod
    def wait(self, tenant: TenantId, rollout: str, *, after: int, seconds: float) -> bool:
        """Sleep until a rollout took a step after number `after`; False if time ran out before."""
