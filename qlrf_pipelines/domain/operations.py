"""Operations on assets: what an executor is asked to do, and what it can honestly say of it.

An operation is level-triggered: `advance` looks at what is there, takes at most one step, and says
how far it is. Whoever asks may be killed at any moment and ask again, with the same token.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.vocabulary import Platform

# A parameter of a patch in place: with this value it can be taken back, by snapshots.
ROLLBACK, RESTORE_SNAPSHOT = "rollback", "restore-snapshot"
# A parameter: the token of an operation's first try, before which the asset was as captured.
FIRST_TRY = "first_try"
# A tag of the side of an asset that has no traffic, for whoever chooses assets by tags.
IDLE = "qlrf:idle"
# A parameter of a switch: the id of the new side, as starting it beside the old one said.
NEW_SIDE = "new_side"


class OperationKind(StrEnum):
    """What is done to an asset.

    `start_beside` brings up a new side of an image beside the asset, healthy and without traffic;
    its Progress names the new side's id. `switch` then gives the new side all the traffic, and the
    old one keeps running, without any. `restore` brings back what `before` says, whatever was done
    since, `finalise` lets go of what was kept for that (it is asked for when restoring will not
    be), `hook` runs a hook.
    """

    REPLACE_WITH_IMAGE = "replace_with_image"
    PATCH_IN_PLACE = "patch_in_place"
    ROLLING_UPDATE = "rolling_update"
    REBOOT = "reboot"
    START_BESIDE = "start_beside"
    SWITCH = "switch"
    RESTORE = "restore"
    FINALISE = "finalise"
    HOOK = "hook"


class Status(StrEnum):
    """How far an operation is; unknown means that nobody can say whether it was done."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"


class Health(StrEnum):
    """What a check says; unknown is not healthy."""

    HEALTHY = "healthy"
    UNHEALTHY = "unhealthy"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """One asset where it lives; `id` is what the inventory stores as `asset_id`."""

    platform: Platform
    account: str
    region: str
    id: str

    @property
    def key(self) -> str:
        """The asset's key, `platform:account:region:asset_id`, unique within a tenant."""
        return f"{self.platform}:{self.account}:{self.region}:{self.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation on one asset.

    `token` (64 hex digits) is its idempotency key: the same token is the same operation, whoever
    asks. `before` is what `capture` said of the asset, its last known good. `checkpoint` is what
    the last Progress said; empty on the first call, and perhaps older than the truth.
    `begun` is whether an earlier call may have been made: if so, nothing found is not proof that
    nothing was done.
    """

    token: str
    kind: OperationKind
    target: Target
    image: str | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    begun: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far an operation is.

    `detail` is one sentence for the operator. `checkpoint` (JSON) is handed back on the next call.
    `asset_id` is the asset that is there now, if it is another one than the target. `poll_seconds`
    is when it is worth asking again.
    """

    status: Status
    detail: str
    checkpoint: Mapping[str, Any] = field(default_factory=dict)
    asset_id: str | None = None
    poll_seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReport:
    """What one check of one asset found, and why."""

    health: Health
    why: str


def target_of(key: str) -> Target:
    """The target of an asset's key.

    Raises:
        Rejected: that is no asset's key.
    """
    parts = key.split(":", 3)
    if len(parts) != 4 or not all(parts) or parts[0] not in list(Platform):
        raise Rejected(f"{key!r} is no asset: keys are `platform:account:region:asset_id`.")
    return Target(platform=Platform(parts[0]), account=parts[1], region=parts[2], id=parts[3])
