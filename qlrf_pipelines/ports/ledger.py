"""The ledger: evidence that can be added to and never changed."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import Entry, NewEntry


class Ledger(ABC):
    """Per tenant, entries numbered from 1 without a gap, each carrying the hash before it."""

    @abstractmethod
    def append(self, entries: Mapping[TenantId, Sequence[NewEntry]]) -> None:
        """Number, chain and store entries; per tenant all of them or none.

        Raises:
            Unavailable: the database does not answer.
        """

    @abstractmethod
    def entries(self, tenant: TenantId, *, after: int = 0) -> Iterator[Entry]:
        """A tenant's entries in order, those with a sequence number above `after`, streamed."""

    @abstractmethod
    def head(self, tenant: TenantId) -> Entry | None:
        """The newest entry of a tenant; None if it has none."""
