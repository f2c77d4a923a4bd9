"""Drills in memory."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from qlrf_pipelines.domain.drill_steps import mine
from qlrf_pipelines.domain.drills import DrillRecord, DrillStep, Phase
from qlrf_pipelines.domain.errors import NotFound, Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.measurement import Answer, CanaryWrite
from qlrf_pipelines.ports.drills import Drills
from tests.fakes.ledger import FakeLedger


class FakeDrills(Drills):
    """Keeps records; a step is taken under one lock, with its evidence in `ledger`."""

    def __init__(self, ledger: FakeLedger | None = None) -> None:
        self.ledger = ledger or FakeLedger()
        self.kept: dict[tuple[TenantId, str], DrillRecord] = {}
        self.asked: dict[tuple[TenantId, str], list[Answer]] = {}
        self.written: dict[tuple[TenantId, str], dict[tuple[str, int], CanaryWrite]] = {}
        self._door = threading.RLock()

    def open(self, tenant: TenantId, first: DrillStep) -> DrillRecord:
        with self._door:
            for record in self.list(tenant, application=first.drill.application, open_only=True):
                if record.drill.id == first.drill.id:
                    return self.get(tenant, first.drill.id)
                raise Refused(
                    f"Application {first.drill.application} of tenant {tenant} has a drill that is "
                    f"not closed ({record.drill.id} in {record.drill.phase}): one at a time."
                )
            return self._keep(tenant, None, first)

    def get(self, tenant: TenantId, drill: str) -> DrillRecord:
        if (tenant, drill) not in self.kept:
            raise NotFound(f"Tenant {tenant} has no drill {drill}.")
        return self.kept[tenant, drill]

    def amend(
        self, tenant: TenantId, drill: str, step: Callable[[DrillRecord], DrillStep | None]
    ) -> DrillRecord:
        with self._door:
            before = self.get(tenant, drill)
            taken = step(before)
            return before if taken is None else self._keep(tenant, before, taken)

    def record(
        self,
        tenant: TenantId,
        drill: str,
        *,
        attempt: int,
        answers: Sequence[Answer] = (),
        writes: Sequence[CanaryWrite] = (),
    ) -> None:
        with self._door:
            mine(self.get(tenant, drill), attempt)
            self.asked.setdefault((tenant, drill), []).extend(answers)
            kept = self.written.setdefault((tenant, drill), {})
            for write in writes:
                before = kept.get((write.member, write.number), write)
                acknowledged = before.acknowledged or write.acknowledged
                kept[write.member, write.number] = replace(before, acknowledged=acknowledged)

    def answers(self, tenant: TenantId, drill: str) -> Sequence[Answer]:
        return list(self.asked.get((tenant, drill), ()))

    def writes(self, tenant: TenantId, drill: str) -> Sequence[CanaryWrite]:
        kept = self.written.get((tenant, drill), {})
        return [write for _, write in sorted(kept.items())]

    def list(
        self,
        tenant: TenantId,
        *,
        application: str = "",
        prefix: str = "",
        open_only: bool = False,
        limit: int = 100,
    ) -> Sequence[DrillRecord]:
        found = [
            DrillRecord(drill=record.drill)
            for (owner, own), record in self.kept.items()
            if owner == tenant
            and application in ("", record.drill.application)
            and own.startswith(prefix)
            and not (open_only and record.drill.phase is Phase.CLOSED)
        ]
        return sorted(found, key=lambda record: record.drill.id, reverse=True)[:limit]

    def tenants(self) -> Sequence[TenantId]:
        return sorted({tenant for tenant, _ in self.kept})

    def _keep(self, tenant: TenantId, before: DrillRecord | None, taken: DrillStep) -> DrillRecord:
        entries = before.entries if before else ()
        moves = {move.token: move for move in (before.moves if before else ())}
        moves |= {move.token: move for move in taken.moves}
        self.ledger.append({tenant: taken.evidence})
        head = self.ledger.head(tenant)
        after = DrillRecord(
            drill=replace(taken.drill, seq=head.seq if head else 0),
            entries=(*entries, *taken.entries),
            moves=tuple(moves.values()),
        )
        self.kept[tenant, after.drill.id] = after
        return after
