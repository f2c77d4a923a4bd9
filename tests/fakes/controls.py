"""A few small controls, kept in memory."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from qlrf_pipelines.domain.compliance import Control, Framework, Requirement, control_digest
from qlrf_pipelines.domain.vocabulary import Severity
from qlrf_pipelines.ports.controls import ControlStore

IMDS_SQL = """
SELECT tenant, asset_key,
  CASE WHEN imds_v2 IS NULL THEN 'never_proven' WHEN imds_v2 THEN 'pass' ELSE 'fail' END AS verdict,
  CASE WHEN imds_v2 IS NULL THEN 'fact imds_v2 is missing'
       WHEN imds_v2 THEN 'tokens required' ELSE 'tokens optional' END AS detail
FROM assets
"""
VOLUMES_SQL = """
SELECT tenant, asset_key,
  CASE WHEN volume_count = 0 THEN 'not_applicable' WHEN ebs_encrypted IS NULL THEN 'never_proven'
       WHEN ebs_encrypted THEN 'pass' ELSE 'fail' END AS verdict,
  CASE WHEN volume_count = 0 THEN 'no volumes' ELSE 'volumes judged' END AS detail
FROM assets
"""


def control(
    name: str,
    *,
    sql: str | None,
    facts: Sequence[str] = (),
    severity: Severity = Severity.HIGH,
    frameworks: Mapping[str, tuple[str, ...]] | None = None,
) -> Control:
    """A control with everything a test does not care about filled in."""
    made = Control(
        id=name,
        title=name.replace("_", " "),
        severity=severity,
        description="A control for tests.",
        remediation="Nothing to do.",
        facts=tuple(facts),
        frameworks=frameworks if frameworks is not None else {"soc2": ("CC6.1",)},
        sql=sql,
        digest="",
    )
    return replace(made, digest=control_digest(made))


CONTROLS = (
    control("access_review", sql=None, severity=Severity.MEDIUM),
    control("imds_v2", sql=IMDS_SQL, facts=["imds_v2"]),
    control("volumes_encrypted", sql=VOLUMES_SQL, facts=["volume_count", "ebs_encrypted"]),
)
FRAMEWORKS = (
    Framework(
        id="soc2",
        name="SOC 2",
        version="2017",
        requirements=(Requirement(id="CC6.1", title="Logical access is protected."),),
    ),
)


class FakeControls(ControlStore):
    """Hands out the controls and frameworks it was given."""

    def __init__(
        self,
        controls: Sequence[Control] = CONTROLS,
        frameworks: Sequence[Framework] = FRAMEWORKS,
    ) -> None:
        self.controls = sorted(controls, key=lambda item: item.id)
        self.standards = frameworks

    def load(self) -> Sequence[Control]:
        return self.controls

    def frameworks(self) -> Sequence[Framework]:
        return self.standards
