"""Recovery adapters: whoever can move one kind of member to its recovery site and back."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

from qlrf_pipelines.domain.operations import Health, HealthReport, Progress
from qlrf_pipelines.domain.recovery import Member, Move, Replication, Serving, Side
from qlrf_pipelines.domain.recovery_plans import ProbeType


class Canary(ABC):
    """Numbered writes through the service's own data: what arrives tells what is lost."""

    @abstractmethod
    def write(self, drill: str, number: int) -> None:
        """Write one number where the service writes; durable there when this returns.

        Raises:
            Unavailable: it was not written, or nobody knows.
        """

    @abstractmethod
    def read(self, drill: str) -> Sequence[int]:
        """The numbers of a drill that are there, ascending.

        Raises:
            Unavailable: they could not be read, which is not the same as none.
        """


class RecoverySession(ABC):
    """One member within reach. Safe to use from many threads."""

    @abstractmethod
    def replication(self) -> Replication:
        """How far the recovery side is behind now. Reads only; what cannot be read is unknown."""

    @abstractmethod
    def serving(self) -> Mapping[Side, Serving]:
        """What each side does now. Reads only; what cannot be read is unknown."""

    @abstractmethod
    def advance(self, move: Move) -> Progress:
        """Look at what is there, take at most one step of the move, and say how far it is.

        Level-triggered as an Operator's: killed and asked again with the same token, it goes on
        where it was and does nothing twice; what cannot be told apart from done is unknown.

        Raises:
            Rejected: this adapter has no such move for such a member; nothing was done.
            Unavailable: no answer; ask again with the same token.
        """

    @abstractmethod
    def leftovers(self, drill: str) -> Sequence[str]:
        """Everything a drill made that is still there, each as a name an operator can look for.

        Raises:
            Unavailable: it could not be looked for, which is not the same as nothing.
        """

    @abstractmethod
    def canary(self, side: Side, *, drill: str) -> Canary | None:
        """The data of one side as seen during a drill; None if this member has none to write."""

    def ask(
        self, side: Side, check: Mapping[str, Any], *, drill: str, timeout_seconds: float
    ) -> HealthReport:
        """One answer to a `sql` or `command` check of the workload on one side, in bounded time.

        May be asked any number of times. A bad answer, or none in time, is unhealthy; what kept
        the question from being asked is unknown, and so is a check the adapter does not answer.
        """
        del side, drill, timeout_seconds
        why = f"this adapter cannot ask by {check.get('type', 'nothing')}"
        return HealthReport(health=Health.UNKNOWN, why=why)


class RecoveryAdapter(ABC):
    """One kind of member; `name` is what contracts call it, `version` changes with what it does.

    `answers` are the checks its sessions can ask of a workload; no drill begins with others.
    """

    name: str
    version: str
    answers: frozenset[ProbeType] = frozenset()

    @abstractmethod
    def open(self, member: Member) -> RecoverySession:
        """Reach a member.

        Raises:
            Rejected: its settings are not this adapter's, or a reference leads nowhere.
            Unavailable: it does not answer.
        """


RecoveryAdapters = Mapping[str, RecoveryAdapter]
