"""How far a task may be carried out, and by whose word: the platform's, or people's."""

from qlrf_pipelines.domain.approval import DecisionKind, Extent, by_itself
from qlrf_pipelines.domain.tasks import Record


def claimed_extent(record: Record) -> Extent:
    """How far the newest digest of a task may be carried out: as far as a run claimed it."""
    mine = [one.extent for one in record.claims if one.digest == record.task.digest]
    if Extent.WHOLE in mine or record.task.requirement.unattended is not Extent.CANARY:
        return Extent.WHOLE
    return Extent.CANARY


def approvers(record: Record, extent: Extent) -> list[str]:
    """Who approved so much: a canary the platform, and all of what it went ahead of nobody else."""
    yes = (DecisionKind.APPROVE, DecisionKind.BREAK_GLASS)
    said = [one.by for one in record.current if one.kind in yes]
    if record.task.requirement.unattended is not Extent.CANARY:
        return said
    return [name for name in said if by_itself(name) is (extent is Extent.CANARY)]
