"""What each adapter can be asked of a workload, and when the answer of a command is a good one."""

from collections.abc import Mapping

from qlrf_pipelines.domain.operations import Health, HealthReport
from qlrf_pipelines.domain.recovery_plans import ProbeType

# One table, so that contracts are held against it without loading any adapter.
ANSWERS: Mapping[str, frozenset[ProbeType]] = {
    "aws": frozenset({ProbeType.COMMAND}),
    "kubernetes": frozenset({ProbeType.COMMAND}),
    "postgres": frozenset({ProbeType.SQL}),
    "vsphere": frozenset(),
}
_SHOWN = 200


def judged(where: str, *, code: int, out: str, err: str, expect: str | None) -> HealthReport:
    """A command that ended: good with code 0 and, if one is expected, exactly that answer."""
    said = out.strip()
    if code != 0:
        why = f"{where}: it ended with {code}: {_short(err.strip() or said)}"
        return HealthReport(health=Health.UNHEALTHY, why=why)
    if expect is not None and said != expect.strip():
        why = f"{where}: it answers {_short(said)!r}, not {expect!r}"
        return HealthReport(health=Health.UNHEALTHY, why=why)
    return HealthReport(health=Health.HEALTHY, why=f"{where}: it answers {_short(said)!r}")


def bad(why: str) -> HealthReport:
    """It was asked, and there is no good answer."""
    return HealthReport(health=Health.UNHEALTHY, why=why)


def unasked(why: str) -> HealthReport:
    """It could not be asked, which says nothing of the workload."""
    return HealthReport(health=Health.UNKNOWN, why=why)


def _short(text: str) -> str:
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "…"
