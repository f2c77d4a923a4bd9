"""How commands speak: results on stdout as a table or JSON, everything else on stderr."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from typing import Any, TypeVar

import click

from qlrf_pipelines.domain.moments import iso

F = TypeVar("F", bound=Callable[..., Any])


def json_option(function: F) -> F:
    """Add `--json` to a command as the argument `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")(
        function
    )


def tenant_option(function: F) -> F:
    """Add a repeatable `--tenant` to a command as the argument `tenant` (a tuple)."""
    return click.option("--tenant", "-t", multiple=True, help="Only this tenant; may be repeated.")(
        function
    )


def limit_option(function: F) -> F:
    """Add `--limit` per tenant to a command; a list of nothing would look like calm."""
    return click.option(
        "--limit",
        type=click.IntRange(min=1),
        default=100,
        show_default=True,
        help="At most so many per tenant.",
    )(function)


def emit_json(value: object) -> None:
    """Print one JSON document; times in ISO 8601 UTC."""
    click.echo(json.dumps(value, default=_plain, indent=2, sort_keys=False))


def emit_rows(
    rows: Sequence[Mapping[str, Any]],
    *,
    as_json: bool,
    columns: Sequence[str] | None = None,
    title: str | None = None,
    empty: str = "Nothing to show.",
) -> None:
    """Print rows as JSON (all fields) or as a table of `columns` (default: those of row one)."""
    if as_json:
        emit_json([dict(row) for row in rows])
        return
    if not rows:
        click.echo(empty, err=True)
        return
    from rich.console import Console
    from rich.table import Table

    shown = list(columns or rows[0].keys())
    table = Table(title=title, title_justify="left")
    for name in shown:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in shown))
    console = Console(markup=False)
    # A pipe has no width: give every row its one line there, for grep and awk.
    Console(width=None if console.is_terminal else 240, markup=False).print(table)


def say(message: str) -> None:
    """One line on stderr."""
    click.echo(message, err=True)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.3g}" if abs(value) < 1 else f"{value:.1f}"
    if isinstance(value, datetime):
        return iso(value, digits=False)
    if isinstance(value, list | tuple):
        return ", ".join(_cell(item) for item in value)
    return str(value)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return iso(value)
    if isinstance(value, date):
        return value.isoformat()
    return str(value)
