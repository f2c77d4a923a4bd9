"""A small dbt manifest: two marts over the lake, one test each, as `dbt parse` would write it."""

import json
from pathlib import Path
from typing import Any


def write_manifest(folder: Path) -> Path:
    """Write it into the folder."""
    path = folder / "manifest.json"
    path.write_text(json.dumps(MANIFEST))
    return path


def _node(kind: str, name: str, depends_on: list[str], **more: Any) -> dict[str, Any]:
    return {
        "unique_id": f"{kind}.qlrf.{name}",
        "resource_type": kind,
        "name": name,
        "package_name": "qlrf",
        "path": f"{name}.sql",
        "original_file_path": f"models/{name}.sql",
        "fqn": ["qlrf", "marts", name],
        "alias": name,
        "schema": "main",
        "database": "marts",
        "checksum": {"name": "sha256", "checksum": name},
        "description": f"About {name}.",
        "columns": {},
        "meta": {},
        "tags": [],
        "config": {"materialized": "table", "enabled": True},
        "depends_on": {"nodes": depends_on, "macros": []},
        **more,
    }


def _source(name: str) -> dict[str, Any]:
    return {
        "unique_id": f"source.qlrf.lake.{name}",
        "resource_type": "source",
        "name": name,
        "source_name": "lake",
        "source_description": "",
        "loader": "",
        "identifier": name,
        "package_name": "qlrf",
        "path": "sources.yml",
        "original_file_path": "models/sources.yml",
        "fqn": ["qlrf", "lake", name],
        "schema": "main",
        "database": "marts",
        "description": "",
        "columns": {},
        "meta": {},
        "tags": [],
        "config": {"enabled": True},
    }


_SOURCES = [_source(name) for name in ("inventory", "scopes", "drift", "risk")]
_NODES = [
    _node(
        "model",
        "fct_assets",
        [f"source.qlrf.lake.{name}" for name in ("inventory", "drift", "risk")],
    ),
    _node("model", "fct_scope_certificates", ["source.qlrf.lake.scopes"]),
    _node(
        "test",
        "fct_assets_keys",
        ["model.qlrf.fct_assets"],
        attached_node="model.qlrf.fct_assets",
        config={"severity": "ERROR", "enabled": True, "materialized": "test"},
    ),
]
MANIFEST: dict[str, Any] = {
    "metadata": {
        "dbt_schema_version": "https://schemas.getdbt.com/dbt/manifest/v12.json",
        "dbt_version": "1.11.16",
        "project_name": "qlrf",
        "adapter_type": "duckdb",
    },
    "nodes": {node["unique_id"]: node for node in _NODES},
    "sources": {node["unique_id"]: node for node in _SOURCES},
    "macros": {},
    "docs": {},
    "exposures": {},
    "metrics": {},
    "groups": {},
    "selectors": {},
    "disabled": {},
    "semantic_models": {},
    "saved_queries": {},
    "unit_tests": {},
    "functions": {},
    "parent_map": {node["unique_id"]: node["depends_on"]["nodes"] for node in _NODES},
    "child_map": {},
}
