"""How every recovery session takes its steps: one table of moves, and refusals as failures."""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping
from typing import Any

from qlrf_pipelines.domain.errors import Refused, Rejected
from qlrf_pipelines.domain.operations import Progress, Status
from qlrf_pipelines.domain.recovery import Move, MoveKind
from qlrf_pipelines.ports.recovery import RecoverySession

Step = Callable[[Move], Progress]


class SteppedSession(RecoverySession):
    """A session whose moves are a table; what the platform refuses for good is a failed move."""

    @abstractmethod
    def moves(self) -> Mapping[MoveKind, Step]:
        """What can be done with this member, and who does it."""

    def advance(self, move: Move) -> Progress:
        """One step of a move; see the port."""
        step = self.moves().get(move.kind)
        if step is None:
            raise Rejected(f"There is no move {move.kind} for this member; nothing was done.")
        try:
            return step(move)
        except Refused as refusal:
            return failed(str(refusal), move.checkpoint)


def running(
    detail: str, checkpoint: Mapping[str, Any] | None = None, *, poll_seconds: float = 5.0
) -> Progress:
    """Something was begun, or is awaited."""
    return Progress(
        status=Status.RUNNING,
        detail=detail,
        checkpoint=dict(checkpoint or {}),
        poll_seconds=poll_seconds,
    )


def succeeded(detail: str, checkpoint: Mapping[str, Any] | None = None) -> Progress:
    """It is so, as seen just now."""
    return Progress(status=Status.SUCCEEDED, detail=detail, checkpoint=dict(checkpoint or {}))


def failed(detail: str, checkpoint: Mapping[str, Any] | None = None) -> Progress:
    """It cannot be had by asking again."""
    return Progress(status=Status.FAILED, detail=detail, checkpoint=dict(checkpoint or {}))


def unknown(detail: str, checkpoint: Mapping[str, Any] | None = None) -> Progress:
    """Nobody can say whether it was done."""
    return Progress(status=Status.UNKNOWN, detail=detail, checkpoint=dict(checkpoint or {}))


def digest(*parts: str, length: int = 64) -> str:
    """A name for these parts that is the same every time and fits where their own would not."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:length]
