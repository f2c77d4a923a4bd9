"""Controls, the standards they serve, and how their verdicts add up."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from qlrf_pipelines.domain.evidence import digest
from qlrf_pipelines.domain.vocabulary import ControlVerdict, Severity


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One thing every asset must satisfy, and the standards that ask for it.

    `sql` is one SELECT over the view `assets` (live assets: inventory and drift columns) giving
    tenant, asset_key, verdict, detail; None for a manual control, which a person must judge.
    `frameworks` leads from a framework's id (cis_aws, soc2, nist_800_53, pci_dss, iso_27001,
    hipaa) to the requirements of it that the control serves.
    """

    id: str
    title: str
    severity: Severity
    description: str
    remediation: str
    facts: tuple[str, ...]
    frameworks: Mapping[str, tuple[str, ...]]
    sql: str | None
    digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One requirement of a standard, its title in our own words."""

    id: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Framework:
    """One version of a standard, and those of its requirements our controls serve."""

    id: str
    name: str
    version: str
    requirements: tuple[Requirement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class FrameworkScore:
    """How a tenant stands against one framework.

    `score` is met / (met + unmet + unproven), `coverage` the share of all applicable requirements
    that were proven either way; both are None where there is nothing to divide.
    """

    met: int
    unmet: int
    unproven: int
    manual: int
    not_applicable: int
    score: float | None
    coverage: float | None


# A requirement stands as its worst verdict does; the first one found here is the worst.
WORST_FIRST = (
    ControlVerdict.FAIL,
    ControlVerdict.NEVER_PROVEN,
    ControlVerdict.MANUAL,
    ControlVerdict.PASS,
    ControlVerdict.NOT_APPLICABLE,
)


def control_document(control: Control) -> dict[str, object]:
    """A control as a JSON value; its digest covers exactly this, so a wording change is seen."""
    return {
        "id": control.id,
        "title": control.title,
        "severity": str(control.severity),
        "kind": "manual" if control.sql is None else "automated",
        "description": control.description,
        "remediation": control.remediation,
        "facts": list(control.facts),
        "frameworks": {name: list(ids) for name, ids in sorted(control.frameworks.items())},
        "sql": control.sql,
    }


def control_digest(control: Control) -> str:
    """SHA-256 over the canonical JSON of a control's document."""
    return digest(control_document(control))


def framework_rows(
    controls: Sequence[Control], frameworks: Sequence[Framework]
) -> list[dict[str, str]]:
    """One row per framework, requirement and control that serves it, sorted by the three."""
    rows = []
    for framework in sorted(frameworks, key=lambda item: item.id):
        titles = {item.id: item.title for item in framework.requirements}
        rows += [
            {
                "framework": framework.id,
                "framework_name": framework.name,
                "framework_version": framework.version,
                "requirement": requirement,
                "requirement_title": titles[requirement],
                "control_id": control.id,
                "control_title": control.title,
                "severity": str(control.severity),
                "kind": "manual" if control.sql is None else "automated",
            }
            for control in controls
            for requirement in control.frameworks.get(framework.id, ())
        ]
    return sorted(rows, key=lambda r: (r["framework"], r["requirement"], r["control_id"]))


def requirement_verdict(verdicts: Iterable[ControlVerdict]) -> ControlVerdict:
    """How a requirement stands, given every verdict of every control that serves it.

    The worst one decides; a requirement nothing was said about is never_proven.
    """
    found = set(verdicts)
    return next((verdict for verdict in WORST_FIRST if verdict in found), _UNSAID)


def framework_score(requirements: Iterable[ControlVerdict]) -> FrameworkScore:
    """Add up the requirements of one framework.

    What was never proven counts against the score. A manual requirement is nobody's pass: it is
    left out of the score and held against the coverage.
    """
    count = dict.fromkeys(ControlVerdict, 0)
    for verdict in requirements:
        count[verdict] += 1
    met, unmet = count[ControlVerdict.PASS], count[ControlVerdict.FAIL]
    unproven, manual = count[ControlVerdict.NEVER_PROVEN], count[ControlVerdict.MANUAL]
    judged = met + unmet + unproven
    return FrameworkScore(
        met=met,
        unmet=unmet,
        unproven=unproven,
        manual=manual,
        not_applicable=count[ControlVerdict.NOT_APPLICABLE],
        score=met / judged if judged else None,
        coverage=(met + unmet) / (judged + manual) if judged + manual else None,
    )


_UNSAID = ControlVerdict.NEVER_PROVEN
