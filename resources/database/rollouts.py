"""Rollouts in Postgres: one row lock per step, one statement for all rows a step touches."""

import json
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa

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
from qlrf_pipelines.ports.rollouts import Rollouts
from resources.database import rollout_rows
from resources.database.ledger import ADD, END, WAIT_FOR_TURN, End, chained, end_of, turn_key
from resources.database.sessions import (
    ENTER,
    Row,
    Said,
    Say,
    Sessions,
    closing,
    enter_tenant,
    opening,
    saying,
)
from resources.database.tables import ROLLOUT, ROLLOUT_ASSET, ROLLOUT_LOCK
from resources.database.waiting import channel, wait_until

_KEY = ("tenant", "rollout", "asset")
_COLUMNS = ", ".join(f'"{c.name}"' for c in ROLLOUT_ASSET.c)
_CHANGED = ", ".join(
    f'"{c.name}" = excluded."{c.name}"' for c in ROLLOUT_ASSET.c if c.name not in _KEY
)
# All rows of a step in one statement: the driver's own way would be a round trip for each.
_ROWS = (
    f"INSERT INTO public.rollout_asset ({_COLUMNS}) SELECT {_COLUMNS} FROM "  # noqa: S608  constants
    "json_populate_recordset(NULL::public.rollout_asset, CAST(:rows AS json)) "
    f"ON CONFLICT ({', '.join(_KEY)}) DO UPDATE SET {_CHANGED};"
)
_PARTS = ", ".join(f"{c.name} = :{c.name}" for c in ROLLOUT.c if c.name not in ("tenant", "id"))
# What is sent together takes one round trip; each statement still sees what was committed then.
_ROW = (
    f"UPDATE public.rollout SET {_PARTS} WHERE tenant = :tenant AND id = :id;"  # noqa: S608
    "SELECT pg_notify(:channel, '')"
)
_KEEP = {
    (entries, rows): f"{ADD};" * entries + _ROWS * rows + _ROW
    for entries in (False, True)
    for rows in (False, True)
}
_SETTLED = {what: closing(statements) for what, statements in _KEEP.items()}
_NAMES = ", ".join(c.name for c in ROLLOUT.c)
# The turn at the ledger, then the rollout's row, then the assets' locks: for everybody in this
# order. What is seen of the row and of the chain's end is the last, as both change in turn only.
_LOOK = opening(
    f"{ENTER};{WAIT_FOR_TURN};"  # noqa: S608  constants
    f"SELECT {_NAMES}, last_seq, last_hash FROM public.rollout LEFT JOIN ({END}) AS chain ON true "
    "WHERE tenant = :tenant AND id = :id FOR UPDATE OF rollout"
)
_MAKE = opening(
    f"{ENTER};{WAIT_FOR_TURN};INSERT INTO public.rollout ({_NAMES}) "  # noqa: S608
    f"VALUES ({', '.join(f':{c.name}' for c in ROLLOUT.c)}) ON CONFLICT DO NOTHING RETURNING id"
)
_READ = saying(f"SELECT {_NAMES} FROM public.rollout WHERE tenant = :tenant AND id = :id")  # noqa: S608
_END = saying(END)
# In one order, so that two rollouts of the same assets never wait for each other in a circle.
_LOCK = saying(
    "INSERT INTO public.rollout_lock (tenant, asset, rollout) "
    "SELECT :tenant, asset, :id FROM unnest(CAST(:assets AS text[])) AS asset ORDER BY asset "
    "ON CONFLICT (tenant, asset) DO UPDATE SET rollout = excluded.rollout "
    "WHERE rollout_lock.rollout IS NULL;"
    "SELECT asset, rollout FROM public.rollout_lock WHERE tenant = :tenant AND rollout <> :id "
    "AND asset = ANY(CAST(:assets AS text[])) ORDER BY asset LIMIT 1"
)
_FREE = saying(
    "UPDATE public.rollout_lock SET rollout = NULL WHERE tenant = :tenant AND rollout = :id"
)
_MINE = ROLLOUT.c.tenant == sa.bindparam("of_tenant")
_ONE = sa.select(ROLLOUT).where(_MINE, ROLLOUT.c.id == sa.bindparam("of_rollout"))


