"""The stage of the demonstration: its tenants, its settings, its Dagster instance."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import dagster as dg

from qlrf_pipelines import wiring
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.operate.instance import opened
from qlrf_pipelines.operate.refresh import RefreshOutcome, refresh_in
from qlrf_pipelines.ports.progress import Progress
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.settings import Settings

TENANTS = (TenantId("acme"), TenantId("globex"))


def demo_settings(settings: Settings) -> Settings:
    """The same home, with the demonstration's contracts and no patience for the failing region."""
    return replace(settings, estate=settings.home / "demo" / "estate", aws_max_attempts=2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where a refresh of the demonstration happens."""

    settings: Settings
    instance: dg.DagsterInstance
    progress: Progress

    def refresh(self, world: World) -> RefreshOutcome:
        """Refresh both tenants.

        Raises:
            Refused: a run failed.
        """
        outcome = refresh_in(
            self.instance,
            world,
            manifest=wiring.manifest(self.settings),
            tenants=TENANTS,
            progress=self.progress,
            settings=self.settings,
        )
        if outcome.failures:
            raise Refused(f"The refresh failed: {'; '.join(outcome.failures)}")
        return outcome


@contextmanager
def instance_of(settings: Settings) -> Iterator[dg.DagsterInstance]:
    """The Dagster instance of the home, open until the block ends."""
    with (
        wiring.database(settings) as database,
        opened(settings, dagster_url=database.dagster_url, capture_logs=False) as instance,
    ):
        yield instance
