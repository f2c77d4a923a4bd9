"""What people said of the rest of a plan whose canary goes by itself."""

from datetime import datetime

from qlrf_pipelines.domain.approval import Extent, Standing
from qlrf_pipelines.domain.task_steps import standing_of_people
from qlrf_pipelines.domain.tasks import OPEN, Record, Task
from qlrf_pipelines.ports.tasks import Tasks


def rest_of(tasks: Tasks, task: Task) -> Standing | None:
    """As of its last step; one more look, and only where a canary goes by itself."""
    if task.requirement.unattended is not Extent.CANARY or task.state not in OPEN:
        return None
    return asked_rest(tasks.get(task.tenant, task.id), now=task.changed_at)


def asked_rest(record: Record, *, now: datetime) -> Standing | None:
    """As of a moment; None if there is no rest that is asked for."""
    return standing_of_people(record, now=now) if record.rest_is_asked else None