class SqlRollouts(Rollouts):
    """Rows are the truth; who waits is told by the database."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def open(self, tenant: TenantId, first: Change) -> Rollout:
        """Keep a new rollout with its rows, or find the one that is kept."""
        mark = secrets.token_hex(8)
        one = {"tenant": tenant, "id": first.rollout.id}
        made = rollout_rows.rollout_row(first.rollout) | {"mark": mark, "ledger": turn_key(tenant)}

        def answer(say: Say, row: Row | None) -> tuple[Rollout, Said | None]:
            if row is None:
                return _found(say(_READ, one), tenant, first.rollout.id)[0], None
            return _kept(say, tenant, first, mark, end_of(say(_END, one)))

        return self._sessions.settle((_MAKE, made), answer)

    def get(self, tenant: TenantId, rollout: str) -> Rollout:
        """A rollout's row."""

        def work(connection: sa.Connection) -> Rollout:
            enter_tenant(connection, tenant)
            return _one(connection, tenant, rollout)

        return self._sessions.read(work)

    def rows(self, tenant: TenantId, rollout: str) -> Sequence[AssetRow]:
        """The rows of its assets, in their order."""

        def work(connection: sa.Connection) -> list[AssetRow]:
            enter_tenant(connection, tenant)
            found = connection.execute(
                sa.select(ROLLOUT_ASSET)
                .where(ROLLOUT_ASSET.c.tenant == tenant, ROLLOUT_ASSET.c.rollout == rollout)
                .order_by(ROLLOUT_ASSET.c.phase, ROLLOUT_ASSET.c.position)
            )
            return [rollout_rows.asset_of(row._mapping) for row in found]

        return self._sessions.read(work)

    def amend(
        self,
        tenant: TenantId,
        rollout: str,
        step: Callable[[Rollout], Change | None],
        *,
        attempt: int | None = None,
    ) -> Rollout:
        """Take one step under the row's lock, once, also if the answer to its commit was lost."""
        mark = secrets.token_hex(8)
        one = {"tenant": tenant, "id": rollout, "ledger": turn_key(tenant)}

        def answer(say: Say, row: Row | None) -> tuple[Rollout, Said | None]:
            found, kept_by = _found(row, tenant, rollout)
            if kept_by == mark:
                return found, None
            if attempt is not None and found.attempt != attempt:
                raise Refused(
                    f"Rollout {rollout} is driven by attempt {found.attempt} now, by "
                    f"{found.holder}; attempt {attempt} is over."
                )
            taken = step(found)
            return (found, None) if taken is None else _kept(say, tenant, taken, mark, end_of(row))

        return self._sessions.settle((_LOOK, one), answer)

    def list(
        self,
        tenant: TenantId,
        *,
        states: Sequence[RolloutState] = (),
        before: str = "",
        limit: int = 100,
    ) -> Sequence[Rollout]:
        """Rollouts, newest first."""
        query = sa.select(ROLLOUT).where(_MINE).order_by(ROLLOUT.c.id.desc()).limit(limit)
        if states:
            query = query.where(ROLLOUT.c.state.in_([state.value for state in states]))
        if before:
            query = query.where(ROLLOUT.c.id < before)
        return self._rollouts(tenant, query)

    def with_work(self, tenant: TenantId, *, now: datetime, limit: int = 1000) -> Sequence[Rollout]:
        """Rollouts that have something to do now without a human, oldest first."""
        driven = ROLLOUT.c.state.in_([state.value for state in DRIVEN])
        awake = sa.or_(ROLLOUT.c.wake_at.is_(None), ROLLOUT.c.wake_at <= now)
        over = ROLLOUT.c.state.in_(sorted(state.value for state in ENDED))
        held = sa.select(ROLLOUT_LOCK.c.rollout).where(
            ROLLOUT_LOCK.c.tenant == tenant, ROLLOUT_LOCK.c.rollout.is_not(None)
        )
        stopped = ROLLOUT.c.state.in_([state.value for state in STOPPED])
        # Of each one that is stopped, by its key: a tenant's other rows are its whole history.
        in_the_air = sa.exists().where(
            ROLLOUT_ASSET.c.tenant == ROLLOUT.c.tenant,
            ROLLOUT_ASSET.c.rollout == ROLLOUT.c.id,
            ROLLOUT_ASSET.c.begun,
            ROLLOUT_ASSET.c.state.in_([state.value for state in IN_FLIGHT]),
        )
        some = sa.or_(
            sa.and_(driven, awake),
            sa.and_(over, ROLLOUT.c.id.in_(held)),
            sa.and_(stopped, in_the_air),
        )
        query = sa.select(ROLLOUT).where(_MINE, some).order_by(ROLLOUT.c.id).limit(limit)
        return self._rollouts(tenant, query)

    def find(self, tenant: TenantId, *, prefix: str) -> Sequence[Rollout]:
        """The rollouts whose id begins so, at most ten."""
        begins = ROLLOUT.c.id.startswith(prefix, autoescape=True)
        return self._rollouts(
            tenant, sa.select(ROLLOUT).where(_MINE, begins).order_by(ROLLOUT.c.id).limit(10)
        )

    def wait(self, tenant: TenantId, rollout: str, *, after: int, seconds: float) -> bool:
        """Sleep until the rollout took a step after number `after`."""
        return wait_until(
            self._sessions,
            channel("rollout", tenant, rollout),
            lambda: self.get(tenant, rollout).seq > after,
            seconds=seconds,
        )

    def _rollouts(self, tenant: TenantId, query: "sa.Select[Any]") -> Sequence[Rollout]:
        def work(connection: sa.Connection) -> list[Rollout]:
            enter_tenant(connection, tenant)
            found = connection.execute(query, {"of_tenant": tenant})
            return [rollout_rows.rollout_of(row._mapping) for row in found]

        return self._sessions.read(work)


