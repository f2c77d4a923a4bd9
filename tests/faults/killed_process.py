"""A whole refresh, through Dagster to the marts, whose process kills itself at a chosen point.

Real are Dagster, PostgreSQL, the ledger, the lake, dbt and the marts; the cloud is a fake. POINT is
`listing:during`, `<dataset>:before|during|after`, `marts:before` (the moment the new file of marts
would take the old one's place) or `never`.
"""

import contextlib
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster_dbt  # noqa: F401  what a refresh loads anyway, loaded once for all attempts
import dbt.cli.main  # noqa: F401
import great_expectations  # noqa: F401

from qlrf_pipelines import wiring
from qlrf_pipelines.domain.inventory import Scope
from qlrf_pipelines.domain.vocabulary import Platform
from qlrf_pipelines.operate.instance import opened
from qlrf_pipelines.operate.orphans import bury_orphans
from qlrf_pipelines.operate.refresh import choose, refresh_in
from qlrf_pipelines.settings import Settings
from resources.progress import SilentProgress
from tests.faults.killed_refresh import MortalLake, cloud_at

TENANT = """
apiVersion: qlrf/v1
kind: Tenant
metadata: {name: acme}
spec:
  displayName: Acme
  connectors: [{name: aws, platform: aws, regions: [us-east-1]}]
"""


class MortalProgress(SilentProgress):
    """Dies, kill -9, at the first page of a listing."""

    def paged(self, scope: Scope, *, listed: int) -> None:
        _die()


def settings_of(home: Path) -> Settings:
    """The settings of a home with an estate of one tenant."""
    contract = home / "estate" / "tenants" / "acme.yaml"
    contract.parent.mkdir(parents=True, exist_ok=True)
    contract.write_text(TENANT)
    return Settings.from_env({"QLRF_HOME": str(home), "QLRF_ESTATE": str(home / "estate")})


def refresh(home: Path, state: int, point: str) -> None:
    """Refresh from one state of the cloud; exit code 0 if every run of it succeeded."""
    if point == "marts:before":
        sys.addaudithook(_die_at_publishing)
    settings = settings_of(home)
    world = wiring.live(settings)
    world = replace(
        world,
        clouds={Platform.AWS: cloud_at(state)},
        lake=MortalLake(world.lake, point),
        progress=MortalProgress() if point == "listing:during" else world.progress,
    )
    with (
        wiring.database(settings) as database,
        opened(settings, dagster_url=database.dagster_url, capture_logs=False) as instance,
        contextlib.redirect_stdout(sys.stderr),
    ):
        bury_orphans(instance)
        outcome = refresh_in(
            instance,
            world,
            manifest=wiring.manifest(settings),
            tenants=choose(world, None),
            progress=world.progress,
            settings=settings,
        )
    sys.exit("; ".join(outcome.failures) or 0)


def _die_at_publishing(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "os.rename" and str(arguments[1]).endswith("marts.duckdb"):
        _die()


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
