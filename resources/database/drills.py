"""Drills in Postgres: one row lock per step, and the step's evidence in the same transaction."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from qlrf_pipelines.domain.drills import DrillRecord, DrillStep, Phase
from qlrf_pipelines.domain.errors import NotFound, Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.measurement import Answer, CanaryWrite
from qlrf_pipelines.ports.drills import Drills
from resources.database import drill_rows
from resources.database.drill_tables import (
    DRILL,
    DRILL_ANSWER,
    DRILL_EVENT,
    DRILL_MOVE,
    DRILL_REGISTRY,
    DRILL_WRITE,
)
from resources.database.ledger import extend
from resources.database.sessions import Sessions, enter_tenant

_MINE = DRILL.c.tenant == sa.bindparam("of_tenant")
_ONE = sa.select(DRILL).where(_MINE, DRILL.c.id == sa.bindparam("of_drill"))
_OPEN = sa.select(DRILL).where(
    _MINE,
    DRILL.c.application == sa.bindparam("of_application"),
    DRILL.c.phase != Phase.CLOSED.value,
)
_ATTEMPT = sa.select(DRILL.c.attempt, DRILL.c.holder).where(
    _MINE, DRILL.c.id == sa.bindparam("of_drill")
)


class SqlDrills(Drills):
    """Rows are the truth; what happened, was asked and was written can only be added to."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def open(self, tenant: TenantId, first: DrillStep) -> DrillRecord:
        """Keep a new drill; the index of one open drill per application has the last word."""

        def work(connection: sa.Connection) -> DrillRecord:
            enter_tenant(connection, tenant)
            connection.execute(insert(DRILL_REGISTRY).values(name=tenant).on_conflict_do_nothing())
            made = connection.execute(
                insert(DRILL)
                .values(drill_rows.drill_row(first.drill))
                .on_conflict_do_nothing()
                .returning(DRILL.c.id)
            ).first()
            if made is None:
                return _other(connection, tenant, first)
            return _keep(connection, tenant, first)

        return self._sessions.repeat(work)

    def get(self, tenant: TenantId, drill: str) -> DrillRecord:
        """A drill with its entries and moves."""

        def work(connection: sa.Connection) -> DrillRecord:
            enter_tenant(connection, tenant)
            return _record(connection, tenant, drill, _ONE)

        return self._sessions.read(work)

    def amend(
        self, tenant: TenantId, drill: str, step: Callable[[DrillRecord], DrillStep | None]
    ) -> DrillRecord:
        """Take one step under the row's lock.

        If the answer to the commit was lost, the step looks at the past again: what it kept is
        then part of that past.
        """

        def work(connection: sa.Connection) -> DrillRecord:
            enter_tenant(connection, tenant)
            record = _record(connection, tenant, drill, _ONE.with_for_update())
            taken = step(record)
            return record if taken is None else _keep(connection, tenant, taken)

        return self._sessions.repeat(work)

    def record(
        self,
        tenant: TenantId,
        drill: str,
        *,
        attempt: int,
        answers: Sequence[Answer] = (),
        writes: Sequence[CanaryWrite] = (),
    ) -> None:
        """Keep what was seen, if this attempt may; a row that is there already stays."""

        def work(connection: sa.Connection) -> None:
            enter_tenant(connection, tenant)
            _fence(connection, tenant, drill, attempt)
            if answers:
                rows = [drill_rows.answer_row(tenant, drill, answer) for answer in answers]
                connection.execute(sa.insert(DRILL_ANSWER), rows)
            for write in writes:
                for row in drill_rows.write_rows(tenant, drill, write):
                    connection.execute(insert(DRILL_WRITE).values(row).on_conflict_do_nothing())

        self._sessions.run(work)

    def answers(self, tenant: TenantId, drill: str) -> Sequence[Answer]:
        """Every answer of every probe, in the order they were kept."""
        rows = self._rows(tenant, _of(DRILL_ANSWER, tenant, drill, "number"))
        return [drill_rows.answer_of(row) for row in rows]

    def writes(self, tenant: TenantId, drill: str) -> Sequence[CanaryWrite]:
        """Every canary write, by member and number."""
        return drill_rows.writes_of(self._rows(tenant, _of(DRILL_WRITE, tenant, drill, "number")))

    def list(
        self,
        tenant: TenantId,
        *,
        application: str = "",
        prefix: str = "",
        open_only: bool = False,
        limit: int = 100,
    ) -> Sequence[DrillRecord]:
        """Drills with neither entries nor moves, newest first."""
        query = sa.select(DRILL).where(DRILL.c.tenant == tenant)
        query = query.order_by(DRILL.c.id.desc()).limit(min(limit, sys.maxsize))
        if application:
            query = query.where(DRILL.c.application == application)
        if prefix:
            query = query.where(DRILL.c.id.startswith(prefix, autoescape=True))
        if open_only:
            query = query.where(DRILL.c.phase != Phase.CLOSED.value)
        rows = self._rows(tenant, query)
        return [DrillRecord(drill=drill_rows.drill_of(row)) for row in rows]

    def tenants(self) -> Sequence[TenantId]:
        """Every tenant that ever had a drill: names, of no table behind a policy."""

        def work(connection: sa.Connection) -> Sequence[TenantId]:
            rows = connection.execute(sa.select(DRILL_REGISTRY).order_by(DRILL_REGISTRY.c.name))
            return [TenantId(row.name) for row in rows]

        return self._sessions.read(work)

    def _rows(self, tenant: TenantId, query: "sa.Select[Any]") -> Sequence[drill_rows.Row]:
        def work(connection: sa.Connection) -> Sequence[drill_rows.Row]:
            enter_tenant(connection, tenant)
            return [row._asdict() for row in connection.execute(query)]

        return self._sessions.read(work)


