"""Tasks: durable rows of what was asked for, decided and begun; waits live here, in no process."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.tasks import Amendment, Document, Record, Task, TaskState


class Tasks(ABC):
    """Where tasks are kept; every step is kept whole, with its evidence in the ledger, or not."""

    @abstractmethod
    def submit(self, tenant: TenantId, first: Amendment) -> Record:
        """Keep a new task; if one of the same key is kept already, that one is the answer.

        Raises:
            Unavailable: the database does not answer.
            Rejected: the document cannot be kept.
        """

    @abstractmethod
    def get(self, tenant: TenantId, task: str) -> Record:
        """A task with its newest document and all decisions and claims.

        Raises:
            NotFound: the tenant has no such task.
        """

    @abstractmethod
    def task(self, tenant: TenantId, task: str) -> Task:
        """A task alone, without what is asked: documents may be large.

        Raises:
            NotFound: the tenant has no such task.
        """

    @abstractmethod
    def find(self, tenant: TenantId, *, key: str = "", prefix: str = "") -> Sequence[Task]:
        """The tasks with this key, or whose id begins with `prefix`, at most ten."""

    @abstractmethod
    def documents(self, tenant: TenantId, task: str) -> Sequence[Document]:
        """Every revision of a task's document, oldest first."""

    @abstractmethod
    def amend(
        self, tenant: TenantId, task: str, step: Callable[[Record], Amendment | None]
    ) -> Record:
        """Take one step: `step` sees the task alone, nobody else changes it meanwhile.

        What it returns is kept in one transaction with its evidence; None keeps everything as it
        is. It may be called again if the connection was lost, so it must be pure.

        Raises:
            NotFound: the tenant has no such task.
            Refused: what `step` raised; or a claim or document that is kept already.
        """

    @abstractmethod
    def list(
        self,
        tenant: TenantId,
        *,
        states: Sequence[TaskState] = (),
        review_due: bool = False,
        before: str = "",
        limit: int = 100,
    ) -> Sequence[Task]:
        """Tasks, newest first; those older than the id `before`; no states means all."""

    @abstractmethod
    def count(self, tenant: TenantId) -> Mapping[TaskState, int]:
        """How many tasks there are in each state; a state without any is left out."""

    @abstractmethod
    def tenants(self) -> Mapping[TenantId, int]:
        """Every tenant that ever had a task, and the number of its newest step."""

    @abstractmethod
    def approved_since(self, tenant: TenantId, *, cursor: int, limit: int) -> Sequence[Task]:
        """Approved tasks that became ready to run after step `cursor`, in that order.

        A tenant's steps are kept in the order of their numbers, so a number once passed never
        hides a task that appears later.
        """

    @abstractmethod
    def due(self, tenant: TenantId, *, now: datetime, limit: int) -> Sequence[Task]:
        """Tasks the clock has something to do with: to expire, to remind of, or to open."""

    @abstractmethod
    def wait(self, tenant: TenantId, task: str, *, after: int, seconds: float) -> bool:
        """Sleep until a task took a step after number `after`; False if time ran out before.

        Woken by the step itself: nothing is asked again and again meanwhile.
        """
