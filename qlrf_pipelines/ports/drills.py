"""Drills: durable rows of what was tried, what moved, and what was seen while it did."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from qlrf_pipelines.domain.drills import DrillRecord, DrillStep
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.measurement import Answer, CanaryWrite


class Drills(ABC):
    """Where drills are kept; every step is kept whole, with its evidence in the ledger, or not."""

    @abstractmethod
    def open(self, tenant: TenantId, first: DrillStep) -> DrillRecord:
        """Keep a new drill.

        Raises:
            Refused: the application has a drill that is not closed.
            Unavailable: the database does not answer.
        """

    @abstractmethod
    def get(self, tenant: TenantId, drill: str) -> DrillRecord:
        """A drill with its entries and moves.

        Raises:
            NotFound: the tenant has no such drill.
        """

    @abstractmethod
    def amend(
        self, tenant: TenantId, drill: str, step: Callable[[DrillRecord], DrillStep | None]
    ) -> DrillRecord:
        """Take one step: `step` sees the drill alone, nobody else changes it meanwhile.

        What it returns is kept in one transaction with its evidence; None keeps everything as it
        is. It may be called again if the connection was lost, so it must be pure.

        Raises:
            NotFound: the tenant has no such drill.
            Refused: what `step` raised.
        """

    @abstractmethod
    def record(
        self,
        tenant: TenantId,
        drill: str,
        *,
        attempt: int,
        answers: Sequence[Answer] = (),
        writes: Sequence[CanaryWrite] = (),
    ) -> None:
        """Keep what probes answered and what was written, in order.

        A write is kept twice: when it is attempted, and once more when it is acknowledged.

        Raises:
            Refused: another attempt has taken the drill over.
        """

    @abstractmethod
    def answers(self, tenant: TenantId, drill: str) -> Sequence[Answer]:
        """Every answer of every probe, in the order they were kept."""

    @abstractmethod
    def writes(self, tenant: TenantId, drill: str) -> Sequence[CanaryWrite]:
        """Every canary write, by member and number, acknowledged or not."""

    @abstractmethod
    def list(
        self,
        tenant: TenantId,
        *,
        application: str = "",
        prefix: str = "",
        open_only: bool = False,
        limit: int = 100,
    ) -> Sequence[DrillRecord]:
        """Drills with neither entries nor moves, newest first."""

    @abstractmethod
    def tenants(self) -> Sequence[TenantId]:
        """Every tenant that ever had a drill."""
