"""Scoring a fleet's drift and risk, lake to lake, beside the bare query on the same Parquet."""

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb

from bench import fleet
from qlrf_pipelines.domain.datasets import CONTROL_RESULTS, DRIFT, GOLDEN_IMAGES, INVENTORY
from qlrf_pipelines.domain.risk import SENSITIVE_PORTS
from qlrf_pipelines.ports.world import World
from qlrf_pipelines.services.drift import score_drift
from qlrf_pipelines.services.risk import score_risk
from qlrf_pipelines.settings import Settings
from resources.engine import DuckDbEngine
from resources.lake import DeltaLake
from tests.fakes.clock import FakeClock
from tests.fakes.controls import FakeControls, control
from tests.fakes.estate import FakeEstate
from tests.fakes.world import fake_world

CONTROLS = ("encrypted", "logged", "monitored", "patched")
REPETITIONS = 5
MOST_RATIO, MOST_MIB = 1.5, 1024

# What a person would write by hand for this fleet alone: no exemptions, no reasons, no retries,
# nothing proven, no snapshot to come back to.
_BARE_DRIFT = f"""
COPY (
  WITH versions AS (
    SELECT tenant, family, version, version_key, status, promoted_at, environments, coordinates,
           rank() OVER (PARTITION BY tenant, family ORDER BY version_key) AS rank
    FROM golden_images),
  approved AS (
    SELECT tenant, family, environment, max(version_key) AS wanted, max(rank) AS wanted_rank,
           max_by(version, version_key) AS approved_version,
           max_by(promoted_at, version_key) AS promoted_at
    FROM (SELECT *, unnest(environments) AS environment FROM versions
          WHERE status = 'production') GROUP BY ALL),
  places AS (
    SELECT tenant, family, version, version_key, rank, status, place.region, place.image_ref
    FROM (SELECT *, unnest(coordinates) AS place FROM versions)),
  judged AS (
    SELECT i.tenant, i.asset_key, i.environment, i.platform, i.region, i.site, i.state,
           p.family, p.version, a.approved_version, p.rank, a.wanted_rank,
           date_diff('day', a.promoted_at, TIMESTAMPTZ '{fleet.NOW}') AS days,
           CASE WHEN i.image_ref IS NULL OR (p.family IS NULL AND NOT i.image_readable)
                  THEN 'unknown'
                WHEN i.last_seen < TIMESTAMPTZ '{fleet.NOW}' - INTERVAL 24 HOUR THEN 'stale'
                WHEN p.family IS NULL THEN 'unmanaged' WHEN p.status = 'retired' THEN 'retired'
                WHEN p.version_key = a.wanted THEN 'current'
                WHEN p.version_key > a.wanted THEN 'ahead'
                WHEN days < 14 THEN 'behind_in_grace' ELSE 'behind' END AS verdict
    FROM inventory i
    LEFT JOIN places p ON p.tenant = i.tenant AND p.region = i.region
                      AND p.image_ref = i.image_ref
    LEFT JOIN approved a ON a.tenant = p.tenant AND a.family = p.family
                        AND a.environment = i.environment
    WHERE i.tombstoned_at IS NULL)
  SELECT j.tenant, j.asset_key, j.state IN ('running', 'pending') AS active, family, version,
         'coordinate' AS resolution, verdict AS drift_verdict, verdict AS judged_verdict,
         NULL::VARCHAR AS exemption,
         CASE verdict WHEN 'current' THEN 0 WHEN 'behind_in_grace' THEN 10 WHEN 'ahead' THEN 40
              WHEN 'behind' THEN least(80, 20 + 10 * (wanted_rank - rank) + 0.5 * days)
              WHEN 'retired' THEN 85 WHEN 'unmanaged' THEN 90 WHEN 'stale' THEN 95
              ELSE 100 END::DOUBLE AS drift_score,
         wanted_rank - rank AS versions_behind, days AS days_behind, approved_version,
         family || ' ' || version || ' against ' || approved_version AS reason,
         CASE WHEN verdict NOT IN ('current', 'behind_in_grace')
              THEN coalesce(p.drifted_since, TIMESTAMPTZ '{fleet.NOW}') END AS drifted_since,
         TIMESTAMPTZ '{fleet.NOW}' AS as_of
  FROM judged j LEFT JOIN (SELECT tenant, asset_key, drifted_since FROM previous) p
    ON p.tenant = j.tenant AND p.asset_key = j.asset_key
) TO '{{folder}}/drift' (FORMAT parquet, PARTITION_BY tenant)
"""
_BARE_DAILY = """
COPY (
  SELECT tenant, scope_type, scope_value, count(*) AS total,
         count(*) FILTER (drift_score <= 10) AS current, avg(drift_score) AS mean_score
  FROM (SELECT tenant, unnest(['tenant', 'environment', 'platform', 'region', 'site', 'family'])
                 AS scope_type,
               unnest([tenant, environment, platform, region, site, family]) AS scope_value,
               drift_score
        FROM inventory JOIN read_parquet('{folder}/drift/*/*.parquet', hive_partitioning = true)
             USING (tenant, asset_key) WHERE active)
  GROUP BY ALL
) TO '{folder}/daily' (FORMAT parquet, PARTITION_BY tenant)
"""
_SENSITIVE = " OR ".join(f"p.from_port <= {p} AND p.to_port >= {p}" for p in SENSITIVE_PORTS)
_BARE_RISK = f"""
COPY (
  SELECT *, CASE WHEN risk_score < 25 THEN 'low' WHEN risk_score < 50 THEN 'medium'
                 WHEN risk_score < 75 THEN 'high' ELSE 'critical' END AS risk_level
  FROM (
    SELECT i.tenant, i.asset_key, drift_score AS drift_factor,
           NULL::DOUBLE AS critical_vulnerabilities_factor,
           NULL::DOUBLE AS open_vulnerabilities_factor,
           100.0 * coalesce(bad / nullif(whole, 0), 1) AS noncompliance_factor,
           CASE WHEN len(open_ports) = 0 THEN if(public_ip = '', 0, 30)
                WHEN len(list_filter(open_ports, lambda p: {_SENSITIVE})) > 0
                  THEN if(public_ip = '', 60, 100)
                ELSE if(public_ip = '', 40, 70) END::DOUBLE AS exposure_factor,
           CASE environment WHEN 'production' THEN 1.5 WHEN 'dr' THEN 1.2 WHEN 'staging' THEN 1.0
                ELSE 0.5 END::DOUBLE AS environment_factor,
           ['critical_vulnerabilities', 'open_vulnerabilities'] AS not_assessed,
           least(100, (25 * drift_factor + 15 * noncompliance_factor + 15 * exposure_factor) / 55
                 * environment_factor) AS risk_score, d.as_of
    FROM inventory i
    JOIN read_parquet('{{folder}}/drift/*/*.parquet', hive_partitioning = true) d
      USING (tenant, asset_key)
    LEFT JOIN (
      SELECT tenant, asset_key, sum(3.0) FILTER (verdict IN ('fail', 'never_proven')) AS bad,
             sum(3.0) FILTER (verdict <> 'not_applicable') AS whole
      FROM control_results GROUP BY ALL) USING (tenant, asset_key)
    WHERE i.tombstoned_at IS NULL)
) TO '{{folder}}/risk' (FORMAT parquet, PARTITION_BY tenant)
"""


