"""The story `make demo` tells: two tenants, two days, one failing region, nothing falsely deleted.

The first refresh is dated 26 hours ago by a clock of its own, so that the second one can show
what staleness, age and history look like. Everything else is the product as it is: the same job,
the same adapters over HTTP, the same database, lake and marts.
"""

from dataclasses import asdict, dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from assets_defs import expectations
from qlrf_pipelines import wiring
from qlrf_pipelines.demo.change import GOOD, ask
from qlrf_pipelines.demo.clock import ShiftedClock
from qlrf_pipelines.demo.estate import promote, write_estate
from qlrf_pipelines.demo.stage import TENANTS, Stage, demo_settings, instance_of
from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.domain.tasks import Task
from qlrf_pipelines.operate.refresh import RefreshOutcome
from qlrf_pipelines.ports.progress import Progress
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.evidence import verify_ledger
from qlrf_pipelines.settings import Settings

YESTERDAY = timedelta(hours=26)


@dataclass(frozen=True, slots=True, kw_only=True)
class Story:
    """What happened, in rows ready to be shown; `false_deletions` must be empty."""

    first: RefreshOutcome
    second: RefreshOutcome
    verdicts: tuple[dict[str, Any], ...]
    changes: tuple[dict[str, Any], ...]
    stale: tuple[dict[str, Any], ...]
    evidence: tuple[dict[str, Any], ...]
    false_deletions: tuple[str, ...]
    task: str
    digest: str

    def as_json(self) -> dict[str, Any]:
        """The whole story as JSON values."""
        return asdict(self)


def tell(settings: Settings, progress: Progress) -> Story:
    """Tell the whole story and return it.

    Raises:
        Refused: the home already holds tenants that are not the demonstration's.
    """
    chosen = demo_settings(settings)
    world = wiring.live(chosen, progress=progress)
    _refuse_other_tenants(world, settings.home)
    expectations.warm_up()
    with wiring.simulator() as cloud, instance_of(chosen) as instance:
        for tenant in TENANTS:
            world.lake.erase(tenant)
        write_estate(
            chosen.estate,
            cloud=cloud.url,
            credentials=settings.home / "demo" / "credentials",
            now=world.clock.now(),
        )
        stage = Stage(settings=chosen, instance=instance, progress=progress)
        progress.said(f"A local AWS API at {cloud.url} holds {len(cloud.existing())} machines.")
        progress.said("First refresh, dated 26 hours ago ...")
        yesterday = replace(world, clock=ShiftedClock(world.clock, by=YESTERDAY))
        first = stage.refresh(yesterday)
        cloud.move()
        promote(chosen.estate, now=world.clock.now())
        progress.said(
            "The world moves: ql-base-linux 1.7.0 is promoted, four workers are replaced, one "
            "machine vanishes without a word, and region ap-southeast-2 answers 503 ..."
        )
        second = stage.refresh(world)
        progress.said("rita plans to bring acme's staging to 1.7.0, and asks for approval ...")
        task = ask(world, instance, GOOD)
        return _story(world, first, second, existing=cloud.existing(), task=task)


def _refuse_other_tenants(world: World, home: Path) -> None:
    others = [tenant for tenant in world.lake.tenants() if tenant not in TENANTS]
    if others:
        raise Refused(
            f"{home} already holds tenant {', '.join(others)}; the demonstration would mix in. "
            "Set QLRF_HOME to another folder for the demonstration."
        )


def _story(
    world: World,
    first: RefreshOutcome,
    second: RefreshOutcome,
    *,
    existing: frozenset[str],
    task: Task,
) -> Story:
    gone = _ask(
        world,
        "inventory",
        "SELECT DISTINCT asset_id FROM inventory WHERE tombstoned_at IS NOT NULL",
    )
    return Story(
        first=first,
        second=second,
        verdicts=_mart(
            world,
            """SELECT drift_verdict, count(*) FILTER (WHERE tenant = 'acme') AS acme,
                count(*) FILTER (WHERE tenant = 'globex') AS globex, min(drift_score) AS from_score,
                max(drift_score) AS to_score
            FROM fct_assets GROUP BY drift_verdict ORDER BY min(drift_score), drift_verdict""",
        ),
        changes=_ask(
            world,
            "inventory_changes",
            """SELECT tenant, change, reason, count(*) AS assets, min(name) AS "for example"
            FROM inventory_changes WHERE changed_at > (
                SELECT min(changed_at) + INTERVAL 1 HOUR FROM inventory_changes)
            GROUP BY ALL ORDER BY ALL""",
        ),
        stale=_mart(
            world,
            """SELECT tenant, region, count(*) AS assets, min(last_seen) AS last_seen
            FROM fct_assets WHERE drift_verdict = 'stale' GROUP BY 1, 2 ORDER BY 1, 2""",
        ),
        evidence=tuple(
            {
                "tenant": tenant,
                "entries": proof.entries,
                "verdicts": sum(proof.verdicts.values()),
                "newest entry": proof.head_hash[:16] + "…",
                "chain and results": "verified",
            }
            for tenant in TENANTS
            for proof in [verify_ledger(world, tenant)]
        ),
        false_deletions=tuple(row["asset_id"] for row in gone if row["asset_id"] in existing),
        task=task.id,
        digest=task.digest,
    )


def _mart(world: World, sql: str) -> tuple[dict[str, Any], ...]:
    return tuple(world.warehouse.query(sql).to_pylist())


def _ask(world: World, dataset: str, sql: str) -> tuple[dict[str, Any], ...]:
    from qlrf_pipelines.domain.datasets import DATASETS

    with world.engine.session() as session:
        world.lake.view(session.connection, DATASETS[dataset], tenants=TENANTS)
        return tuple(session.connection.sql(sql).to_arrow_table().to_pylist())
