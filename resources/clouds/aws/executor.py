"""AWS as an executor: replaces, patches, reboots, restores and checks. It imports no SDK itself."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qlrf_pipelines.domain.errors import NotFound, Rejected
from qlrf_pipelines.domain.estate import Connector
from qlrf_pipelines.domain.operations import (
    FIRST_TRY,
    HealthReport,
    Operation,
    OperationKind,
    Progress,
    Target,
)
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.executors import Executor, Operator
from resources.clouds.aws.beside import sides_of, start_beside
from resources.clouds.aws.captured import capture_instance
from resources.clouds.aws.checking import check_instance
from resources.clouds.aws.commanding import patch
from resources.clouds.aws.hands import PATCHED, Hands, Turns, is_gone, tags_of
from resources.clouds.aws.hooking import hook, reboot
from resources.clouds.aws.refreshing import refresh_group, restore_group
from resources.clouds.aws.replacing import finalise_instance, replace_instance, restore_instance
from resources.clouds.aws.said import failed, succeeded
from resources.clouds.aws.snapshotting import (
    finalise_snapshots,
    restore_snapshots,
    snapshots_of,
    volumes_made,
)
from resources.clouds.aws.switching import TWO_SIDED, finalise_side, restore_side, switch_sides
from resources.clouds.patience import Patience
from resources.secrets import Secrets

if TYPE_CHECKING:
    from resources.clouds.aws.connection import Connection

Advance = Callable[[Hands, Operation], Progress]


class AwsExecutor(Executor):
    """Changes EC2 instances and Auto Scaling groups over AWS's own API.

    `calls_at_once` bounds the calls under way for one account and region, by all its operators.
    """

    platform = Platform.AWS
    version = "aws 2"

    def __init__(
        self,
        *,
        secrets: Secrets,
        max_attempts: int = 6,
        read_timeout: float = 30,
        calls_at_once: int = 8,
    ) -> None:
        self._secrets = secrets
        self._max_attempts = max_attempts
        self._read_timeout = read_timeout
        self._calls_at_once = calls_at_once
        self._turns = Turns(calls_at_once)

    def operator(self, connector: Connector, account: str) -> Operator:
        """The operator of one account; see the port."""
        from resources.clouds.aws.connection import connect

        patience = Patience(
            max_attempts=self._max_attempts,
            read_timeout=self._read_timeout,
            pool_size=self._calls_at_once,
        )
        own = connect(connector, self._secrets.of(connector), patience, changing=True)
        entered = _into(own, connector, account)
        found = entered.call("sts", "get_caller_identity").get("Account")
        if found != account:
            raise NotFound(
                f"Connector {connector.name} leads to account {found}, not to {account}; "
                "correct its credentials or assumeRoles."
            )
        return AwsOperator(entered, account=account, turns=self._turns)


class AwsOperator(Operator):
    """One AWS account as one identity may change it."""

    def __init__(self, connection: "Connection", *, account: str, turns: Turns) -> None:
        self._connection = connection
        self._account = account
        self._turns = turns

    def capture(self, target: Target) -> Mapping[str, Any]:
        """The instance, what hangs on it and its group; see the port."""
        return capture_instance(self._hands(target), target.id)

    def advance(self, operation: Operation) -> Progress:
        """One step, found from what is there; see the port."""
        chosen = OPERATIONS.get(operation.kind)
        if chosen is None:
            raise Rejected(
                f"{operation.target.key}: AWS has no {operation.kind} for an instance; "
                "replace it with an image or patch it in place."
            )
        if operation.kind in NEED_BEFORE and not operation.before:
            raise Rejected(f"{operation.target.key}: capture it before {operation.kind}.")
        return chosen(self._hands(operation.target), operation)

    def check(self, target: Target, check: Mapping[str, Any]) -> HealthReport:
        """What AWS says of the instance; see the port."""
        return check_instance(self._hands(target), target, check)

    def address(self, target: Target) -> str | None:
        """Its private address, or its public one if it has no other; see the port."""
        found = self._hands(target).instance(target.id)
        return found.get("PrivateIpAddress") or found.get("PublicIpAddress")

    def _hands(self, target: Target) -> Hands:
        if target.platform is not Platform.AWS or target.account != self._account:
            raise Rejected(f"{target.key} is not in AWS account {self._account}.")
        turn = self._turns.of(self._account, target.region)
        return Hands(connection=self._connection, region=target.region, turn=turn)


def _into(own: "Connection", connector: Connector, account: str) -> "Connection":
    if not connector.assume_roles:
        return own
    for role in connector.assume_roles:
        if role.split(":")[4] == account:
            return own.as_role(role)
    raise NotFound(
        f"Connector {connector.name} has no role into account {account}; add one to assumeRoles."
    )


def _replace(hands: Hands, operation: Operation) -> Progress:
    if operation.before["group"]:
        return refresh_group(hands, operation)
    return replace_instance(hands, operation)


def _start_beside(hands: Hands, operation: Operation) -> Progress:
    _stands_alone(operation)
    return start_beside(hands, operation)


def _switch(hands: Hands, operation: Operation) -> Progress:
    _stands_alone(operation)
    return switch_sides(hands, operation)


def _stands_alone(operation: Operation) -> None:
    group = operation.before["group"]
    if group:
        raise Rejected(
            f"{operation.target.key}: its Auto Scaling group {group['name']} has no second side "
            "here; plan it with rolling or canary."
        )


def _has_two_sides(hands: Hands, operation: Operation) -> bool:
    """Whether it was begun as two sides; who does not say what was done is told by what stands."""
    said = operation.parameters.get("operation")
    if said is None and not operation.before["group"]:
        return not all(is_gone(side) for side in sides_of(hands, operation.before["id"]))
    return said in TWO_SIDED


def _restore(hands: Hands, operation: Operation) -> Progress:
    before = operation.before
    if _has_two_sides(hands, operation):
        if before["group"]:
            return succeeded("Nothing is ever started beside a group; it is as it was.")
        return restore_side(hands, operation)
    patched = _patched(hands, before["id"])
    if patched is not None and patched != before["tags"].get(PATCHED):
        token = operation.parameters.get(FIRST_TRY) or patched
        found = (look(hands, before["id"], token) for look in (volumes_made, snapshots_of))
        if any(found):
            return restore_snapshots(hands, operation, token)
        return failed(
            f"{before['id']} was patched in place since: packages cannot be taken back, and there "
            "is no snapshot from before. Replace it with the image you trust."
        )
    return (
        restore_group(hands, operation) if before["group"] else restore_instance(hands, operation)
    )


def _patched(hands: Hands, instance_id: str) -> str | None:
    try:
        return tags_of(hands.instance(instance_id)).get(PATCHED)
    except NotFound:
        return None


def _finalise(hands: Hands, operation: Operation) -> Progress:
    name, done = operation.before["id"], operation.parameters.get("operation")
    if done not in (OperationKind.REPLACE_WITH_IMAGE, *TWO_SIDED):
        token = operation.parameters.get(FIRST_TRY) or _patched(hands, name)
        found = snapshots_of(hands, name, token) if token else {}
        if token and found:
            return finalise_snapshots(hands, operation, token, found)
    if operation.before["group"]:
        return succeeded("A refreshed group keeps nothing that could be let go.")
    if done in TWO_SIDED:
        return finalise_side(hands, operation)
    return finalise_instance(hands, operation)


OPERATIONS: Mapping[OperationKind, Advance] = {
    OperationKind.REPLACE_WITH_IMAGE: _replace,
    OperationKind.PATCH_IN_PLACE: patch,
    OperationKind.REBOOT: reboot,
    OperationKind.START_BESIDE: _start_beside,
    OperationKind.SWITCH: _switch,
    OperationKind.RESTORE: _restore,
    OperationKind.FINALISE: _finalise,
    OperationKind.HOOK: hook,
}
NEED_BEFORE = (
    OperationKind.REPLACE_WITH_IMAGE,
    OperationKind.START_BESIDE,
    OperationKind.SWITCH,
    OperationKind.RESTORE,
    OperationKind.FINALISE,
)
