"""Tasks: something somebody wants done, from the first word to a known end.

A task is a durable row; a process is only an attempt at taking it one step further. Its states are
a table, its document has revisions, and what people decide is about one revision's digest.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from qlrf_pipelines.domain.approval import Decision, Extent, Requirement
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import NewEntry, digest


class TaskState(StrEnum):
    """Where a task stands."""

    CREATED = "created"
    PLANNED = "planned"
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    EXECUTING = "executing"
    PAUSED = "paused"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    REVOKED = "revoked"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"


class TaskEvent(StrEnum):
    """What can happen to a task."""

    PLANNED = "planned"
    REQUESTED = "requested"
    APPROVED = "approved"
    CHANGES_REQUESTED = "changes_requested"
    REVISED = "revised"
    REJECTED = "rejected"
    EXPIRED = "expired"
    REVOKED = "revoked"
    CANCELLED = "cancelled"
    SUPERSEDED = "superseded"
    STARTED = "started"
    PAUSED = "paused"
    RESUMED = "resumed"
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    FAILED = "failed"
    STOPPED = "stopped"


_S, _E = TaskState, TaskEvent
NOT_STARTED = (_S.CREATED, _S.PLANNED, _S.AWAITING_APPROVAL, _S.APPROVED)
RUNNING = (_S.EXECUTING, _S.PAUSED)

NEXT: Mapping[tuple[TaskState, TaskEvent], TaskState] = {
    (_S.CREATED, _E.PLANNED): _S.PLANNED,
    (_S.CREATED, _E.FAILED): _S.FAILED,
    (_S.PLANNED, _E.REQUESTED): _S.AWAITING_APPROVAL,
    (_S.PLANNED, _E.REVISED): _S.PLANNED,
    (_S.AWAITING_APPROVAL, _E.REVISED): _S.PLANNED,
    (_S.APPROVED, _E.REVISED): _S.PLANNED,
    (_S.AWAITING_APPROVAL, _E.CHANGES_REQUESTED): _S.PLANNED,
    (_S.APPROVED, _E.CHANGES_REQUESTED): _S.PLANNED,
    (_S.AWAITING_APPROVAL, _E.APPROVED): _S.APPROVED,
    (_S.AWAITING_APPROVAL, _E.REJECTED): _S.REJECTED,
    (_S.APPROVED, _E.REVOKED): _S.REVOKED,
    (_S.APPROVED, _E.REJECTED): _S.REJECTED,  # only the platform had approved, and its canary only
    (_S.APPROVED, _E.STARTED): _S.EXECUTING,
    (_S.EXECUTING, _E.PAUSED): _S.PAUSED,
    (_S.PAUSED, _E.RESUMED): _S.EXECUTING,
    (_S.EXECUTING, _E.COMPLETED): _S.COMPLETED,
    **{(state, _E.ROLLED_BACK): _S.ROLLED_BACK for state in RUNNING},
    **{(state, _E.FAILED): _S.FAILED for state in RUNNING},
    **{(state, _E.STOPPED): _S.CANCELLED for state in RUNNING},
    **{(state, _E.EXPIRED): _S.EXPIRED for state in NOT_STARTED},
    **{(state, _E.CANCELLED): _S.CANCELLED for state in NOT_STARTED},
    **{(state, _E.SUPERSEDED): _S.SUPERSEDED for state in NOT_STARTED},
}
ENDED = frozenset(TaskState) - {state for state, _ in NEXT}
OPEN = (_S.CREATED, _S.PLANNED, _S.AWAITING_APPROVAL, _S.APPROVED, _S.EXECUTING, _S.PAUSED)


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch:
    """The run that goes on once this is approved: its job, configuration and tags.

    `parent_run` and `root_run` are the run that asked, so that the attempts are shown as a group.
    """

    job: str
    config: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    parent_run: str = ""
    root_run: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A task's row.

    `seq` is the number of its newest entry in the evidence ledger: it grows with every step. While
    approved, `ready_seq` is the number of the entry that made it ready to run; None means that
    its window has not opened yet. `due_at` is when the clock next has something to do with it.
    """

    tenant: TenantId
    id: str
    key: str
    kind: str
    title: str
    state: TaskState
    revision: int
    digest: str
    stage: str
    requested_by: str
    requested_at: datetime
    requirement: Requirement
    launch: Launch | None
    changed_at: datetime
    reminded: int = 0
    review_due: bool = False
    due_at: datetime | None = None
    seq: int = 0
    ready_seq: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One revision of what is to be done, and digests of everything it was decided upon."""

    revision: int
    digest: str
    content: Mapping[str, Any]
    context: Mapping[str, str]
    made_by: str
    made_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The one run that may carry out one stage of one digest, as far as `extent`."""

    digest: str
    stage: str
    holder: str
    claimed_at: datetime
    extent: Extent = Extent.WHOLE


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """A task with its newest document and everything decided and claimed about it."""

    task: Task
    document: Document
    decisions: tuple[Decision, ...] = ()
    claims: tuple[Claim, ...] = ()

    @property
    def current(self) -> tuple[Decision, ...]:
        """The decisions about the newest revision."""
        return tuple(one for one in self.decisions if one.revision == self.task.revision)

    @property
    def rest_is_asked(self) -> bool:
        """Whether the platform may begin with the canary, and people decide about the rest."""
        task = self.task
        if task.requirement.unattended is not Extent.CANARY or task.state not in OPEN:
            return False
        mine = (one.extent for one in self.claims if one.digest == task.digest)
        return Extent.WHOLE not in mine


@dataclass(frozen=True, slots=True, kw_only=True)
class Amendment:
    """One step of one task, kept whole or not at all; `entries` go into the evidence ledger.

    `ready` marks the step that makes it ready to run: its number becomes the task's `ready_seq`.
    """

    task: Task
    entries: tuple[NewEntry, ...]
    document: Document | None = None
    decisions: tuple[Decision, ...] = ()
    claims: tuple[Claim, ...] = ()
    ready: bool = False


def advance(state: TaskState, event: TaskEvent, *, task: str = "") -> TaskState:
    """The state after an event.

    Raises:
        Refused: nothing like that can happen to a task in this state.
    """
    found = NEXT.get((state, event))
    if found is None:
        raise Refused(f"Task {task or '?'} is {state}, so it cannot be {event}.")
    return found


def task_digest(
    content: Mapping[str, Any], context: Mapping[str, str], requirement: Requirement
) -> str:
    """What an approval signs: the document, what it was decided upon, and who had to decide.

    Raises:
        CanonicalizationError: the content is not JSON.
    """
    return digest(
        {
            "document": dict(content),
            "context": dict(context),
            "required": {
                "quorum": requirement.quorum,
                "role": requirement.role.value,
                "four_eyes": requirement.four_eyes,
                **unattended_facts(requirement),
            },
        }
    )


def unattended_facts(requirement: Requirement) -> dict[str, str | bool]:
    """How much may go by itself, as digests and evidence have it; nothing if people are asked."""
    if requirement.unattended is None:
        return {}
    whole = requirement.unattended is Extent.WHOLE
    return {"unattended": True if whole else requirement.unattended.value}
