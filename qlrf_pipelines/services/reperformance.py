"""Re-performance: everything a pack claims, derived again from what it holds, trusting nothing.

The SQL of a pack is run, so it runs where there is nothing to reach: a private database without
files, network, extensions or settings to change.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import duckdb
import pyarrow as pa

from qlrf_pipelines.domain.assessment import AssessmentReader, JudgingRules, KeptAssessment
from qlrf_pipelines.domain.compliance import Control, control_document
from qlrf_pipelines.domain.datasets import SCOPES
from qlrf_pipelines.domain.errors import Refused, Rejected, Tampered
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import Entry, digest, verify_chain
from qlrf_pipelines.domain.facts import (
    ASSETS,
    fact_row_text,
    from_json,
    result_row_text,
    rows_digest,
)
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.vocabulary import Severity
from qlrf_pipelines.services import packs
from qlrf_pipelines.services.judging import VERDICTS, gather_rows, judge, register_rules, tally

_ENTRY_FIELDS = {
    "tenant",
    "seq",
    "kind",
    "subject",
    "recorded_at",
    "content",
    "previous_hash",
    "hash",
}
_RESULT_FIELDS = {"control_id", "asset_key", "verdict", "detail"}
Rows = list[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Proof:
    """What was verified: a chain of so many entries, its head, and its newest assessment.

    A tenant that was never assessed may have a chain all the same, of approvals or drills.
    """

    tenant: TenantId
    entries: int
    head_hash: str
    assessment: str | None
    as_of: str | None
    assets: int | None
    verdicts: Mapping[str, int]

    @classmethod
    def of(cls, kept: KeptAssessment | None, *, entries: int, head: Entry) -> "Proof":
        """The proof of a chain that was verified up to its head."""
        if kept is None:
            return cls(
                tenant=head.tenant,
                entries=entries,
                head_hash=head.hash,
                assessment=None,
                as_of=None,
                assets=None,
                verdicts={},
            )
        counted = [entry.content["verdicts"] for entry in kept.controls.values()]
        return cls(
            tenant=head.tenant,
            entries=entries,
            head_hash=head.hash,
            assessment=kept.id,
            as_of=kept.scopes.content["as_of"],
            assets=kept.content.get("assets", 0),
            verdicts={name: sum(item[name] for item in counted) for name in VERDICTS},
        )


def check_pack(pack: packs.Pack) -> Proof:
    """Check what a pack says: chain, digests, and every verdict derived again.

    Raises:
        Tampered: something does not follow from the rest; the message says what.
    """
    try:
        return _checked(pack)
    except (KeyError, TypeError, ValueError, AttributeError, pa.ArrowException) as error:
        raise Tampered(f"The pack is not built as packs are: {error!r}.") from error


def _checked(pack: packs.Pack) -> Proof:
    reader = AssessmentReader()
    entries = [reader.see(_entry(row)) for row in packs.read_lines(pack, packs.LEDGER)]
    count = verify_chain(entries)
    kept = reader.newest
    if kept is None or not kept.controls:
        raise Tampered(f"{packs.LEDGER}: holds no assessment.")
    proof = Proof.of(kept, entries=count, head=entries[-1])
    _check_manifest(pack, proof, entries)
    controls = _controls(pack, kept)
    facts = _facts(pack, kept)
    results = _results(pack, kept)
    _check_files(pack, controls)
    certificates = _check_scopes(pack, kept)
    _check_verdicts(kept, _rejudge(kept, controls, facts, certificates), results)
    return proof


def _check_manifest(pack: packs.Pack, proof: Proof, entries: list[Entry]) -> None:
    if any(entry.tenant != proof.tenant for entry in entries):
        raise Tampered(f"{packs.LEDGER}: holds entries of several tenants.")
    said = {name: pack.manifest.get(name) for name in ("tenant", "assessment", "as_of")}
    said |= {"entries": pack.manifest.get("entries"), "head_hash": pack.manifest.get("head_hash")}
    for name, value in said.items():
        if value != getattr(proof, name):
            raise Tampered(f"{packs.MANIFEST}: {name} is not the ledger's.")
    if set(pack.manifest) != {"format", "files", *said}:
        raise Tampered(f"{packs.MANIFEST}: holds more than a manifest does.")
    if pack.files.get(packs.README) != packs.README_TEXT.encode():
        raise Tampered(f"{packs.README}: not the text of format {packs.FORMAT}.")


def _check_files(pack: packs.Pack, controls: list[Control]) -> None:
    expected = {packs.README, packs.LEDGER, packs.FACTS, packs.RESULTS, packs.SCOPES}
    for control in controls:
        expected.add(f"controls/{control.id}.json")
        if control.sql is not None:
            name = f"controls/{control.id}.sql"
            expected.add(name)
            if pack.files.get(name) != control.sql.encode():
                raise Tampered(f"{name}: not the check of controls/{control.id}.json.")
    if set(pack.files) != expected:
        odd = ", ".join(sorted(set(pack.files) ^ expected))
        raise Tampered(f"The pack lacks files, or holds others: {odd}.")


def _controls(pack: packs.Pack, kept: KeptAssessment) -> list[Control]:
    controls = []
    for name, entry in sorted(kept.controls.items()):
        file = f"controls/{name}.json"
        document = packs.read_document(file, pack.files[file])
        control = Control(
            id=document["id"],
            title=document["title"],
            severity=Severity(document["severity"]),
            description=document["description"],
            remediation=document["remediation"],
            facts=tuple(document["facts"]),
            frameworks={key: tuple(ids) for key, ids in document["frameworks"].items()},
            sql=document["sql"],
            digest=digest(document),
        )
        if control.digest != entry.content["control_digest"] or control.id != name:
            raise Tampered(f"{file}: not the control of ledger entry {entry.seq}.")
        if control_document(control) != document:
            raise Tampered(f"{file}: not built as a control is.")
        controls.append(control)
    return controls


def _facts(pack: packs.Pack, kept: KeptAssessment) -> Rows:
    rows: Rows = list(packs.read_lines(pack, packs.FACTS))
    if any(set(row) != set(ASSETS.names) for row in rows):
        raise Tampered(f"{packs.FACTS}: a line does not hold the facts of an asset.")
    _check_order(packs.FACTS, rows, lambda row: row["asset_key"].encode())
    found = rows_digest(rows, fact_row_text)
    for entry in kept.controls.values():
        if entry.content["facts_digest"] != found or entry.content["assets"] != len(rows):
            raise Tampered(f"{packs.FACTS}: not the facts of ledger entry {entry.seq}.")
    return rows


def _results(pack: packs.Pack, kept: KeptAssessment) -> dict[str, Rows]:
    rows: Rows = list(packs.read_lines(pack, packs.RESULTS))
    if any(set(row) != _RESULT_FIELDS for row in rows):
        raise Tampered(f"{packs.RESULTS}: a line does not hold a result.")
    _check_order(
        packs.RESULTS, rows, lambda row: (row["control_id"].encode(), row["asset_key"].encode())
    )
    found: dict[str, Rows] = {name: [] for name in kept.controls}
    for row in rows:
        if row["control_id"] not in found:
            raise Tampered(f"{packs.RESULTS}: results of {row['control_id']}, not in the ledger.")
        found[row["control_id"]].append(row)
    for name, entry in kept.controls.items():
        if rows_digest(found[name], result_row_text) != entry.content["results_digest"]:
            raise Tampered(
                f"{packs.RESULTS}: the results of {name} are not those of ledger entry {entry.seq}."
            )
    return found


def _check_order(name: str, rows: Rows, key: Callable[[dict[str, Any]], Any]) -> None:
    keys = [key(row) for row in rows]
    if any(one >= other for one, other in pairwise(keys)):
        raise Tampered(f"{name}: its lines are not in their order, or one is there twice.")


def _check_scopes(pack: packs.Pack, kept: KeptAssessment) -> Rows:
    scopes = kept.scopes
    said = {name: scopes.content[name] for name in ("certificates", "rules")}
    if pack.files[packs.SCOPES] != packs.document(said):
        raise Tampered(f"{packs.SCOPES}: not the certificates of ledger entry {scopes.seq}.")
    for entry in kept.controls.values():
        if entry.content["scopes_digest"] != digest(said):
            raise Tampered(f"Ledger entry {entry.seq} is about other scope certificates.")
    certificates: Rows = said["certificates"]
    return certificates


def _rejudge(
    kept: KeptAssessment, controls: list[Control], facts: Rows, certificates: Rows
) -> dict[str, dict[str, Any]]:
    tenant = kept.scopes.tenant
    as_of = datetime.fromisoformat(kept.scopes.content["as_of"])
    rules = JudgingRules.read(kept.scopes.content["rules"])
    with _sealed() as connection:
        connection.register("scopes", _scopes(tenant, certificates))
        register_rules(connection, {tenant: rules}, as_of=as_of)
        gather_rows(connection, from_json(facts))
        connection.execute("SET lock_configuration = true")
        _check_derived(connection)
        judge(connection, controls)
        return {row["control_id"]: row for row in tally(connection)}


def _check_verdicts(
    kept: KeptAssessment, derived: Mapping[str, Mapping[str, Any]], results: Mapping[str, Rows]
) -> None:
    for name, entry in kept.controls.items():
        row = derived.get(name) or {}
        counts = {verdict: row.get(verdict) for verdict in VERDICTS}
        if row.get("digest") != entry.content["results_digest"]:
            raise Tampered(f"Control {name}: its verdicts cannot be derived from the facts again.")
        if counts != entry.content["verdicts"] or len(results[name]) != entry.content["results"]:
            raise Tampered(f"Ledger entry {entry.seq}: its counts are not those of its results.")


@contextmanager
def _sealed() -> Iterator[duckdb.DuckDBPyConnection]:
    settings: dict[str, str | bool | int | float | list[str]] = {
        "threads": 2,
        "enable_external_access": False,
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,
    }
    with closing(duckdb.connect(":memory:", config=settings)) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        try:
            yield connection
        except (Refused, Rejected, duckdb.Error) as error:
            raise Tampered(f"The pack's facts cannot be judged again: {error}") from error


def _check_derived(connection: duckdb.DuckDBPyConnection) -> None:
    """What the tenant's rules made of the facts must follow from them."""
    odd = connection.execute(
        "SELECT asset_key FROM assets LEFT JOIN rules r USING (tenant) "
        "WHERE assets.as_of IS DISTINCT FROM r.as_of "
        "OR assets.environment_tag IS DISTINCT FROM r.environment_tag "
        "OR assets.stale IS DISTINCT FROM "
        "coalesce(last_seen < r.as_of - to_seconds(r.stale_after_seconds), true) LIMIT 1"
    ).fetchone()
    if odd:
        raise Tampered(f"{packs.FACTS}: asset {odd[0]} does not follow the tenant's rules.")


def _scopes(tenant: TenantId, certificates: Rows) -> pa.Table:
    moments = {f.name for f in SCOPES.schema if pa.types.is_timestamp(f.type)}
    rows = [
        {"tenant": tenant}
        | {k: datetime.fromisoformat(v) if v and k in moments else v for k, v in row.items()}
        for row in certificates
    ]
    return pa.Table.from_pylist(rows, schema=SCOPES.schema)


def _entry(row: Mapping[str, Any]) -> Entry:
    if set(row) != _ENTRY_FIELDS:
        raise Tampered(f"{packs.LEDGER}: an entry has other fields than entries have.")
    moment = datetime.fromisoformat(row["recorded_at"])
    if iso(moment) != row["recorded_at"]:
        raise Tampered(f"{packs.LEDGER}: entry {row['seq']} has a time that is not canonical.")
    return Entry(
        tenant=row["tenant"],
        seq=row["seq"],
        kind=row["kind"],
        subject=row["subject"],
        recorded_at=moment,
        content=row["content"],
        previous_hash=row["previous_hash"],
        hash=row["hash"],
    )
