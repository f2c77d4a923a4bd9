"""A ledger in memory."""

from collections.abc import Iterator, Mapping, Sequence

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import GENESIS, Entry, NewEntry, chain
from qlrf_pipelines.ports.ledger import Ledger


class FakeLedger(Ledger):
    """Chains entries exactly as the real one does."""

    def __init__(self) -> None:
        self.kept: dict[TenantId, list[Entry]] = {}

    def append(self, entries: Mapping[TenantId, Sequence[NewEntry]]) -> None:
        for tenant, new in entries.items():
            head = self.head(tenant)
            self.kept.setdefault(tenant, []).extend(
                chain(
                    tenant,
                    new,
                    after_seq=head.seq if head else 0,
                    after_hash=head.hash if head else GENESIS,
                )
            )

    def entries(self, tenant: TenantId, *, after: int = 0) -> Iterator[Entry]:
        return (entry for entry in self.kept.get(tenant, []) if entry.seq > after)

    def head(self, tenant: TenantId) -> Entry | None:
        kept = self.kept.get(tenant)
        return kept[-1] if kept else None
