"""The outbox: messages that are to be sent, kept until they are, and what became of them."""

from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from datetime import datetime

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.domain.notifications import Note, NoteState


class Outbox(ABC):
    """Durable rows: a message is queued once by its key, and ends once, as sent or lost."""

    @abstractmethod
    def add(self, tenant: TenantId, notes: Sequence[Note]) -> None:
        """Keep messages; those whose key is kept already stay as they are.

        Raises:
            Unavailable: the database does not answer.
        """

    @abstractmethod
    def known(self, tenant: TenantId, keys: Collection[str]) -> set[str]:
        """Those of the keys that are kept."""

    @abstractmethod
    def due(self, tenant: TenantId, *, now: datetime, limit: int) -> Sequence[Note]:
        """Waiting messages whose time has come, those that were due first before the others."""

    @abstractmethod
    def keep(self, tenant: TenantId, note: Note, entries: Sequence[NewEntry] = ()) -> bool:
        """Keep what became of a waiting message, with its evidence; False if it does not wait."""

    @abstractmethod
    def list(
        self, tenant: TenantId, *, states: Sequence[NoteState] = (), limit: int = 100
    ) -> Sequence[Note]:
        """Messages, the newest first; no states means all."""
