"""The drill `qlrf demo --drill` runs: a real failover of a real database, with a shop writing.

Everything is the product as it is: the contracts, the job with its gate, the adapter, the control
plane. Only the two servers and the shop are the demonstration's.
"""

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import dagster as dg

from qlrf_pipelines import wiring
from qlrf_pipelines.demo.shop import Shop, ShopBooks
from qlrf_pipelines.domain.approval import DecisionKind
from qlrf_pipelines.domain.drills import DrillRecord, Phase
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.evidence import verify_chain
from qlrf_pipelines.domain.roles import Role
from qlrf_pipelines.jobs.approval import TENANT_TAG
from qlrf_pipelines.jobs.dr_drill import DRILL_TAG, dr_drill
from qlrf_pipelines.operate.instance import opened
from qlrf_pipelines.ports.progress import Progress
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services import drills
from qlrf_pipelines.services.approvals import decide
from qlrf_pipelines.services.drill_report import drill_report, drill_report_pdf
from qlrf_pipelines.settings import Settings
from sensors.approvals import run_request

TENANT = TenantId("acme")
PLAN = "orders-full"
CONTRACTS = Path(__file__).parent / "drill_contracts"


@dataclass(frozen=True, slots=True, kw_only=True)
class DrillStory:
    """The drill with everything that happened, what the shop itself counted, and the evidence."""

    record: DrillRecord
    shop: ShopBooks
    entries: int
    pdf: Path

    def as_json(self) -> dict[str, Any]:
        """The result and the shop's own books as JSON values."""
        return {
            "drill": self.record.drill.id,
            "outcome": self.record.drill.outcome,
            "result": self.record.drill.result,
            "shop": asdict(self.shop),
            "evidence_entries": self.entries,
            "pdf": str(self.pdf),
        }


class Service(Protocol):
    """Where clients find the database."""

    def leads_to(self) -> tuple[str, int]:
        """Host and port."""


class Pair(Protocol):
    """Two servers of the demonstration, as it sees them."""

    @property
    def service(self) -> Service:
        """Where clients find the one that serves."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The settings of a member that is this pair."""

    def stop(self) -> None:
        """Stop both."""


def tell_drill(settings: Settings, progress: Progress) -> DrillStory:
    """Run the drill and return it.

    Raises:
        Refused: an earlier demonstration's drill is not closed, or this one was not approved.
        Unavailable: the servers cannot be made or started.
    """
    chosen = replace(settings, estate=settings.home / "demo" / "drill-estate")
    world = wiring.live(chosen, progress=progress)
    folder = settings.home / "demo" / "drill"
    with _pair(chosen, folder) as pair, _instance(chosen) as instance:
        _write_estate(chosen.estate, pair)
        _close_old(world)
        with Shop(pair.service.leads_to) as shop:
            progress.said("A shop takes about 60 orders a second from PostgreSQL in London ...")
            own = _drill(world, instance, progress)
        books = shop.books()
        record = world.drills.get(TENANT, own)
    progress.said("The evidence is put on paper ...")
    pdf = _paper(world, own, settings.home / "demo")
    entries = verify_chain(world.ledger.entries(TENANT))
    return DrillStory(record=record, shop=books, entries=entries, pdf=pdf)


def _paper(world: World, own: str, folder: Path) -> Path:
    report = drill_report(world, TENANT, own)
    path = folder / f"drill-{own}.pdf"
    path.write_bytes(drill_report_pdf(wiring.reports(), report))
    return path


def _drill(world: World, instance: dg.DagsterInstance, progress: Progress) -> str:
    own = drills.start_drill(world, TENANT, PLAN, by="rita", role=Role.OPERATOR).id
    progress.said(f"Rita, an operator, asks for drill {own}; the job looks at both sides ...")
    _run(world, instance, {DRILL_TAG: own, TENANT_TAG: str(TENANT)})
    task = next(iter(world.tasks.find(TENANT, key=f"drill:{own}")), None)
    if task is None:
        why = world.drills.get(TENANT, own).last("phase_ended")
        raise Refused(f"The drill did not begin: {why.facts['why'] if why else 'see the log'}.")
    progress.said("It waits for somebody else. Ann, an engineer, approves what she was shown.")
    decide(
        world,
        TENANT,
        task.id,
        kind=DecisionKind.APPROVE,
        digest=task.digest,
        by="ann",
        role=Role.ENGINEER,
    )
    progress.said("London burns: its server is cut off at once, Dublin has to take over ...")
    request = run_request(world.tasks.get(TENANT, task.id).task)
    _run(world, instance, dict(request.tags) if request else {})
    return own


def _run(world: World, instance: dg.DagsterInstance, tags: dict[str, str]) -> None:
    dr_drill.execute_in_process(
        instance=instance,
        resources={"world": world},
        tags=tags,
        raise_on_error=False,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


@contextmanager
def _pair(settings: Settings, folder: Path) -> Iterator[Pair]:
    shutil.rmtree(folder, ignore_errors=True)
    settings.home.mkdir(parents=True, exist_ok=True)
    pair = wiring.postgres_pair(settings, folder)
    try:
        yield pair
    finally:
        pair.stop()
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _instance(settings: Settings) -> Iterator[dg.DagsterInstance]:
    with (
        wiring.database(settings) as database,
        opened(settings, dagster_url=database.dagster_url, capture_logs=False) as instance,
    ):
        yield instance


def _write_estate(folder: Path, pair: Pair) -> None:
    given = pair.settings
    values = {
        "primary_data": str(given["primary"]["data"]),
        "primary_port": str(given["primary"]["port"]),
        "recovery_data": str(given["recovery"]["data"]),
        "recovery_port": str(given["recovery"]["port"]),
        "service_file": str(given["service"]["file"]),
    }
    for name in ("tenants", "recovery"):
        text = (CONTRACTS / f"{name}.yaml").read_text(encoding="utf-8")
        for key, value in values.items():
            text = text.replace(f"{{{{{key}}}}}", value)
        target = folder / name / "acme.yaml"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")


def _close_old(world: World) -> None:
    """A demonstration that was killed left a drill of servers that are gone by now."""
    for record in world.drills.list(TENANT, application="orders", open_only=True):
        old = record.drill
        if old.phase in (Phase.VALIDATION, Phase.ISOLATION):
            drills.withdraw(world, TENANT, old.id, why="its servers are gone", holder="demo")
        else:
            raise Refused(
                f"Drill {old.id} of an earlier demonstration is in {old.phase}. Its servers are "
                "gone: set QLRF_HOME to another folder, or remove this one."
            )
