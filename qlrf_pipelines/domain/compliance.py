"""Controls, and how their verdicts add up."""

from collections.abc import Mapping
from dataclasses import dataclass

from qlrf_pipelines.domain.vocabulary import Severity


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
