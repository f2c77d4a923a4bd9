"""A tenant whose assets were assessed: what the tests of evidence start from."""

from typing import Any

from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.compliance import assess_compliance
from tests.fakes.controls import FakeControls
from tests.fakes.observations import a_tenant, an_asset, observed
from tests.fakes.world import fake_world

ACME = TenantId("acme")
Files = dict[str, bytes]


def assessed(*, assets: int = 3, controls: Any = None) -> World:
    world = fake_world(controls=controls or FakeControls())
    rows = [
        an_asset("acme", f"i-{n}", imds_v2=n % 2 == 0, volume_count=n, drift_score=20.5)
        for n in range(assets)
    ]
    observed(world.lake, "acme", rows)
    assess_compliance(world, [a_tenant("acme")])
    return world
