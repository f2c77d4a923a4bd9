"""The outbox in Postgres: what became of a message is kept once, with its evidence."""

import json
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from qlrf_pipelines.domain.channels import Channel
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import NewEntry
from qlrf_pipelines.domain.messages import read_message
from qlrf_pipelines.domain.notifications import Note, NoteState
from qlrf_pipelines.ports.outbox import Outbox
from resources.database.ledger import extend
from resources.database.sessions import Sessions, enter_tenant
from resources.database.tables import METADATA

T = TypeVar("T")

NOTIFICATION = sa.Table(
    "notification",
    METADATA,
    sa.Column("tenant", sa.Text, primary_key=True),
    sa.Column("key", sa.Text, primary_key=True),
    sa.Column("number", sa.BigInteger, sa.Identity(always=True)),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("target", sa.Text, nullable=False),
    sa.Column("message", sa.Text, nullable=False),
    sa.Column("queued_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("give_up_at", sa.DateTime(timezone=True), nullable=False),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("said", sa.Text, nullable=False),
    sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
)
_ADD = insert(NOTIFICATION).on_conflict_do_nothing(index_elements=["tenant", "key"])
_C = NOTIFICATION.c
_WAITING = _C.state == NoteState.WAITING.value


class SqlOutbox(Outbox):
    """One row per message, ended by one update of a row that still waits."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def add(self, tenant: TenantId, notes: Sequence[Note]) -> None:
        """Keep messages; those that are kept already stay as they are."""
        if not notes:
            return

        def work(connection: sa.Connection) -> None:
            enter_tenant(connection, tenant)
            connection.execute(_ADD, [_row(tenant, note) for note in notes])

        self._sessions.repeat(work)

    def known(self, tenant: TenantId, keys: Collection[str]) -> set[str]:
        """Those of the keys that are kept."""

        def work(connection: sa.Connection) -> set[str]:
            enter_tenant(connection, tenant)
            query = sa.select(_C.key).where(_C.tenant == tenant, _C.key.in_(sorted(keys)))
            return {row.key for row in connection.execute(query)}

        return self._sessions.read(work) if keys else set()

    def due(self, tenant: TenantId, *, now: datetime, limit: int) -> Sequence[Note]:
        """Waiting messages whose time has come, oldest first."""
        query = (
            sa.select(NOTIFICATION)
            .where(_C.tenant == tenant, _WAITING, _C.due_at <= now)
            .order_by(_C.due_at, _C.number)
            .limit(limit)
        )
        return self._notes(tenant, query)

    def keep(self, tenant: TenantId, note: Note, entries: Sequence[NewEntry] = ()) -> bool:
        """Keep what became of a message that waits; its evidence in the same transaction."""
        changed = {
            "due_at": note.due_at,
            "state": note.state.value,
            "attempts": note.attempts,
            "said": note.said,
            "ended_at": note.ended_at,
        }
        query = sa.update(NOTIFICATION).where(_C.tenant == tenant, _C.key == note.key, _WAITING)

        def work(connection: sa.Connection) -> bool:
            enter_tenant(connection, tenant)
            if connection.execute(query.values(changed)).rowcount == 0:
                return False
            if entries:
                extend(connection, tenant, entries)
            return True

        return self._sessions.repeat(work)

    def list(
        self, tenant: TenantId, *, states: Sequence[NoteState] = (), limit: int = 100
    ) -> Sequence[Note]:
        """Messages, the newest first."""
        query = (
            sa.select(NOTIFICATION)
            .where(_C.tenant == tenant)
            .order_by(_C.number.desc())
            .limit(limit)
        )
        if states:
            query = query.where(_C.state.in_([state.value for state in states]))
        return self._notes(tenant, query)

    def _notes(self, tenant: TenantId, query: "sa.Select[Any]") -> Sequence[Note]:
        def work(connection: sa.Connection) -> Sequence[Note]:
            enter_tenant(connection, tenant)
            return [_note(row._asdict()) for row in connection.execute(query)]

        return self._sessions.read(work)


def _row(tenant: TenantId, note: Note) -> dict[str, Any]:
    return {
        "tenant": tenant,
        "key": note.key,
        "channel": note.channel.value,
        "target": note.target,
        "message": json.dumps(note.message.document(), sort_keys=True),
        "queued_at": note.queued_at,
        "due_at": note.due_at,
        "give_up_at": note.give_up_at,
        "state": note.state.value,
        "attempts": note.attempts,
        "said": note.said,
        "ended_at": note.ended_at,
    }


def _note(row: dict[str, Any]) -> Note:
    ended = row["ended_at"]
    return Note(
        channel=Channel(row["channel"]),
        target=row["target"],
        message=read_message(json.loads(row["message"])),
        queued_at=row["queued_at"].astimezone(UTC),
        due_at=row["due_at"].astimezone(UTC),
        give_up_at=row["give_up_at"].astimezone(UTC),
        state=NoteState(row["state"]),
        attempts=row["attempts"],
        said=row["said"],
        ended_at=None if ended is None else ended.astimezone(UTC),
    )
