"""docs/reference/marts.md, written from the models' own descriptions."""

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
MARTS = ROOT / "dbt_project" / "models" / "marts"

_HEAD = """<!-- Written by `make docs`; change the code, not this file. -->

# Marts

One table per mart, one row per stated grain. On DuckDB they are in the schema `main` of
`marts.duckdb` in `QLRF_HOME`; on PostgreSQL in the schema `marts`. Names and types are enforced
contracts: a build that would break one is not published. A null means unknown, never "none".
"""


def marts() -> list[dict[str, Any]]:
    """Every mart as its yml declares it, by name."""
    found = [
        model
        for path in sorted(MARTS.glob("*.yml"))
        for model in yaml.safe_load(path.read_text()).get("models", [])
    ]
    return sorted(found, key=lambda model: str(model["name"]))


def marts_markdown() -> str:
    """The reference of every mart and column."""
    parts = [_HEAD]
    for model in marts():
        parts.append(f"## {model['name']}\n\n{model['description']}\n")
        parts.append("| column | type | null | what it says |\n|---|---|---|---|")
        for column in model["columns"]:
            never = any(c["type"] == "not_null" for c in column.get("constraints", []))
            parts.append(
                f"| `{column['name']}` | {column['data_type']} | {'no' if never else 'yes'} "
                f"| {column['description'].replace('|', '/')} |"
            )
        parts.append("")
    return "\n".join(parts)
