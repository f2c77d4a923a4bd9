"""An outbox in memory."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.domain.notifications import Note, NoteState
from qlrf_pipelines.ports.outbox import Outbox
from tests.fakes.ledger import FakeLedger


class FakeOutbox(Outbox):
    """Keeps messages in the order they came; `before_keep` may raise, as a killed process would."""

    def __init__(self, ledger: FakeLedger | None = None) -> None:
        self.ledger = ledger or FakeLedger()
        self.kept: dict[TenantId, dict[str, Note]] = {}
        self.before_keep: Callable[[Note], None] = lambda note: None

    def add(self, tenant: TenantId, notes: Sequence[Note]) -> None:
        mine = self.kept.setdefault(tenant, {})
        for note in notes:
            mine.setdefault(note.key, note)

    def known(self, tenant: TenantId, keys: Collection[str]) -> set[str]:
        return set(keys) & set(self.kept.get(tenant, {}))

    def due(self, tenant: TenantId, *, now: datetime, limit: int) -> Sequence[Note]:
        waiting = [note for note in self._of(tenant) if note.state is NoteState.WAITING]
        return sorted((n for n in waiting if n.due_at <= now), key=lambda n: n.due_at)[:limit]

    def keep(self, tenant: TenantId, note: Note, entries: Sequence[NewEntry] = ()) -> bool:
        self.before_keep(note)
        found = self.kept.get(tenant, {}).get(note.key)
        if found is None or found.state is not NoteState.WAITING:
            return False
        self.kept[tenant][note.key] = note
        if entries:
            self.ledger.append({tenant: entries})
        return True

    def list(
        self, tenant: TenantId, *, states: Sequence[NoteState] = (), limit: int = 100
    ) -> Sequence[Note]:
        found = [note for note in self._of(tenant) if not states or note.state in states]
        return found[::-1][:limit]

    def _of(self, tenant: TenantId) -> Sequence[Note]:
        return list(self.kept.get(tenant, {}).values())
