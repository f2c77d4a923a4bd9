"""Acceptances in Postgres: the newest word on every scope."""

from collections.abc import Mapping, Sequence
from datetime import UTC

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.ports.acceptances import Acceptance, Acceptances
from resources.database.sessions import Sessions, enter_tenant
from resources.database.tables import SCOPE_ACCEPTANCES as TABLE

_INSERT = insert(TABLE)
_UPSERT = _INSERT.on_conflict_do_update(
    index_elements=[TABLE.c.tenant, TABLE.c.scope_id],
    set_={name: _INSERT.excluded[name] for name in ("accepted_at", "accepted_by", "reason")},
    where=_INSERT.excluded.accepted_at >= TABLE.c.accepted_at,
)
_OF = sa.select(TABLE).where(TABLE.c.tenant == sa.bindparam("of_tenant"))


class SqlAcceptances(Acceptances):
    """One row per tenant and scope."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def accept(self, tenant: TenantId, acceptance: Acceptance) -> None:
        """Keep one acceptance; an older one than is kept changes nothing, so repeating is safe."""
        row = {
            "tenant": tenant,
            "scope_id": acceptance.scope_id,
            "accepted_at": acceptance.accepted_at,
            "accepted_by": acceptance.accepted_by,
            "reason": acceptance.reason,
        }

        def work(connection: sa.Connection) -> None:
            enter_tenant(connection, tenant)
            connection.execute(_UPSERT, row)

        self._sessions.repeat(work)

    def of(self, tenants: Sequence[TenantId]) -> Mapping[tuple[TenantId, str], Acceptance]:
        """The newest acceptance of every scope of these tenants, one tenant at a time."""

        def work(connection: sa.Connection) -> dict[tuple[TenantId, str], Acceptance]:
            found: dict[tuple[TenantId, str], Acceptance] = {}
            for tenant in tenants:
                enter_tenant(connection, tenant)
                for row in connection.execute(_OF, {"of_tenant": tenant}):
                    found[tenant, row.scope_id] = Acceptance(
                        scope_id=row.scope_id,
                        accepted_at=row.accepted_at.astimezone(UTC),
                        accepted_by=row.accepted_by,
                        reason=row.reason,
                    )
            return found

        return self._sessions.read(work)
