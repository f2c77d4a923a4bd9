"""The ledger in Postgres: chained here, and held to its chain by the database."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa

from qlrf_pipelines.domain.canonical import NoCanonicalForm
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import GENESIS, Entry, NewEntry, links
from qlrf_pipelines.ports.ledger import Ledger
from resources.database import faults
from resources.database.sessions import ENTER, Sessions, advisory_key, enter_tenant
from resources.database.tables import EVIDENCE

TENANTS_PER_COMMIT = 50
ROWS_PER_PAGE = 1000

_HEAD = (
    sa.select(EVIDENCE)
    .where(EVIDENCE.c.tenant == sa.bindparam("tenant"))
    .order_by(EVIDENCE.c.seq.desc())
    .limit(1)
)
_AFTER = (
    sa.select(EVIDENCE)
    .where(EVIDENCE.c.tenant == sa.bindparam("tenant"), EVIDENCE.c.seq > sa.bindparam("after"))
    .order_by(EVIDENCE.c.seq)
    .limit(ROWS_PER_PAGE)
)
_COLUMNS = ", ".join(c.name for c in EVIDENCE.c)
# All entries of a step in one statement, which may be sent together with others.
ADD = (
    f"INSERT INTO public.evidence ({_COLUMNS}) SELECT {_COLUMNS} FROM "  # noqa: S608  constants
    "json_populate_recordset(NULL::public.evidence, CAST(:entries AS json))"
)
_ADD = sa.text(ADD)
# Whoever adds to a tenant's chain waits for its turn, and looks at the chain's end only then.
WAIT_FOR_TURN = "SELECT pg_advisory_xact_lock(:ledger)"
END = (
    "SELECT seq AS last_seq, hash AS last_hash FROM public.evidence "
    "WHERE tenant = :tenant ORDER BY seq DESC LIMIT 1"
)
_TURN = sa.text(f"{ENTER};{WAIT_FOR_TURN};{END}")


@dataclass(frozen=True, slots=True)
class End:
    """Where a tenant's chain ends."""

    seq: int = 0
    hash: str = GENESIS


class SqlLedger(Ledger):
    """Appends take turns per tenant; any number of processes make one chain without a gap."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def append(self, entries: Mapping[TenantId, Sequence[NewEntry]]) -> None:
        """Number, chain and store entries, some tenants per commit.

        Tenants are taken in order of their names, so two appends never wait for each other.
        """
        todo = sorted(tenant for tenant in entries if entries[tenant])
        for start in range(0, len(todo), TENANTS_PER_COMMIT):
            some = todo[start : start + TENANTS_PER_COMMIT]
            self._append({tenant: entries[tenant] for tenant in some})

    def _append(self, entries: Mapping[TenantId, Sequence[NewEntry]]) -> None:
        newest: list[Entry] = []

        def work(connection: sa.Connection) -> None:
            newest.clear()
            for tenant, new in entries.items():
                newest.append(extend(connection, tenant, new))

        try:
            self._sessions.run(work)
        except faults.CommitLost:
            # It is all there, or nothing is: the last entry tells which.
            if not self._has(newest[-1]):
                self._sessions.run(work)

    def _has(self, entry: Entry) -> bool:
        found = next(self.entries(entry.tenant, after=entry.seq - 1), None)
        return found is not None and found.hash == entry.hash

    def entries(self, tenant: TenantId, *, after: int = 0) -> Iterator[Entry]:
        """A tenant's entries in order, a page per transaction: nothing is held between pages."""
        while True:
            page = self._page(tenant, after)
            yield from page
            if len(page) < ROWS_PER_PAGE:
                return
            after = page[-1].seq

    def _page(self, tenant: TenantId, after: int) -> list[Entry]:
        def work(connection: sa.Connection) -> list[Entry]:
            enter_tenant(connection, tenant)
            rows = connection.execute(_AFTER, {"tenant": tenant, "after": after})
            return [_entry(row._asdict()) for row in rows]

        return self._sessions.read(work)

    def head(self, tenant: TenantId) -> Entry | None:
        """The newest entry of a tenant; None if it has none."""

        def work(connection: sa.Connection) -> Entry | None:
            enter_tenant(connection, tenant)
            return _head(connection, tenant)

        return self._sessions.read(work)


def extend(connection: sa.Connection, tenant: TenantId, new: Sequence[NewEntry]) -> Entry:
    """Add to a tenant's chain within a transaction; nobody else adds to it before that ends.

    Raises:
        Rejected: an entry's content is not JSON.
    """
    row = connection.execute(_TURN, {"tenant": tenant, "ledger": turn_key(tenant)}).first()
    last, entries = chained(tenant, new, end_of(None if row is None else row._mapping))
    connection.execute(_ADD, {"entries": entries})
    return last


def end_of(row: Mapping[Any, Any] | None) -> End:
    """What `END` found; the beginning if the tenant has no chain yet."""
    if row is None or row["last_seq"] is None:
        return End()
    return End(row["last_seq"], row["last_hash"])


def turn_key(tenant: TenantId) -> int:
    """What `WAIT_FOR_TURN` waits for."""
    return advisory_key(f"ledger:{tenant}")


def chained(tenant: TenantId, new: Sequence[NewEntry], end: End) -> tuple[Entry, str]:
    """Chain entries behind an end: the last one, and what `ADD` is to be given.

    Raises:
        Rejected: an entry's content is not JSON.
    """
    try:
        made = list(links(tenant, new, after_seq=end.seq, after_hash=end.hash))
    except NoCanonicalForm as error:
        raise Rejected(f"Evidence of tenant {tenant} has no canonical form: {error}.") from error
    rows = [_row(entry, content) for entry, content in made]
    return made[-1][0], json.dumps(rows, default=datetime.isoformat)


def _head(connection: sa.Connection, tenant: TenantId) -> Entry | None:
    row = connection.execute(_HEAD, {"tenant": tenant}).first()
    return None if row is None else _entry(row._asdict())


def _row(entry: Entry, content: str) -> dict[str, Any]:
    return {
        "tenant": entry.tenant,
        "seq": entry.seq,
        "kind": entry.kind,
        "subject": entry.subject,
        "recorded_at": _aware(entry.recorded_at),
        "content": content,
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
    }


def _entry(row: Mapping[str, Any]) -> Entry:
    return Entry(
        tenant=TenantId(row["tenant"]),
        seq=row["seq"],
        kind=row["kind"],
        subject=row["subject"],
        recorded_at=row["recorded_at"].astimezone(UTC),
        content=json.loads(row["content"], parse_int=number),
        previous_hash=row["previous_hash"],
        hash=row["hash"],
    )


def number(digits: str) -> int | float:
    """An integer of canonical JSON, as something that has that canonical form again."""
    # Canonical JSON writes the float 1e17 as an integer, which an int of Python may not become
    # again: it would have no canonical form.
    found = int(digits)
    return found if abs(found) < 2**53 else float(digits)


def _aware(moment: datetime) -> datetime:
    # The chain reads a naive moment as UTC; the server would read it in its own zone.
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
