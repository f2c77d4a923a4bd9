"""Two sites of a platform with a member on them, as the promises of recovery adapters need them."""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from qlrf_pipelines.domain.operations import Progress, Status
from qlrf_pipelines.domain.recovery import Member, Move, MoveKind, Side
from qlrf_pipelines.ports.recovery import RecoveryAdapter, RecoverySession
from tests.fakes.dying import Killed

DRILL, OTHER = "drill-2026-11-01", "drill-2026-11-02"
MOST_STEPS = 60


class Sites(ABC):
    """A platform with one member on it, looked at from outside the adapter."""

    member: Member
    expected: int  # machines or workloads that a fail-over makes

    @abstractmethod
    def adapter(self, *, die_at: int | None = None) -> RecoveryAdapter:
        """The adapter; perhaps one whose process dies after a change it makes."""

    def session(self, *, die_at: int | None = None) -> RecoverySession:
        """The adapter's session; perhaps one whose process dies after a change it makes."""
        return self.adapter(die_at=die_at).open(self.member)

    def session_of(self, name: str) -> RecoverySession:
        """The session of another member with the same settings."""
        return self.adapter().open(replace(self.member, name=name))

    @abstractmethod
    def unreachable(self) -> RecoverySession:
        """A session with a platform that does not answer."""

    @abstractmethod
    def without_credentials(self) -> Mapping[str, Any]:
        """The member's settings with a secret at env:NOWHERE."""

    @abstractmethod
    def world(self) -> Any:
        """Everything that is there, so that two moments can be compared."""

    @abstractmethod
    def served_by(self) -> Side | None:
        """Where the service's clients are led and answered; None if nowhere."""

    @abstractmethod
    def primary_works(self) -> bool:
        """Whether the primary side can serve."""

    @abstractmethod
    def made(self) -> int:
        """How many machines or workloads there are beyond the declared ones."""

    def settle(self) -> None:  # noqa: B027  most platforms finish by themselves
        """Let the platform finish what it was asked for."""


def a_move(kind: MoveKind, *, test: bool = False, drill: str = DRILL) -> Move:
    """A move's first call."""
    token = f"{list(MoveKind).index(kind):x}{int(test)}{drill[-2:]}".ljust(64, "0")
    return Move(token=token, drill=drill, kind=kind, test=test)


def again(move: Move, checkpoint: Mapping[str, Any]) -> Move:
    """The same move asked again."""
    return Move(
        token=move.token,
        drill=move.drill,
        kind=move.kind,
        test=move.test,
        checkpoint=checkpoint,
        begun=True,
    )


def finish(sites: Sites, move: Move, session: RecoverySession | None = None) -> Progress:
    """Ask until the move ends."""
    at = session or sites.session()
    for _ in range(MOST_STEPS):
        progress = at.advance(move)
        if progress.status is not Status.RUNNING:
            return progress
        sites.settle()
        move = again(move, progress.checkpoint)
    raise AssertionError(f"{move.kind} does not end: {progress.detail}")


def finish_killed(sites: Sites, move: Move, *, at: int) -> bool:
    """Ask until the process dies after its change `at`, then as a new process; whether it died."""
    dying = sites.session(die_at=at)
    for _ in range(MOST_STEPS):
        try:
            progress = dying.advance(move)
        except Killed:
            sites.settle()
            assert finish(sites, again(move, move.checkpoint)).status is Status.SUCCEEDED
            return True
        if progress.status is not Status.RUNNING:
            assert progress.status is Status.SUCCEEDED, progress.detail
            return False
        sites.settle()
        move = again(move, progress.checkpoint)
    raise AssertionError(f"{move.kind} does not end")