def measure() -> list[dict]:
    """A million assets against the bare query; ten million against a memory limit."""
    return [_against_the_bare_query(1_000_000, 500), _within_memory(10_000_000, 500)]


def _against_the_bare_query(assets: int, tenants: int) -> dict:
    with tempfile.TemporaryDirectory(prefix="qlrf-bench-") as home:
        world = _world(Path(home), tenants)
        fleet.fill(world, tenants=tenants, per_tenant=assets // tenants, controls=[*CONTROLS])
        _ours(world)  # so that both have a previous drift to carry on from
        pairs = []
        for _ in range(REPETITIONS):
            bare = _timed(lambda: _bare(world, Path(home)))
            ours = _timed(lambda: _ours(world))
            pairs.append((ours, bare))
    ours = statistics.median(pair[0] for pair in pairs)
    bare = statistics.median(pair[1] for pair in pairs)
    ratio = statistics.median(pair[0] / pair[1] for pair in pairs)
    return {
        "what": f"drift + risk scoring, {assets:,} assets x {tenants} tenants, lake to lake",
        "ours": ours,
        "floor": bare,
        "ratio": ratio,
        "must": f"<= {MOST_RATIO} x floor",
        "unit": "s",
        "ok": ratio <= MOST_RATIO,
        "detail": f"{len(CONTROLS)} control results per asset; floor: hand-written DuckDB query "
        f"reading the lake's Parquet and writing the same rows, one folder per tenant; "
        f"median of {REPETITIONS} interleaved pairs",
    }


def _within_memory(assets: int, tenants: int) -> dict:
    with tempfile.TemporaryDirectory(prefix="qlrf-bench-") as home:
        world = _world(Path(home), tenants)
        fleet.fill(world, tenants=tenants, per_tenant=assets // tenants, controls=[CONTROLS[0]])
        found = json.loads(
            subprocess.run(
                [sys.executable, "-m", "bench.scoring", home, str(tenants)],
                check=True,
                capture_output=True,
                text=True,
            ).stdout.splitlines()[-1]
        )
    return {
        "what": f"peak memory of scoring {assets:,} assets x {tenants} tenants",
        "ours": found["mib"],
        "floor": None,
        "ratio": None,
        "must": f"<= {MOST_MIB} MiB",
        "unit": "MiB",
        "ok": found["mib"] <= MOST_MIB,
        "detail": f"{found['seconds']:.0f} s in all, a process of its own, one control result "
        "per asset",
    }


def _world(home: Path, tenants: int) -> World:
    settings = Settings.from_env({"QLRF_HOME": str(home)})
    return fake_world(
        lake=DeltaLake(settings.lake_uri),
        engine=DuckDbEngine(settings),
        estate=FakeEstate(fleet.estate(tenants)),
        controls=FakeControls([control(name, sql="-") for name in CONTROLS]),
        clock=FakeClock(fleet.NOW),
    )


def _ours(world: World) -> None:
    known = world.estate.load().tenants
    score_drift(world, known)
    score_risk(world, known)


def _bare(world: World, home: Path) -> None:
    names = [tenant.name for tenant in world.estate.load().tenants]
    with (
        tempfile.TemporaryDirectory(dir=home) as folder,
        duckdb.connect(config={"threads": 2, "preserve_insertion_order": False}) as connection,
    ):
        connection.execute("SET TimeZone = 'UTC'")
        for dataset in (INVENTORY, GOLDEN_IMAGES, CONTROL_RESULTS):
            world.lake.view(connection, dataset, tenants=names)
        world.lake.view(connection, DRIFT, tenants=names, name="previous")
        for query in (_BARE_DRIFT, _BARE_DAILY, _BARE_RISK):
            connection.execute(query.format(folder=folder))


def _timed(work: Callable[[], None]) -> float:
    gc.collect()
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _alone(home: str, tenants: int) -> None:
    seconds = _timed(lambda: _ours(_world(Path(home), tenants)))
    # Not ru_maxrss: the kernel hands a child its parent's peak on the way through exec.
    status = Path("/proc/self/status").read_text()
    peak = int(status.partition("VmHWM:")[2].split()[0]) / 1024
    print(json.dumps({"seconds": seconds, "mib": round(peak), "pid": os.getpid()}))


if __name__ == "__main__":
    _alone(sys.argv[1], int(sys.argv[2]))
