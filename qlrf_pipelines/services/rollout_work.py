"""The work on one asset of a rollout: one go at it, which may end at any moment.

A go takes at most one changing step. What it is about to do was kept before, so that whoever comes
after a crash asks for the same thing again, with the same token.
"""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from qlrf_pipelines.domain.errors import NotFound, Rejected, Unavailable
from qlrf_pipelines.domain.estate import Connector, TenantId
from qlrf_pipelines.domain.operations import (
    FIRST_TRY,
    NEW_SIDE,
    Health,
    HealthReport,
    Operation,
    OperationKind,
    Progress,
    Status,
    Target,
    target_of,
)
from qlrf_pipelines.domain.rollout import (
    AssetEvent,
    AssetRow,
    AssetState,
    Rollout,
    letting_go_token,
    token,
)
from qlrf_pipelines.domain.rollout_plan import HOOK_ROW, RolloutPlan, Step, StepKind
from qlrf_pipelines.domain.rollout_rules import checked
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.executors import Operator
from qlrf_pipelines.ports.world import World

LONGEST = timedelta(hours=4)
_RETRY_SECONDS = 5.0
_ASKED_OF_CLOUD = ("cloud-status", "ssm-ping", "exec")
_GOES_ON = ("continue", "warn")
_KEEPS_THE_OLD = (OperationKind.REPLACE_WITH_IMAGE, OperationKind.SWITCH)
_BEGUN_FIRST = (StepKind.CHANGE, StepKind.HOOK)
_EVENTS: Mapping[tuple[bool, Status], AssetEvent] = {
    (False, Status.FAILED): AssetEvent.FAILED,
    (False, Status.UNKNOWN): AssetEvent.LOST,
    (True, Status.FAILED): AssetEvent.NOT_UNDONE,
    (True, Status.UNKNOWN): AssetEvent.NOT_UNDONE,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of one go: the row as it is to be kept, and what happened to it.

    Without an event it goes on after `wait` seconds; `intent` says that its next step changes
    something and may be begun only once this row is kept.
    """

    row: AssetRow
    event: AssetEvent | None = None
    wait: float = 0.0
    intent: bool = False


class Operators:
    """Every operator a rollout needs, each opened once. Safe to use from many threads."""

    def __init__(self, world: World, tenant: TenantId) -> None:
        self._world = world
        self._tenant = tenant
        self._door = threading.Lock()
        self._found: dict[tuple[Platform, str], Operator] = {}

    def of(self, target: Target) -> Operator:
        """Who can change this asset.

        Raises:
            Rejected: there is no executor for its platform, or a credential leads nowhere.
            NotFound: no connector of the tenant leads to its account.
            Unavailable: the account could not be entered.
        """
        key = (target.platform, target.account)
        with self._door:
            if key not in self._found:
                self._found[key] = self._open(target)
            return self._found[key]

    def _open(self, target: Target) -> Operator:
        executor = self._world.executors.get(target.platform)
        if executor is None:
            raise Rejected(f"There is no executor for {target.platform}; nothing was done.")
        for connector in self._connectors(target.platform):
            try:
                return executor.operator(connector, target.account)
            except NotFound:
                continue
        raise NotFound(
            f"No {target.platform} connector of tenant {self._tenant} leads to account "
            f"{target.account}; see its contract."
        )

    def _connectors(self, platform: Platform) -> Sequence[Connector]:
        tenants = self._world.estate.load().tenants
        mine = next((t for t in tenants if t.name == self._tenant), None)
        return () if mine is None else [c for c in mine.connectors if c.platform is platform]


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """What every go of a rollout looks at."""

    world: World
    operators: Operators
    plan: RolloutPlan
    rollout: Rollout
    rows: Callable[[], Mapping[str, AssetRow]]

    def capture(self, row: AssetRow) -> Outcome:
        """Look at what is there before it is changed; that it is gone is an outcome."""
        if row.before or row.asset.startswith(HOOK_ROW):
            return Outcome(row=row, intent=True)
        target = target_of(row.asset)
        try:
            found = self.operators.of(target).capture(target)
        except NotFound as error:
            return Outcome(row=replace(row, detail=str(error)), event=AssetEvent.GONE)
        except Unavailable as error:
            if error.retryable:
                return Outcome(row=replace(row, detail=str(error)), wait=_RETRY_SECONDS)
            return Outcome(row=replace(row, detail=str(error)), event=AssetEvent.FAILED)
        except Rejected as error:
            return Outcome(row=replace(row, detail=str(error)), event=AssetEvent.FAILED)
        return Outcome(row=replace(row, before=found), intent=True)

    def go(self, row: AssetRow, *, fresh: bool) -> Outcome:
        """Take the work on a row as far as it goes now; `fresh` if nobody called for it before."""
        steps = self.steps(row)
        if row.state is AssetState.RESTORING and not row.before:
            why = "it was never changed, so there is nothing to bring back"
            return Outcome(row=replace(row, detail=why), event=AssetEvent.UNDONE)
        while row.step < len(steps):
            step = steps[row.step]
            if step.kind is StepKind.STAND_BY:
                return Outcome(row=replace(row, step=row.step + 1), event=AssetEvent.STOOD_BY)
            if step.kind is StepKind.CHECK:
                came = self._check(row, step.check or {})
            else:
                came = self._change(row, step, fresh=fresh)
            if came.event is not None or came.wait or came.intent:
                return came
            row = came.row
        back = row.state is AssetState.RESTORING
        return Outcome(row=row, event=AssetEvent.UNDONE if back else AssetEvent.CHANGED)

    def let_go(self, row: AssetRow) -> Progress:
        """Let go of what was kept to bring an asset back, as it will not be; one step at a time."""
        target = target_of(row.asset)
        try:
            return self.operators.of(target).advance(
                Operation(
                    token=letting_go_token(self.rollout, row),
                    kind=OperationKind.FINALISE,
                    target=target,
                    parameters=self._done(row),
                    before=row.before,
                    begun=True,
                )
            )
        except Unavailable as error:
            status = Status.RUNNING if error.retryable else Status.FAILED
            return Progress(status=status, detail=str(error), poll_seconds=_RETRY_SECONDS)
        except (NotFound, Rejected) as error:
            return Progress(status=Status.FAILED, detail=str(error))

    def keeps_something(self, row: AssetRow) -> bool:
        """Whether something was kept to bring this asset back, which nobody needs any more."""
        if row.asset.startswith(HOOK_ROW) or not row.before:
            return False
        steps = self.plan.work[row.asset]
        snapshots = any(step.keeps_snapshots for step in steps)
        if row.state is AssetState.RESTORED:
            return snapshots
        replaced = any(step.operation in _KEEPS_THE_OLD for step in steps)
        return row.state is AssetState.DONE and (snapshots or replaced)

    def steps(self, row: AssetRow) -> tuple[Step, ...]:
        """The steps of the work on a row: forth as planned, or back and then looked at."""
        forth = self.plan.work[row.asset]
        if row.state is not AssetState.RESTORING:
            return forth
        restore = Step(kind=StepKind.CHANGE, operation=OperationKind.RESTORE)
        last = max(n for n, step in enumerate(forth) if step.kind is StepKind.CHANGE)
        return (restore, *(step for step in forth[last:] if step.kind is StepKind.CHECK))

    def _change(self, row: AssetRow, step: Step, *, fresh: bool) -> Outcome:
        now = self.world.clock.now()
        try:
            came = self._advanced(row, step, fresh=fresh)
        except Rejected as error:
            came = Progress(status=Status.FAILED, detail=str(error))
        except NotFound as error:
            came = Progress(status=Status.UNKNOWN, detail=str(error))
        except Unavailable as error:
            status = Status.RUNNING if error.retryable else Status.UNKNOWN
            came = Progress(
                status=status,
                detail=str(error),
                checkpoint=row.checkpoint,
                poll_seconds=_RETRY_SECONDS,
            )
        return self._came(row, step, came, now)

    def _came(self, row: AssetRow, step: Step, came: Progress, now: datetime) -> Outcome:
        row = replace(row, detail=came.detail, now_id=came.asset_id or row.now_id)
        back = row.state is AssetState.RESTORING
        if came.status is Status.RUNNING:
            row = replace(row, checkpoint=came.checkpoint)
            if row.begun_at is not None and now - row.begun_at > LONGEST:
                why = f"not over after {LONGEST.total_seconds() / 3600:.0f} hours: {came.detail}"
                return Outcome(row=replace(row, detail=why), event=_EVENTS[back, Status.UNKNOWN])
            wait = max(0.001, came.poll_seconds)
            return Outcome(row=replace(row, until=now + timedelta(seconds=wait)), wait=wait)
        if came.status is not Status.SUCCEEDED and not _tolerated(step):
            return Outcome(row=row, event=_EVENTS[back, came.status])
        return self._next(row)

    def _next(self, row: AssetRow) -> Outcome:
        """On to the next step; one that changes something waits until it is kept."""
        row = replace(row, step=row.step + 1, checkpoint={}, until=None)
        steps = self.steps(row)
        changes_next = row.step < len(steps) and steps[row.step].kind in _BEGUN_FIRST
        return Outcome(row=row, intent=changes_next)

    def _advanced(self, row: AssetRow, step: Step, *, fresh: bool) -> Progress:
        key = token(self.rollout, row)
        if step.hook is not None and step.hook["type"] == "webhook":
            return self._webhook(row, step.hook, key)
        target = self._target(row, now=step.hook is not None)
        operator = self.operators.of(target)
        if step.hook is not None:
            kind, parameters = OperationKind.HOOK, _texts(step.hook)
        else:
            kind = step.operation or OperationKind.RESTORE
            parameters = dict(step.parameters or {}) | self._earlier(row)
            if kind is OperationKind.SWITCH:
                parameters |= {NEW_SIDE: row.now_id}
        return operator.advance(
            Operation(
                token=key,
                kind=kind,
                target=target,
                image=step.image,
                parameters=parameters,
                before=row.before,
                checkpoint=row.checkpoint,
                begun=not fresh,
            )
        )

    def _target(self, row: AssetRow, *, now: bool = False) -> Target:
        """The asset of a row, as what it is `now` if it was replaced.

        A hook of the whole rollout runs on the first asset that is not gone, as what it is by then.

        Raises:
            Rejected: none is left to run a hook on.
        """
        if not row.asset.startswith(HOOK_ROW):
            target = target_of(row.asset)
            return replace(target, id=row.now_id) if now and row.now_id else target
        rows = self.rows()
        first = next((a for a in self.plan.assets if rows[a].state is not AssetState.SKIPPED), None)
        if first is None:
            raise Rejected("Every asset of this rollout is gone; there is none to run a hook on.")
        return self._target(rows[first], now=True)

    def _earlier(self, row: AssetRow) -> dict[str, str]:
        """What an operation has to know of earlier ones: of what it undoes, or of its first try."""
        if row.state is AssetState.RESTORING:
            return self._done(row)
        if not row.tries:
            return {}
        return {FIRST_TRY: token(self.rollout, replace(row, tries=0))}

    def _done(self, row: AssetRow) -> dict[str, str]:
        """The change that was made to an asset: its kind, its tokens, what it made."""
        for number, step in enumerate(self.plan.work[row.asset]):
            if step.kind is StepKind.CHANGE:
                done = replace(row, state=AssetState.CHANGING, step=number)
                return {
                    "undoes": token(self.rollout, done),
                    FIRST_TRY: token(self.rollout, replace(done, tries=0)),
                    "operation": str(step.operation),
                    "asset_id": row.now_id,
                }
        return {}

    def _webhook(self, row: AssetRow, hook: Mapping[str, Any], key: str) -> Progress:
        rollout = self.rollout
        payload = {
            "event": hook["when"],
            "tenant": rollout.tenant,
            "rollout": rollout.id,
            "plan": self.plan.id,
            "digest": rollout.digest,
            "asset": "" if row.asset.startswith(HOOK_ROW) else row.asset,
        }
        said = self.world.hooks.call(hook, token=key, payload=payload)
        good = said.health is Health.HEALTHY
        return Progress(status=Status.SUCCEEDED if good else Status.FAILED, detail=said.why)

    def _check(self, row: AssetRow, check: Mapping[str, Any]) -> Outcome:
        now = self.world.clock.now()
        delay = float(check.get("initial_delay_seconds", 0))
        if delay and not row.checkpoint:
            waiting = replace(row, checkpoint={"good": 0, "bad": 0}, detail="settling")
            return Outcome(row=replace(waiting, until=now + timedelta(seconds=delay)), wait=delay)
        said = self._ask(row, check)
        came = checked(check, row.checkpoint, said.health)
        row = replace(row, detail=f"{check['type']}: {said.why}", checkpoint=came.counts)
        if came.verdict is None:
            wait = max(0.001, float(check.get("interval_seconds", 5)))
            return Outcome(row=replace(row, until=now + timedelta(seconds=wait)), wait=wait)
        if came.verdict:
            return self._next(row)
        back = row.state is AssetState.RESTORING
        return Outcome(row=row, event=_EVENTS[back, Status.FAILED])

    def _ask(self, row: AssetRow, check: Mapping[str, Any]) -> HealthReport:
        target = self._target(row, now=True)
        try:
            operator = self.operators.of(target)
            if check["type"] in _ASKED_OF_CLOUD:
                return operator.check(target, check)
            wanted = str(check.get("target", ""))
            if "{address}" in wanted:
                address = operator.address(target)
                if address is None:
                    return HealthReport(health=Health.UNKNOWN, why="the asset has no address")
                wanted = wanted.replace("{address}", address)
            patience = float(check.get("timeout_seconds", 10))
            asked = {**check, "target": wanted}
            return self.world.probes.probe(asked, timeout_seconds=patience)
        except (Unavailable, NotFound, Rejected) as error:
            return HealthReport(health=Health.UNKNOWN, why=str(error))


def _tolerated(step: Step) -> bool:
    """Whether a hook that fails is only remarked upon."""
    return step.hook is not None and step.hook.get("fail_policy") in _GOES_ON


def _texts(hook: Mapping[str, Any]) -> dict[str, str]:
    return {name: str(hook[name]) for name in ("type", "target", "timeout_seconds")}
