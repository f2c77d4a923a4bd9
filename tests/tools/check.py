"""`python -m tests.tools.check`: what no linter sees; one line each, exit 1 if any fails.

Contracts against their schemas, every shipped estate, the generated docs, the dbt project and the
Dagster definitions.
"""

import json
import sys
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import yaml

from qlrf_pipelines import wiring
from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.settings import Settings
from tests.tools.docs import CONTRACTS, ROOT, SCHEMAS, stale

SUFFIXES = (".yaml", ".json")
NOW = datetime(2026, 11, 1, tzinfo=UTC)


class Broken(Exception):
    """A check did not hold; the message says what and where."""


def check_schemas() -> str:
    """Every schema is one, and the examples keep to it."""
    schemas = {}
    for file in sorted(CONTRACTS.glob("*.schema.json")):
        schema = json.loads(file.read_text(encoding="utf-8"))
        jsonschema.Draft202012Validator.check_schema(schema)
        schemas[schema["title"]] = jsonschema.Draft202012Validator(schema)
    # JSON is YAML too: what the platform itself writes has its example in JSON.
    examples = sorted(f for f in (CONTRACTS / "examples").rglob("*.*") if f.suffix in SUFFIXES)
    for example in examples:
        # A plain reading: the strict one, with its own errors, is the next check.
        value = yaml.load(example.read_text(encoding="utf-8"), Loader=_JsonLoader)
        for error in schemas[value["kind"]].iter_errors(value):
            raise Broken(f"{example.relative_to(ROOT)}: {error.json_path}: {error.message}")
    if len(schemas) != len(SCHEMAS):
        raise Broken("a schema is missing from SCHEMAS in tests/tools/docs.py")
    return f"{len(schemas)} schemas, {len(examples)} examples"


class _JsonLoader(yaml.SafeLoader):
    """Values as JSON has them: a moment is text."""


_JsonLoader.add_constructor("tag:yaml.org,2002:timestamp", lambda _loader, node: node.value)


def check_estates() -> str:
    """Every estate that is shipped is valid: the examples and the demonstration's."""
    from qlrf_pipelines.demo.estate import write_estate

    with tempfile.TemporaryDirectory() as scratch:
        demo = Path(scratch) / "demo"
        write_estate(demo, cloud="http://127.0.0.1:1", credentials=Path(scratch) / "keys", now=NOW)
        for folder in (CONTRACTS / "examples", demo):
            wiring.estate(_settings(folder)).load()
    return "the examples and the demonstration"


def check_docs() -> str:
    """The generated pages say what the code does."""
    old = stale()
    if old:
        raise Broken(f"{', '.join(old)} no longer say what the code does; run `make docs`")
    return "docs/reference is current"


def check_dbt() -> str:
    """The dbt project can be parsed."""
    with tempfile.TemporaryDirectory() as home:
        wiring.manifest(_settings(CONTRACTS / "examples", home))
    return "dbt parse"


def check_definitions() -> str:
    """Dagster can load everything we define."""
    import dagster as dg

    from qlrf_pipelines.definitions import build

    with tempfile.TemporaryDirectory() as home:
        settings = _settings(CONTRACTS / "examples", home)
        found = build(wiring.live(settings), wiring.manifest(settings), settings=settings)
        dg.Definitions.validate_loadable(found)
        repository = found.get_repository_def()
    keys = len(repository.asset_graph.get_all_asset_keys())
    return f"{keys} assets, {len(repository.get_all_jobs())} jobs"


def _settings(estate: Path, home: str = "/nonexistent") -> Settings:
    return Settings.from_env({"QLRF_ESTATE": str(estate), "QLRF_HOME": home})


CHECKS: Mapping[str, Callable[[], str]] = {
    "schemas": check_schemas,
    "estates": check_estates,
    "docs": check_docs,
    "dbt": check_dbt,
    "definitions": check_definitions,
}


def main() -> int:
    """Run every check, also after one has failed."""
    failed = 0
    for name, check in CHECKS.items():
        try:
            print(f"ok    {name:12} {check()}")  # noqa: T201
        except (Broken, QlrfError, ImportError, jsonschema.SchemaError) as error:
            failed += 1
            print(f"FAIL  {name:12} {error}")  # noqa: T201
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
