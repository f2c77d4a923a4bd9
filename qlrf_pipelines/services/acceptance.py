"""Accepting a loss: a human says that what vanished from one scope is really gone."""

from typing import Any

from qlrf_pipelines.domain.datasets import SCOPES
from qlrf_pipelines.domain.errors import NotFound, Refused, Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.vocabulary import ListingStatus
from qlrf_pipelines.ports.acceptances import Acceptance
from qlrf_pipelines.ports.engine import Engine
from qlrf_pipelines.ports.lake import Lake
from qlrf_pipelines.ports.world import World

_ACCEPTABLE = (ListingStatus.HELD, ListingStatus.ABANDONED)


def list_scopes(
    lake: Lake, engine: Engine, tenants: tuple[TenantId, ...] = ()
) -> list[dict[str, Any]]:
    """The latest certificate of every scope of these tenants, or of all."""
    with engine.session() as session:
        who = tenants or tuple(lake.tenants())
        lake.view(session.connection, SCOPES, tenants=who)
        found = session.connection.execute("SELECT * FROM scopes ORDER BY tenant, scope_id")
        names = [column[0] for column in found.description or ()]
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def accept_scope(
    world: World, tenant: TenantId, scope_id: str, *, reason: str, by: str, lock_wait: float
) -> Acceptance:
    """Record that what is missing from a held or abandoned scope is gone.

    It takes the tenant's lock: an acceptance never covers what a refresh under way is finding.

    Raises:
        Rejected: the reason is empty.
        NotFound: the tenant has no such scope.
        Refused: the scope waits for no acceptance, or a refresh is under way for too long.
    """
    if not reason.strip():
        raise Rejected("An acceptance needs a reason; give one with --reason.")
    with world.locks.hold([f"tenant:{tenant}"], wait_seconds=lock_wait):
        scopes = {row["scope_id"]: row for row in list_scopes(world.lake, world.engine, (tenant,))}
        if scope_id not in scopes:
            raise NotFound(
                f"Tenant {tenant} has no scope {scope_id}; see `qlrf scopes --tenant {tenant}`."
            )
        status = scopes[scope_id]["status"]
        if status not in _ACCEPTABLE:
            raise Refused(
                f"Scope {scope_id} of tenant {tenant} is {status}: only held and abandoned scopes "
                "wait for an acceptance."
            )
        acceptance = Acceptance(
            scope_id=scope_id, accepted_at=world.clock.now(), accepted_by=by, reason=reason
        )
        world.acceptances.accept(tenant, acceptance)
        return acceptance
