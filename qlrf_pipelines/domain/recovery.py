"""Recovery: what moves between two sites in a drill, and what is known of each side."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any


class Side(StrEnum):
    """One of the two sites of a member."""

    PRIMARY = "primary"
    RECOVERY = "recovery"


class Serving(StrEnum):
    """What one side of a member does; unknown is never taken for anything better."""

    LIVE = "live"
    STANDBY = "standby"
    ISOLATED = "isolated"
    STOPPED = "stopped"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class ReplicationStatus(StrEnum):
    """How the recovery side follows the primary."""

    IN_SYNC = "in_sync"
    LAGGING = "lagging"
    FAILED = "failed"
    UNKNOWN = "unknown"


class MoveKind(StrEnum):
    """A step of a drill that changes something at a member."""

    ISOLATE = "isolate"
    FAIL_OVER = "fail_over"
    SWITCH = "switch"
    FAIL_BACK = "fail_back"
    CLEAN_UP = "clean_up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One thing that fails over: a database, some machines, a workload.

    `adapter` names who can move it; `settings` are that adapter's, as the contract gives them,
    with secrets as references.
    """

    name: str
    adapter: str
    settings: Mapping[str, Any]
    depends_on: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One step at one member.

    `drill` and `token` (64 hex digits) name it for ever: whatever the adapter makes carries the
    drill's id, and the same token never does the same thing twice. `test` asks for the recovery
    side in an isolated network while the primary keeps serving. `checkpoint` and `begun` are as in
    an Operation.
    """

    token: str
    drill: str
    kind: MoveKind
    test: bool = False
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    begun: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Replication:
    """How far the recovery side is behind, as far as known; None is not known."""

    status: ReplicationStatus
    detail: str
    lag_seconds: float | None = None
    lag_bytes: int | None = None