def _one(connection: sa.Connection, tenant: TenantId, rollout: str) -> Rollout:
    row = connection.execute(_ONE, {"of_tenant": tenant, "of_rollout": rollout}).first()
    return _found(None if row is None else row._mapping, tenant, rollout)[0]


def _found(row: Mapping[Any, Any] | None, tenant: TenantId, rollout: str) -> tuple[Rollout, str]:
    """A rollout, and the mark of whoever kept its last step."""
    if row is None:
        raise NotFound(f"Tenant {tenant} has no rollout {rollout}.")
    return rollout_rows.rollout_of(row), str(row["mark"])


def _kept(
    say: Say, tenant: TenantId, taken: Change, mark: str, end: End
) -> tuple[Rollout, Said | None]:
    """A change as it is kept, and what is said to keep it; whoever calls has the ledger's turn."""
    kept = replace(taken.rollout, seq=taken.rollout.seq + 1)
    if taken.locks:
        _take(say, tenant, kept.id, taken.locks)
    if taken.free:
        say(_FREE, {"tenant": tenant, "id": kept.id})
    told = channel("rollout", tenant, kept.id)
    given = rollout_rows.rollout_row(kept) | {"mark": mark, "channel": told}
    if taken.entries:
        _, given["entries"] = chained(tenant, taken.entries, end)
    if taken.rows:
        rows = [rollout_rows.asset_row(tenant, kept.id, row) for row in taken.rows]
        given["rows"] = json.dumps(rows, default=datetime.isoformat)
    return kept, (_SETTLED[bool(taken.entries), bool(taken.rows)], given)


def _take(say: Say, tenant: TenantId, rollout: str, assets: Sequence[str]) -> None:
    theirs = say(_LOCK, {"tenant": tenant, "id": rollout, "assets": sorted(set(assets))})
    if theirs is not None:
        raise Refused(
            f"Asset {theirs['asset']} is being changed by rollout {theirs['rollout']}; wait for "
            f"its end: qlrf rollouts show {theirs['rollout']} --tenant {tenant}"
        )
