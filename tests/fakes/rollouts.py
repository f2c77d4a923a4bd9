"""Rollouts in memory."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime

from qlrf_pipelines.domain.approval import Extent
from qlrf_pipelines.domain.errors import NotFound, Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.rollout import (
    DRIVEN,
    ENDED,
    IN_FLIGHT,
    STOPPED,
    AssetRow,
    Change,
    Rollout,
    RolloutState,
)
from qlrf_pipelines.domain.tasks import Record
from qlrf_pipelines.ports.rollouts import Rollouts
from tests.fakes.ledger import FakeLedger
from tests.fakes.tasks import FakeTasks


class FakeRollouts(Rollouts):
    """Keeps rollouts; a step is taken under one lock, with its evidence in `ledger`.

    `before_keep` is called with every change before it is kept: a test may raise from it, as if
    the process had died right there. Waiting never takes time: `on_wait` is told how long it would.
    """

    def __init__(self, ledger: FakeLedger | None = None, tasks: FakeTasks | None = None) -> None:
        self.ledger = ledger or FakeLedger()
        self.tasks = tasks
        self.kept: dict[tuple[TenantId, str], Rollout] = {}
        self.assets: dict[tuple[TenantId, str], dict[str, AssetRow]] = {}
        self.locked: dict[tuple[TenantId, str], str] = {}
        self.before_keep: Callable[[Change], None] = lambda change: None
        self.on_wait: Callable[[float], None] = lambda seconds: None
        self._door = threading.RLock()

    def open(self, tenant: TenantId, first: Change) -> Rollout:
        with self._door:
            if (found := self.kept.get((tenant, first.rollout.id))) is not None:
                return found
            self._claimed(tenant, first.rollout)
            return self._keep(tenant, first)

    def _claimed(self, tenant: TenantId, rollout: Rollout) -> None:
        if self.tasks is None:
            return
        record = self.tasks.get(tenant, rollout.id)
        claims = {one.digest for one in record.claims}
        if record.task.state != "executing" or rollout.digest not in claims:
            raise Refused(f"digest {rollout.digest[:12]} of task {rollout.id} is claimed by no run")
        if rollout.bound is None:
            self._claimed_whole(record, rollout)

    def _claimed_whole(self, record: Record, rollout: Rollout) -> None:
        claims = {(one.digest, one.extent) for one in record.claims}
        if (rollout.digest, Extent.WHOLE) not in claims:
            raise Refused(f"no more of task {rollout.id} is claimed than its canary")

    def _within_bounds(self, before: Rollout, after: Rollout) -> None:
        """What the database refuses, whoever asks."""
        if after.bound is not None and after.phase > after.bound:
            raise Refused(f"rollout {after.id} stays within its bound")
        if after.bound == before.bound:
            return
        if after.bound is not None:
            raise Refused(f"the bound of rollout {after.id} is lifted or stays")
        if self.tasks is not None:
            self._claimed_whole(self.tasks.get(after.tenant, after.id), after)

    def get(self, tenant: TenantId, rollout: str) -> Rollout:
        if (tenant, rollout) not in self.kept:
            raise NotFound(f"Tenant {tenant} has no rollout {rollout}.")
        return self.kept[tenant, rollout]

    def rows(self, tenant: TenantId, rollout: str) -> Sequence[AssetRow]:
        found = self.assets.get((tenant, rollout), {})
        return sorted(found.values(), key=lambda row: (row.phase, row.order))

    def amend(
        self,
        tenant: TenantId,
        rollout: str,
        step: Callable[[Rollout], Change | None],
        *,
        attempt: int | None = None,
    ) -> Rollout:
        with self._door:
            found = self.get(tenant, rollout)
            if attempt is not None and found.attempt != attempt:
                raise Refused(f"Rollout {rollout} is driven by attempt {found.attempt} now.")
            taken = step(found)
            if taken is None:
                return found
            self._within_bounds(found, taken.rollout)
            return self._keep(tenant, taken)

    def list(
        self,
        tenant: TenantId,
        *,
        states: Sequence[RolloutState] = (),
        before: str = "",
        limit: int = 100,
    ) -> Sequence[Rollout]:
        found = [
            rollout
            for (owner, _), rollout in self.kept.items()
            if owner == tenant
            and (not states or rollout.state in states)
            and (not before or rollout.id < before)
        ]
        return sorted(found, key=lambda rollout: rollout.id, reverse=True)[:limit]

    def with_work(self, tenant: TenantId, *, now: datetime, limit: int = 1000) -> Sequence[Rollout]:
        in_the_air = {
            key
            for key, rows in self.assets.items()
            if any(row.begun and row.state in IN_FLIGHT for row in rows.values())
        }
        held = {(owner, rollout) for (owner, _), rollout in self.locked.items()}
        found = [
            rollout
            for key, rollout in self.kept.items()
            if rollout.tenant == tenant
            and (
                (rollout.state in DRIVEN and (rollout.wake_at is None or rollout.wake_at <= now))
                or (rollout.state in ENDED and key in held)
                or (rollout.state in STOPPED and key in in_the_air)
            )
        ]
        return sorted(found, key=lambda rollout: rollout.id)[:limit]

    def find(self, tenant: TenantId, *, prefix: str) -> Sequence[Rollout]:
        found = self.list(tenant, limit=1000)
        return sorted((r for r in found if r.id.startswith(prefix)), key=lambda r: r.id)[:10]

    def wait(self, tenant: TenantId, rollout: str, *, after: int, seconds: float) -> bool:
        if self.get(tenant, rollout).seq > after:
            return True
        self.on_wait(seconds)
        return self.get(tenant, rollout).seq > after

    def _keep(self, tenant: TenantId, taken: Change) -> Rollout:
        self.before_keep(taken)
        key = (tenant, taken.rollout.id)
        for asset in sorted(taken.locks):
            if self.locked.get((tenant, asset), taken.rollout.id) != taken.rollout.id:
                raise Refused(
                    f"Asset {asset} is being changed by rollout {self.locked[tenant, asset]}"
                )
        self.locked |= {(tenant, asset): taken.rollout.id for asset in taken.locks}
        if taken.free:
            self.locked = {k: v for k, v in self.locked.items() if (k[0], v) != key}
        if taken.entries:
            self.ledger.append({tenant: taken.entries})
        self.assets.setdefault(key, {}).update({row.asset: row for row in taken.rows})
        self.kept[key] = replace(taken.rollout, seq=taken.rollout.seq + 1)
        return self.kept[key]
