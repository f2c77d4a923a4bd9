"""Acceptances in memory."""

from collections.abc import Mapping, Sequence

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.ports.acceptances import Acceptance, Acceptances


class FakeAcceptances(Acceptances):
    """Keeps the newest acceptance of every scope."""

    def __init__(self) -> None:
        self.kept: dict[tuple[TenantId, str], Acceptance] = {}

    def accept(self, tenant: TenantId, acceptance: Acceptance) -> None:
        self.kept[tenant, acceptance.scope_id] = acceptance

    def of(self, tenants: Sequence[TenantId]) -> Mapping[tuple[TenantId, str], Acceptance]:
        return {key: kept for key, kept in self.kept.items() if key[0] in tenants}
