"""Acceptances: a human said that what vanished from a held or abandoned scope is really gone."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from qlrf_pipelines.domain.estate import TenantId


@dataclass(frozen=True, slots=True, kw_only=True)
class Acceptance:
    """One human's word on one scope: assets missing since before `accepted_at` are gone."""

    scope_id: str
    accepted_at: datetime
    accepted_by: str
    reason: str


class Acceptances(ABC):
    """Where acceptances are kept."""

    @abstractmethod
    def accept(self, tenant: TenantId, acceptance: Acceptance) -> None:
        """Keep one acceptance; a newer one of the same scope replaces the older."""

    @abstractmethod
    def of(self, tenants: Sequence[TenantId]) -> Mapping[tuple[TenantId, str], Acceptance]:
        """The newest acceptance of every scope of these tenants, by tenant and scope id."""
