"""The generated parts of the docs: what the code says of itself, as Markdown.

`python -m tests.tools.docs` writes them; `stale()` names those that no longer say what the code
does, for the tests and for `make check`.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import click
import pyarrow as pa

from qlrf_pipelines.cli.main import cli
from qlrf_pipelines.domain.datasets import DATASETS
from qlrf_pipelines.settings import Settings
from tests.tools.marts_doc import marts_markdown

ROOT = Path(__file__).parent.parent.parent
CONTRACTS = ROOT / "contracts"
REFERENCE = ROOT / "docs" / "reference"
WIDTH = 100
_NOTE = "<!-- Written by `make docs`; change the code, not this file. -->\n"

# schema file -> its title in the docs, and the example shown with it
SCHEMAS = {
    "tenant.schema.json": "tenants/acme.yaml",
    "golden_image.schema.json": "images/ql-base-linux.yaml",
    "exemption.schema.json": "exemptions/legacy-db.yaml",
    "canary_analysis.schema.json": "../../policies/canary/standard.yaml",
    "patch_policy.schema.json": "patches/critical-security.yaml",
    "site.schema.json": "recovery/london.yaml",
    "dr_pair.schema.json": "recovery/london-dublin.yaml",
    "recovery_plan.schema.json": "recovery/orders.yaml",
    "plan.schema.json": "plans/drift-plan.json",
}


def cli_reference() -> str:
    """Every command's own help."""
    parts = [_NOTE, "# Commands\n"]
    for name, command in _commands("qlrf", cli):
        context = click.Context(
            command, info_name=name, terminal_width=WIDTH, max_content_width=WIDTH
        )
        context.help_option_names = ["-h", "--help"]
        command._help_option = None  # click keeps the first it made, whoever asked for it
        parts.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def _commands(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    yield name, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _commands(f"{name} {inner}", found)


def settings_reference() -> str:
    """Every setting with its variable and default."""
    rows = [
        (f"`{m['variable']}`", f"`{m['default']}`" if m["default"] else "", m["doc"])
        for m in (item.metadata for item in fields(Settings))
    ]
    table = _table(("variable", "default", "what it does"), rows)
    intro = "Settings are environment variables, read once at the start of every command.\n"
    return "\n".join((_NOTE, "# Settings\n", intro, table))


def contracts_reference() -> str:
    """Every field of every contract, and an example."""
    parts = [_NOTE, "# Contracts\n"]
    parts.append("How to write them: [the guide](../guide/contracts.md).\n")
    for file, example in SCHEMAS.items():
        schema = json.loads((CONTRACTS / file).read_text(encoding="utf-8"))
        source = (CONTRACTS / "examples" / example).resolve()
        text = source.read_text(encoding="utf-8")
        parts.append(f"## {schema['title']}\n\n{schema['description']}\n")
        parts.append(_table(("field", "", "value", "what it is"), list(_fields(schema, ""))))
        fence = example.rpartition(".")[2]
        parts.append(f"From `{source.relative_to(ROOT)}`:\n\n```{fence}\n{text}```\n")
    return "\n".join(parts)


def _fields(schema: Mapping[str, Any], path: str) -> Iterator[tuple[str, str, str, str]]:
    required = schema.get("required", ())
    for name, inner in schema.get("properties", {}).items():
        at = f"{path}.{name}" if path else name
        need = "required" if name in required else ""
        yield f"`{at}`", need, _value(inner), inner["description"]
        yield from _fields(inner, at)
    inner = schema.get("items") or schema.get("then", {}).get("items")
    if inner is not None:
        yield from _fields(inner, f"{path}[]")
    inner = schema.get("additionalProperties")
    if isinstance(inner, dict):
        yield f"`{path}.*`", "", _value(inner), inner["description"]


def _value(schema: Mapping[str, Any]) -> str:
    """What may stand in a field."""
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return ", ".join(f"`{item}`" for item in schema["enum"])
    if "if" in schema:
        return "`all` or a list"
    kind = str(schema["type"])
    items = schema.get("items", {})
    if "enum" in items:
        return "list of " + _value(items)
    if "properties" in schema or "additionalProperties" in schema:
        return "mapping"
    low = schema.get("minimum", schema.get("exclusiveMinimum"))
    if low is not None:
        sign = "from" if "minimum" in schema else "above"
        return f"{kind}, {sign} {low} to {schema['maximum']}"
    if schema.get("format") == "date-time":
        return "moment with zone"
    names = {"string": "text", "array": "list"}
    pattern = schema.get("pattern", "")
    return f"text `{pattern}`" if pattern and len(pattern) < 50 else names.get(kind, kind)


def datasets_reference() -> str:
    """Every dataset of the lake, its grain, key and columns."""
    parts = [_NOTE, "# Datasets\n", "All times are UTC. A null means unknown, never none.\n"]
    for dataset in DATASETS.values():
        key = ", ".join(f"`{column}`" for column in dataset.key)
        kept = " Rows are only ever added." if dataset.append_only else ""
        parts.append(f"## {dataset.name}\n")
        parts.append(f"Grain: {dataset.grain}. Unique within a tenant by {key}.{kept}\n")
        rows = [(f"`{f.name}`", _type(f.type), f.metadata[b"doc"].decode()) for f in dataset.schema]
        parts.append(_table(("column", "type", "what it is"), rows))
    return "\n".join(parts)


def _type(kind: pa.DataType) -> str:
    if pa.types.is_list(kind):
        return f"list of {_type(kind.value_type)}"
    if pa.types.is_struct(kind):
        return "{" + ", ".join(f"{f.name}: {_type(f.type)}" for f in kind) + "}"
    if pa.types.is_map(kind):
        return f"map of {_type(kind.key_type)} to {_type(kind.item_type)}"
    if pa.types.is_timestamp(kind):
        return "timestamp"
    return {"string": "text", "bool": "boolean", "double": "number"}.get(str(kind), str(kind))


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for row in rows:
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |")
    return "\n".join(lines) + "\n"


PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": cli_reference,
    "settings.md": settings_reference,
    "contracts.md": contracts_reference,
    "datasets.md": datasets_reference,
    "marts.md": marts_markdown,
}


def stale() -> list[str]:
    """The pages that are missing or say something else than the code."""
    found = []
    for name, page in PAGES.items():
        path = REFERENCE / name
        if not path.exists() or path.read_text(encoding="utf-8") != page():
            found.append(f"docs/reference/{name}")
    return found


def main() -> int:
    """Write every page."""
    REFERENCE.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (REFERENCE / name).write_text(page(), encoding="utf-8")
        print(f"wrote docs/reference/{name}")  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
