"""A tenant, its cloud and its lake: what the inventory's tests look at."""

from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.estate import (
    Connector,
    Tenant,
    TenantId,
)
from qlrf_pipelines.domain.reports import StepReport
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.ports.acceptances import Acceptance
from qlrf_pipelines.services.inventory import refresh_inventory
from qlrf_pipelines.services.inventory_reconcile import ROWS_AT_ONCE
from tests.fakes.clock import FakeClock
from tests.fakes.cloud import (
    FakeCloud,
    FakeRegion,
    instance,
)
from tests.fakes.lake import FakeLake
from tests.fakes.world import fake_world

ACME = TenantId("acme")
HOME = "aws-main/111/us-east-1/instance"


class House:
    """A tenant, its cloud and its lake, an hour apart from refresh to refresh."""

    def __init__(
        self, cloud: FakeCloud | None = None, *, rows_at_once: int = ROWS_AT_ONCE, **tenant: Any
    ) -> None:
        self.rows_at_once = rows_at_once
        self.cloud = cloud or FakeCloud({"111": {"us-east-1": FakeRegion()}})
        self.clock = FakeClock()
        self.lake = FakeLake()
        self.world = fake_world(clouds={Platform.AWS: self.cloud}, clock=self.clock, lake=self.lake)
        self.tenants = [a_tenant(**tenant)]

    @property
    def region(self) -> FakeRegion:
        return self.cloud.region("111", "us-east-1")

    def refresh(self) -> StepReport:
        self.clock.advance(hours=1)
        return refresh_inventory(
            self.world, self.tenants, workers=4, lock_wait=1, rows_at_once=self.rows_at_once
        )

    def accept(self, scope_id: str = HOME) -> None:
        self.clock.advance(minutes=1)
        acceptance = Acceptance(
            scope_id=scope_id, accepted_at=self.clock.now(), accepted_by="me", reason="gone"
        )
        self.world.acceptances.accept(ACME, acceptance)

    def assets(self, tenant: str = "acme") -> dict[str, dict[str, Any]]:
        return {str(r["asset_id"]): r for r in self.lake.rows("inventory", tenant)}

    def live(self, tenant: str = "acme") -> set[str]:
        return {k for k, r in self.assets(tenant).items() if r["tombstoned_at"] is None}

    def changes(self, tenant: str = "acme") -> list[tuple[str, str]]:
        rows = self.lake.rows("inventory_changes", tenant)
        rows.sort(key=lambda row: (row["change_seq"], row["asset_id"]))
        return [(str(row["asset_id"]), str(row["change"])) for row in rows]

    def scopes(self, tenant: str = "acme") -> dict[str, dict[str, Any]]:
        return {str(r["scope_id"]): r for r in self.lake.rows("scopes", tenant)}


def a_tenant(
    name: str = "acme", *, connectors: Mapping[str, tuple[str, ...]] | None = None, **rules: Any
) -> Tenant:
    who = TenantId(name)
    found = connectors if connectors is not None else {"aws-main": ()}
    return Tenant(
        name=who,
        display_name=name,
        connectors=tuple(
            Connector(tenant=who, name=connector, platform=Platform.AWS, regions=regions)
            for connector, regions in found.items()
        ),
        **rules,
    )


def many(count: int, prefix: str = "i") -> list[dict[str, Any]]:
    return [instance(f"{prefix}-{number:02d}") for number in range(count)]
