"""Evidence: verified where it is kept, exported as a pack, verified again by anybody."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from qlrf_pipelines.domain.assessment import AssessmentReader, JudgingRules, KeptAssessment
from qlrf_pipelines.domain.compliance import Control, control_document
from qlrf_pipelines.domain.datasets import CONTROL_RESULTS, DRIFT, INVENTORY, SCOPES
from qlrf_pipelines.domain.errors import NotFound, Refused, Tampered
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import Entry, verify_chain
from qlrf_pipelines.domain.facts import EMPTY_DIGEST, to_json
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import packs
from qlrf_pipelines.services.compliance import look
from qlrf_pipelines.services.judging import (
    facts_digests,
    gather,
    register_rules,
    tally_kept,
)
from qlrf_pipelines.services.reperformance import Proof, check_pack


def verify_ledger(world: World, tenant: TenantId) -> Proof:
    """Check a tenant's chain from its first entry, and the results in the lake against it.

    Raises:
        NotFound: the tenant's ledger is empty.
        Refused: the results in the lake have no evidence, or are newer than it: an assessment
            was interrupted, or the lake edited.
        Tampered: the chain is broken, or the results are not those the ledger knows.
    """
    reader = AssessmentReader()
    head: Entry | None = None

    def seen() -> Iterator[Entry]:
        nonlocal head
        for entry in world.ledger.entries(tenant):
            head = reader.see(entry)
            yield entry

    count = verify_chain(seen())
    kept = reader.newest
    with world.engine.session() as session:
        world.lake.view(session.connection, CONTROL_RESULTS, tenants=[tenant])
        _compare_kept(session.connection, tenant, kept)
    if head is None:
        raise NotFound(
            f"Tenant {tenant} has no evidence; run `qlrf refresh --tenant {tenant}` first."
        )
    return Proof.of(kept, entries=count, head=head)


def export_pack(world: World, tenant: TenantId, path: Path, *, force: bool = False) -> Proof:
    """Write a tenant's ledger and newest assessment, with all it rests on, into one file.

    The file gets its name only when it is whole and verified.

    Raises:
        NotFound: nothing was ever assessed for the tenant.
        Refused: the file exists; or what was judged is not kept any more, assess again first.
        Tampered: the lake, or the ledger, is not what it was when it was written.
    """
    if path.exists() and not force:
        raise Refused(f"{path} exists; choose another name or give --force.")
    entries, kept = _ledger(world, tenant)
    controls = _controls(world, kept)
    temporary = path.with_name(f".{path.name}.{world.ids.new()}.part")
    try:
        with world.engine.session() as session:
            _look_back(world, session.connection, tenant, kept)
            packs.write_pack(
                temporary,
                head={
                    "tenant": tenant,
                    "assessment": kept.id,
                    "as_of": kept.scopes.content["as_of"],
                    "entries": len(entries),
                    "head_hash": entries[-1].hash,
                },
                members=_members(session.connection, entries, kept, controls),
            )
        proof = verify_pack(temporary)
        packs.replace_file(temporary, path, force=force)
    finally:
        temporary.unlink(missing_ok=True)
    return proof


def verify_pack(path: Path) -> Proof:
    """Check a pack by itself: files, chain, digests, and every verdict derived again.

    Raises:
        NotFound: there is no such file.
        Tampered: anything is not as it was when the pack was made; the message says what.
    """
    return check_pack(packs.read_pack(path))


def _ledger(world: World, tenant: TenantId) -> tuple[list[Entry], KeptAssessment]:
    reader = AssessmentReader()
    entries = [reader.see(entry) for entry in world.ledger.entries(tenant)]
    verify_chain(entries)
    kept = reader.newest
    if kept is None:
        raise NotFound(
            f"Tenant {tenant} has no assessment to export; run `qlrf refresh --tenant {tenant}`."
        )
    return entries, kept


def _controls(world: World, kept: KeptAssessment) -> list[Control]:
    controls = [control for control in world.controls.load() if control.id in kept.controls]
    now = {control.id: control.digest for control in controls}
    then = {name: entry.content["control_digest"] for name, entry in kept.controls.items()}
    changed = sorted(name for name in then if now.get(name) != then[name])
    if changed:
        raise Refused(
            f"Controls changed since tenant {kept.scopes.tenant} was assessed "
            f"({', '.join(changed)}); refresh the tenant, then export."
        )
    return controls


def _look_back(
    world: World, connection: duckdb.DuckDBPyConnection, tenant: TenantId, kept: KeptAssessment
) -> None:
    """Show the connection what was judged, and what was found, exactly as it was then."""
    versions = kept.content.get("versions", {})
    unseen = [d for d in (INVENTORY, DRIFT, SCOPES) if versions.get(d.name) is None]
    if not versions or any(world.lake.version(dataset) is not None for dataset in unseen):
        raise Refused(
            f"Tenant {tenant} was assessed before all there is to judge was written; "
            "refresh the tenant, then export."
        )
    try:
        look(world, connection, [tenant], versions)
        version = versions[CONTROL_RESULTS.name]
        world.lake.view(connection, CONTROL_RESULTS, tenants=[tenant], version=version)
    except NotFound as error:
        raise Refused(
            f"What was judged for tenant {tenant} is not kept any more ({error}); "
            "refresh the tenant, then export."
        ) from error
    rules = JudgingRules.read(kept.scopes.content["rules"])
    as_of = datetime.fromisoformat(kept.scopes.content["as_of"])
    register_rules(connection, {tenant: rules}, as_of=as_of)
    gather(connection)
    _, found = facts_digests(connection).get(tenant, (0, EMPTY_DIGEST))
    if found != kept.content["facts_digest"]:
        raise Tampered(
            f"Tenant {tenant}: inventory or drift in the lake is not what was judged on "
            f"{iso(as_of)}; refresh the tenant, then export."
        )
    _compare_kept(connection, tenant, kept)


def _compare_kept(
    connection: duckdb.DuckDBPyConnection, tenant: TenantId, kept: KeptAssessment | None
) -> None:
    """Compare the relation control_results with what the ledger knows of it."""
    moments = connection.execute("SELECT DISTINCT as_of FROM control_results").fetchall()
    known = datetime.fromisoformat(kept.scopes.content["as_of"]) if kept else None
    if any(known is None or moment is None or moment > known for (moment,) in moments):
        raise Refused(
            f"Tenant {tenant}: results in the lake have no evidence; their assessment was "
            f"interrupted, or the lake edited: run `qlrf refresh --tenant {tenant}`, verify again."
        )
    if kept is None:
        return
    if any(moment != known for (moment,) in moments):
        raise Tampered(f"Tenant {tenant}: results in the lake are older than the ledger's newest.")
    found = {row["control_id"]: row["digest"] for row in tally_kept(connection)}
    known_digests = {n: entry.content["results_digest"] for n, entry in kept.controls.items()}
    for name in sorted(known_digests.keys() | found.keys()):
        if found.get(name) != known_digests.get(name):
            entry = kept.controls.get(name)
            where = f"ledger entry {entry.seq}" if entry else "any ledger entry"
            raise Tampered(
                f"Tenant {tenant}: the results of control {name} in the lake are not those of "
                f"{where}; somebody changed them."
            )


def _members(
    connection: duckdb.DuckDBPyConnection,
    entries: list[Entry],
    kept: KeptAssessment,
    controls: list[Control],
) -> dict[str, Any]:
    scopes = {name: kept.scopes.content[name] for name in ("certificates", "rules")}
    members: dict[str, Any] = {
        packs.README: [packs.README_TEXT.encode()],
        packs.LEDGER: packs.lines(map(_entry_row, entries)),
        packs.SCOPES: [packs.document(scopes)],
        packs.FACTS: packs.lines(
            map(to_json, _rows(connection, "SELECT * FROM assets ORDER BY asset_key"))
        ),
        packs.RESULTS: packs.lines(
            _rows(
                connection,
                "SELECT control_id, asset_key, verdict, detail FROM control_results "
                "ORDER BY control_id, asset_key",
            )
        ),
    }
    for control in controls:
        members[f"controls/{control.id}.json"] = [packs.document(control_document(control))]
        if control.sql is not None:
            members[f"controls/{control.id}.sql"] = [control.sql.encode()]
    return members


def _rows(connection: duckdb.DuckDBPyConnection, sql: str) -> Iterator[Mapping[str, Any]]:
    batches: pa.RecordBatchReader = connection.sql(sql).to_arrow_reader(10_000)
    for batch in batches:
        yield from batch.to_pylist()


def _entry_row(entry: Entry) -> dict[str, Any]:
    return {
        "tenant": entry.tenant,
        "seq": entry.seq,
        "kind": entry.kind,
        "subject": entry.subject,
        "recorded_at": iso(entry.recorded_at),
        "content": dict(entry.content),
        "previous_hash": entry.previous_hash,
        "hash": entry.hash,
    }
