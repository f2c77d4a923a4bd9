"""What the ledger keeps of an assessment: one entry for the scopes, one per control.

The control entries of an assessment name the digest of its scope certificates, which the entry
before them carries in full, so that nothing is kept twenty times.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from qlrf_pipelines.domain.compliance import Control
from qlrf_pipelines.domain.estate import Tenant
from qlrf_pipelines.domain.evidence import Entry, NewEntry, digest
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.vocabulary import ControlVerdict

CERTIFICATES_ENTRY = "scope_certificates"
CONTROL_ENTRY = "control_assessment"

Json = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assessment:
    """One moment at which a batch of tenants is judged, and the versions of what was looked at."""

    id: str
    as_of: datetime
    controls: tuple[Control, ...]
    versions: Mapping[str, int | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgingRules:
    """What a tenant's own rules add to its facts."""

    environment_tag: str
    stale_after_seconds: float
    connectors: tuple[str, ...]

    @classmethod
    def of(cls, tenant: Tenant) -> "JudgingRules":
        """The rules a tenant set for itself."""
        return cls(
            environment_tag=tenant.environments.tag,
            stale_after_seconds=tenant.drift.stale_after_hours * 3600,
            connectors=tuple(connector.name for connector in tenant.connectors),
        )

    def document(self) -> Json:
        """The rules as a JSON value."""
        return {
            "environment_tag": self.environment_tag,
            "stale_after_seconds": self.stale_after_seconds,
            "connectors": list(self.connectors),
        }

    @classmethod
    def read(cls, document: Mapping[str, Any]) -> "JudgingRules":
        """The rules in a document that was kept."""
        return cls(
            environment_tag=document["environment_tag"],
            stale_after_seconds=float(document["stale_after_seconds"]),
            connectors=tuple(document["connectors"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """What judging one tenant came to.

    `tallies` has, per control, control_id, digest, results and the number of each verdict.
    """

    rules: JudgingRules
    tallies: Sequence[Mapping[str, Any]]
    assets: int
    facts_digest: str
    certificates: Sequence[Json]


def assessment_entries(assessment: Assessment, judged: Judged) -> list[NewEntry]:
    """The evidence of one tenant's assessment: its scope certificates, then every control."""
    shared: Json = {
        "assessment": assessment.id,
        "as_of": iso(assessment.as_of),
        "refresh_id": max((str(c["refresh_id"]) for c in judged.certificates), default=None),
    }
    scopes = {"certificates": list(judged.certificates), "rules": judged.rules.document()}
    looked_at: Json = {
        "assets": judged.assets,
        "facts_digest": judged.facts_digest,
        "scopes_digest": digest(scopes),
        "versions": dict(assessment.versions),
    }
    controls = {control.id: control for control in assessment.controls}
    return [
        NewEntry(
            kind=CERTIFICATES_ENTRY,
            subject=assessment.id,
            recorded_at=assessment.as_of,
            content=shared | scopes | {"scopes_digest": looked_at["scopes_digest"]},
        )
    ] + [
        NewEntry(
            kind=CONTROL_ENTRY,
            subject=row["control_id"],
            recorded_at=assessment.as_of,
            content=shared | looked_at | _found(row, controls[row["control_id"]]),
        )
        for row in judged.tallies
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAssessment:
    """The newest assessment a ledger knows: its certificates' entry and its control entries."""

    scopes: Entry
    controls: Mapping[str, Entry]

    @property
    def id(self) -> str:
        """The assessment's own name."""
        return self.scopes.subject

    @property
    def content(self) -> Mapping[str, Any]:
        """What all its control entries share: facts, versions, moment; empty without controls."""
        return next((entry.content for entry in self.controls.values()), {})


class AssessmentReader:
    """Finds the newest assessment while a ledger's entries stream past."""

    def __init__(self) -> None:
        self._scopes: Entry | None = None
        self._controls: dict[str, Entry] = {}

    def see(self, entry: Entry) -> Entry:
        """Look at one entry, and hand it on."""
        if entry.kind == CERTIFICATES_ENTRY:
            self._scopes, self._controls = entry, {}
        elif (
            entry.kind == CONTROL_ENTRY
            and self._scopes is not None
            and entry.content.get("assessment") == self._scopes.subject
        ):
            self._controls[entry.subject] = entry
        return entry

    @property
    def newest(self) -> KeptAssessment | None:
        """The newest assessment seen; None if there was none."""
        if self._scopes is None:
            return None
        return KeptAssessment(scopes=self._scopes, controls=self._controls)


def _found(row: Mapping[str, Any], control: Control) -> Json:
    return {
        "control_digest": control.digest,
        "severity": str(control.severity),
        "results": row["results"],
        "results_digest": row["digest"],
        "verdicts": {str(verdict): row[str(verdict)] for verdict in ControlVerdict},
    }
