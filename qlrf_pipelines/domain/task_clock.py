"""What the clock does to a task by itself; it never approves anything, nor ends what has begun."""

from dataclasses import replace
from datetime import datetime

from qlrf_pipelines.domain.approval import Approved, Expired, Pending
from qlrf_pipelines.domain.task_facts import entry
from qlrf_pipelines.domain.task_steps import ended, next_look, standing_of, standing_of_people
from qlrf_pipelines.domain.tasks import RUNNING, Amendment, Record, Task, TaskEvent, TaskState


def on_time(record: Record, *, now: datetime) -> Amendment | None:
    """What the clock does to a task by itself: expire it, remind, or open its window."""
    task = record.task
    if task.due_at is None or now < task.due_at:
        return None
    if task.state in RUNNING:
        return _rest_on_time(record, now)
    came = standing_of(record, now=now)
    if task.state is TaskState.APPROVED and isinstance(came, Approved):
        opens = came.conditions.not_before
        if task.ready_seq is not None or (opens is not None and opens > now):
            return None
        changed = replace(task, changed_at=now, due_at=came.until)
        return Amendment(task=changed, entries=(entry(changed, "window_opened", now),), ready=True)
    if isinstance(came, Expired) or now >= task.requirement.expires_at:
        return ended(record, TaskEvent.EXPIRED, now)
    return _reminded(task, now)


def _rest_on_time(record: Record, now: datetime) -> Amendment | None:
    """The clock never ends what has started: it says that time for the rest ran out."""
    task, came = record.task, standing_of_people(record, now=now)
    if isinstance(came, Pending):
        return _reminded(task, now)
    if isinstance(came, Approved):
        return None
    changed = replace(task, changed_at=now, due_at=None)
    return Amendment(task=changed, entries=(entry(changed, "rest_expired", now),))


def _reminded(task: Task, now: datetime) -> Amendment:
    changed = replace(task, reminded=task.reminded + 1, changed_at=now, due_at=next_look(task, now))
    return Amendment(
        task=changed, entries=(entry(changed, "reminded", now, times=changed.reminded),)
    )
