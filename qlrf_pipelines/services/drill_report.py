"""The evidence of one drill as one JSON document, sealed by an entry in the ledger.

The document is a function of rows that never change once the drill is closed, so whoever asks
again gets the same bytes, and the seal that was set the first time still fits.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from qlrf_pipelines.domain.drills import Phase
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import Entry, NewEntry, digest
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.tasks import Record
from qlrf_pipelines.ports.reports import Reports
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.drill_evidence import FORMAT, Document, evidence_of
from qlrf_pipelines.services.drill_paper import paper_of

SEAL = "drill_report_sealed"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillReport:
    """A drill's evidence, and the ledger entry that vouches for it."""

    document: Document
    digest: str
    seal: Entry

    @property
    def as_json(self) -> Document:
        """The evidence with its seal beside it, as `qlrf drills report --json` prints it."""
        return {"evidence": self.document, "seal": seal_document(self.seal, self.digest)}


def drill_report(world: World, tenant: TenantId, drill: str) -> DrillReport:
    """The evidence of a closed drill; the first time it is asked for it is sealed in the ledger.

    Raises:
        NotFound: the tenant has no such drill.
        Refused: the drill is not closed, so its evidence is not complete.
    """
    record = world.drills.get(tenant, drill)
    if record.drill.phase is not Phase.CLOSED:
        raise Refused(
            f"Drill {drill} of tenant {tenant} is in {record.drill.phase}; its report is written "
            "when it is closed (`qlrf drills show` says where it stands)."
        )
    entries = [entry for entry in world.ledger.entries(tenant) if entry.subject == drill]
    document = evidence_of(
        record,
        answers=world.drills.answers(tenant, drill),
        writes=world.drills.writes(tenant, drill),
        task=_task(world, tenant, drill),
        ledger=[entry for entry in entries if entry.kind != SEAL],
    )
    own = digest(document)
    seal = _seal(entries, own)
    if seal is None:
        fact = NewEntry(
            kind=SEAL,
            subject=drill,
            recorded_at=world.clock.now(),
            content={"format": FORMAT, "digest": own},
        )
        world.ledger.append({tenant: [fact]})
        again = [entry for entry in world.ledger.entries(tenant) if entry.subject == drill]
        seal = _seal(again, own)
    assert seal is not None  # noqa: S101  it was appended above
    return DrillReport(document=document, digest=own, seal=seal)


def drill_report_pdf(reports: Reports, report: DrillReport) -> bytes:
    """The evidence as a PDF for people."""
    seal = seal_document(report.seal, report.digest)
    return reports.pdf(paper_of(report.document, seal))


def seal_document(seal: Entry, own: str) -> Document:
    """Where in the ledger a report is vouched for."""
    return {
        "digest": own,
        "seq": seal.seq,
        "recorded_at": iso(seal.recorded_at),
        "hash": seal.hash,
        "previous_hash": seal.previous_hash,
    }


def _seal(entries: Sequence[Entry], own: str) -> Entry | None:
    """The first entry that vouches for this very document."""
    sealed = (entry for entry in entries if entry.kind == SEAL)
    return next((entry for entry in sealed if entry.content.get("digest") == own), None)


def _task(world: World, tenant: TenantId, drill: str) -> Record | None:
    """What people were asked about this drill; None if nobody was."""
    found = next(iter(world.tasks.find(tenant, key=f"drill:{drill}")), None)
    return None if found is None else world.tasks.get(tenant, found.id)
