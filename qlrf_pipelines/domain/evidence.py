"""The hash chain: every entry's hash covers its whole canonical row and the hash before it."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qlrf_pipelines.domain.canonical import canonical
from qlrf_pipelines.domain.errors import Tampered
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.moments import iso

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEntry:
    """A fact to be kept: what kind, about what, when, and its content (JSON values only)."""

    kind: str
    subject: str
    recorded_at: datetime
    content: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """A fact in its place in the chain."""

    tenant: TenantId
    seq: int
    kind: str
    subject: str
    recorded_at: datetime
    content: Mapping[str, Any]
    previous_hash: str
    hash: str


def digest(value: object) -> str:
    """SHA-256 over the canonical JSON (RFC 8785) of a JSON value, as lower-case hex."""
    return hashlib.sha256(canonical(value)).hexdigest()


def chain(
    tenant: TenantId, entries: Iterable[NewEntry], *, after_seq: int, after_hash: str
) -> list[Entry]:
    """Give new entries their numbers and hashes behind an existing chain's head."""
    return [
        entry for entry, _ in links(tenant, entries, after_seq=after_seq, after_hash=after_hash)
    ]


def links(
    tenant: TenantId, entries: Iterable[NewEntry], *, after_seq: int, after_hash: str
) -> Iterator[tuple[Entry, str]]:
    """As `chain`, each entry with its content in canonical form, as it was hashed.

    Raises:
        NoCanonicalForm: an entry's content is not JSON.
    """
    seq, previous = after_seq, after_hash
    for entry in entries:
        seq += 1
        content = canonical(dict(entry.content))
        own = _hash(tenant, seq, entry, content, previous)
        linked = Entry(
            tenant=tenant,
            seq=seq,
            kind=entry.kind,
            subject=entry.subject,
            recorded_at=entry.recorded_at,
            content=entry.content,
            previous_hash=previous,
            hash=own,
        )
        yield linked, content.decode()
        previous = own


def verify_chain(entries: Iterable[Entry]) -> int:
    """Re-derive every hash from the first entry on; return how many there are.

    Raises:
        Tampered: a number is missing, a link is broken, or a row was altered.
    """
    seq, previous = 0, GENESIS
    for entry in entries:
        if entry.seq != seq + 1:
            raise Tampered(
                f"Ledger of tenant {entry.tenant}: entry {seq + 1} is missing (found {entry.seq})."
            )
        if entry.previous_hash != previous:
            raise Tampered(f"Ledger of tenant {entry.tenant}: entry {entry.seq} is not chained.")
        fact = NewEntry(
            kind=entry.kind,
            subject=entry.subject,
            recorded_at=entry.recorded_at,
            content=entry.content,
        )
        content = canonical(dict(entry.content))
        if _hash(entry.tenant, entry.seq, fact, content, previous) != entry.hash:
            raise Tampered(f"Ledger of tenant {entry.tenant}: entry {entry.seq} was altered.")
        seq, previous = entry.seq, entry.hash
    return seq


def _hash(tenant: TenantId, seq: int, entry: NewEntry, content: bytes, previous: str) -> str:
    rest = canonical(
        {
            "tenant": tenant,
            "seq": seq,
            "kind": entry.kind,
            "subject": entry.subject,
            "recorded_at": iso(entry.recorded_at),
            "previous_hash": previous,
        }
    )
    # The canonical form of the whole row, of which "content" is the first member.
    whole = b'{"content":' + content + b"," + rest[1:]
    return hashlib.sha256(whole).hexdigest()