def _other(connection: sa.Connection, tenant: TenantId, first: DrillStep) -> DrillRecord:
    """The drill that is in the way, unless it is this one, kept by a commit without an answer."""
    wanted = first.drill
    found = connection.execute(
        _OPEN, {"of_tenant": tenant, "of_application": wanted.application}
    ).first()
    if found is not None and found.id == wanted.id:
        return _record(connection, tenant, wanted.id, _ONE)
    other = "another one" if found is None else f"{found.id} in {found.phase}"
    raise Refused(
        f"Application {wanted.application} of tenant {tenant} has a drill that is not closed "
        f"({other}): one at a time. See `qlrf drills list --tenant {tenant}`."
    )


def _fence(connection: sa.Connection, tenant: TenantId, drill: str, attempt: int) -> None:
    query = _ATTEMPT.with_for_update(read=True)
    found = connection.execute(query, {"of_tenant": tenant, "of_drill": drill}).first()
    if found is None:
        raise NotFound(f"Tenant {tenant} has no drill {drill}.")
    if found.attempt != attempt:
        raise Refused(
            f"Drill {drill} was taken over by {found.holder} (attempt {found.attempt}, this is "
            f"{attempt}): nothing was kept."
        )


def _of(table: sa.Table, tenant: TenantId, drill: str, order: str) -> "sa.Select[Any]":
    mine = (table.c.tenant == tenant, table.c.drill == drill)
    return sa.select(table).where(*mine).order_by(table.c[order])


def _record(
    connection: sa.Connection, tenant: TenantId, drill: str, query: "sa.Select[Any]"
) -> DrillRecord:
    row = connection.execute(query, {"of_tenant": tenant, "of_drill": drill}).first()
    if row is None:
        raise NotFound(f"Tenant {tenant} has no drill {drill}.")
    entries = connection.execute(_of(DRILL_EVENT, tenant, drill, "number")).all()
    moves = connection.execute(_of(DRILL_MOVE, tenant, drill, "begun_ticks")).all()
    return DrillRecord(
        drill=drill_rows.drill_of(row._asdict()),
        entries=tuple(drill_rows.entry_of(one._asdict()) for one in entries),
        moves=tuple(drill_rows.move_of(one._asdict()) for one in moves),
    )


def _keep(connection: sa.Connection, tenant: TenantId, taken: DrillStep) -> DrillRecord:
    own = taken.drill.id
    for entry in taken.entries:
        connection.execute(sa.insert(DRILL_EVENT), drill_rows.entry_row(tenant, own, entry))
    for move in taken.moves:
        row = drill_rows.move_row(tenant, own, move)
        connection.execute(
            insert(DRILL_MOVE)
            .values(row)
            .on_conflict_do_update(
                index_elements=[DRILL_MOVE.c.tenant, DRILL_MOVE.c.drill, DRILL_MOVE.c.token],
                set_=row,
            )
        )
    seq = extend(connection, tenant, taken.evidence).seq if taken.entries else taken.drill.seq
    drill = replace(taken.drill, seq=seq)
    changed = {k: v for k, v in drill_rows.drill_row(drill).items() if k not in ("tenant", "id")}
    connection.execute(
        sa.update(DRILL).where(DRILL.c.tenant == tenant, DRILL.c.id == own).values(changed)
    )
    return _record(connection, tenant, own, _ONE)
