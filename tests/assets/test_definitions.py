"""Nothing appears, vanishes or is renamed unseen; and nothing heavy is loaded by looking."""

import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest

from qlrf_pipelines.definitions import build
from tests.assets.manifest import write_manifest
from tests.fakes.world import fake_world

QUALITY = ["columns_filled", "keys_unique"]


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build(fake_world(), write_manifest(tmp_path_factory.mktemp("dbt")))


def test_these_are_the_assets(definitions: dg.Definitions):
    graph = definitions.resolve_asset_graph()

    keys = {key.to_user_string(): graph.get(key) for key in graph.get_all_asset_keys()}
    assert {name: node.group_name for name, node in keys.items()} == {
        "inventory": "inventory",
        "inventory_changes": "inventory",
        "golden_images": "images",
        "drift": "drift",
        "compliance": "compliance",
        "risk": "risk",
        "patch_sla": "patches",
        "drills": "resilience",
        "resilience": "resilience",
        "fct_assets": "marts",
        "fct_scope_certificates": "marts",
        "tenants": "contracts",
        "patch_promises": "contracts",
        "controls": "contracts",
        "control_frameworks": "contracts",
        "requirements": "contracts",
    }
    partitioned = {"inventory", "inventory_changes", "golden_images", "drift", "compliance"}
    for name in sorted(partitioned | {"risk", "patch_sla", "drills", "resilience"}):
        assert keys[name].partitions_def.name == "qlrf_tenants"
        assert keys[name].backfill_policy == dg.BackfillPolicy.single_run()
        assert keys[name].freshness_policy is not None
        assert keys[name].description


def test_whatever_happens_by_itself_is_told_in_the_guide(definitions: dg.Definitions):
    there = {one.name for one in (*(definitions.sensors or ()), *(definitions.schedules or ()))}

    guide = Path("docs/guide/operating.md").read_text()
    table = guide.partition("## What happens by itself")[2].partition("## ")[0]

    assert set(re.findall(r"^\| `(\w+)`", table, re.MULTILINE)) == there


def test_lineage_is_one_graph(definitions: dg.Definitions):
    graph = definitions.resolve_asset_graph()

    parents = {
        name: {key.to_user_string() for key in graph.get(dg.AssetKey(name)).parent_keys}
        for name in ("drift", "compliance", "risk", "patch_sla", "resilience", "fct_assets")
    }
    assert parents == {
        "drift": {"inventory", "golden_images"},
        "compliance": {"inventory", "drift"},
        "risk": {"inventory", "drift", "compliance"},
        "patch_sla": {"inventory", "drift"},
        "resilience": {"drills"},
        "fct_assets": {"inventory", "drift", "risk"},
    }


def test_these_are_the_checks(definitions: dg.Definitions):
    graph = definitions.resolve_asset_graph()

    found: dict[str, list[str]] = {}
    for key in graph.asset_check_keys:
        found.setdefault(key.asset_key.to_user_string(), []).append(key.name)
    assert {name: sorted(checks) for name, checks in found.items()} == {
        "inventory": [
            *QUALITY,
            "no_future_times",
            "observed_lately",
            "scopes_complete",
            "words_known",
        ],
        "inventory_changes": [*QUALITY, "no_future_times", "words_known"],
        "golden_images": [*QUALITY, "words_known"],
        "drift": [
            "columns_filled",
            "exemptions_live",
            "keys_unique",
            "no_future_times",
            "numbers_in_range",
            "words_known",
        ],
        "compliance": [*QUALITY, "no_future_times", "words_known"],
        "risk": [*QUALITY, "no_future_times", "numbers_in_range", "words_known"],
        "patch_sla": [
            *QUALITY,
            "no_future_times",
            "patch_state_known",
            "patched_in_time",
            "words_known",
        ],
        "drills": [
            "columns_filled",
            "keys_unique",
            "no_future_times",
            "nothing_held",
            "numbers_in_range",
            "words_known",
        ],
        "resilience": [
            "columns_filled",
            "keys_unique",
            "no_future_times",
            "numbers_in_range",
            "recovery_proven",
            "words_known",
        ],
        "fct_assets": ["fct_assets_keys"],
    }


def test_these_are_the_jobs_schedules_and_sensors(definitions: dg.Definitions):
    repository = definitions.get_repository_def()

    assert {job.name for job in repository.get_all_jobs()} == {
        "refresh",
        "lake_upkeep",
        "approved_change",
        "remediation",
        "rollout",
        "dr_drill",
        "dr_return",
        "__ASSET_JOB",
    }
    assert {
        s.name: (s.cron_schedule, s.default_status.value) for s in repository.schedule_defs
    } == {
        "refresh_schedule": ("0 * * * *", "RUNNING"),
        "lake_upkeep_schedule": ("23 3 * * *", "RUNNING"),
    }
    assert {s.name: s.default_status.value for s in repository.sensor_defs} == {
        "tenant_sync": "RUNNING",
        "decision_sensor": "RUNNING",
        "lost_runs": "RUNNING",
        "expiry_sweep": "RUNNING",
        "remediation_sensor": "RUNNING",
        "rollout_reconcile": "RUNNING",
        "notifications": "RUNNING",
        "drill_reconcile": "RUNNING",
        "drill_alarms": "RUNNING",
    }


LOAD = """
import sys
from pathlib import Path
from qlrf_pipelines import wiring
from qlrf_pipelines.definitions import build
from qlrf_pipelines.settings import Settings

build(wiring.live(Settings.from_env({"QLRF_HOME": sys.argv[1]})), Path(sys.argv[2]))
heavy = {"boto3", "azure", "google", "pyVmomi", "kubernetes", "anthropic", "openai",
         "great_expectations"}
print(",".join(sorted(heavy & {name.split(".")[0] for name in sys.modules
                               if not name.startswith(("google.protobuf", "google._upb"))
                               and name != "google"})))
"""


@pytest.mark.slow
def test_loading_the_definitions_loads_no_cloud_llm_or_expectations_package(tmp_path: Path):
    manifest = write_manifest(tmp_path)

    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(tmp_path), str(manifest)],
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == ""
