"""`qlrf query`: one read-only statement over the marts, answered as table, JSON, CSV or Parquet."""

import contextlib
import csv
import io
import sys
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import click

from qlrf_pipelines import wiring
from qlrf_pipelines.cli.output import emit_json, say
from qlrf_pipelines.cli.texts import plain_table
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.moments import iso
from qlrf_pipelines.domain.tenancy import TenantId
from qlrf_pipelines.ports.warehouse import Answer
from qlrf_pipelines.settings import Settings

_MARTS = """
SELECT table_name AS mart, count(*) AS columns, string_agg(column_name, ', ') AS names
FROM (
    SELECT table_name, column_name FROM information_schema.columns
    WHERE table_schema IN ('main', 'marts') AND table_name ~ '^(dim|fct|agg|bridge)_'
    ORDER BY table_name, ordinal_position
) AS listed
GROUP BY table_name
ORDER BY table_name
"""


@click.command("query")
@click.argument("sql", required=False)
@click.option("--tenant", "-t", help="Ask over this tenant's rows alone.")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "csv", "parquet"]),
    default="table",
    show_default=True,
    help="How to print the answer.",
)
@click.option("--json", "as_json", is_flag=True, help="The same as --format json.")
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write to this file instead of stdout.",
)
@click.option("--marts", is_flag=True, help="List the marts and their columns.")
@click.pass_obj
def query(
    settings: Settings,
    *,
    sql: str | None,
    tenant: str | None,
    form: str,
    as_json: bool,
    out: Path | None,
    marts: bool,
) -> None:
    """Ask the marts one SELECT statement; "-" reads it from stdin.

    Nothing can be changed by it, and no file or address reached. With --tenant no other tenant's
    row is within its reach.
    """
    text = _MARTS if marts else sys.stdin.read() if sql == "-" else sql
    if not text:
        raise click.UsageError("Give a SELECT statement, or --marts to see what there is.")
    form = "json" if as_json else form
    whom = TenantId(tenant) if tenant else None
    house = wiring.warehouse(settings)
    if form == "parquet":
        _refuse_terminal(out)
        _write(_parquet(house.query(text, tenant=whom)), out)
        return
    answer = house.ask(text, tenant=whom)
    _write(_TEXTS[form](answer).encode(), out)
    if form == "table":
        say(f"{len(answer.rows)} row{'' if len(answer.rows) == 1 else 's'}")


def _table(answer: Answer) -> str:
    return plain_table(answer.columns, answer.rows) + "\n"


def _json(answer: Answer) -> str:
    names = _unique(answer.columns)
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        emit_json([dict(zip(names, row, strict=True)) for row in answer.rows])
    return text.getvalue()


def _unique(names: Sequence[str]) -> list[str]:
    """Names as they are; a repeated one gets its number, so that no value is lost in a record."""
    count: dict[str, int] = {}
    found = []
    for name in names:
        count[name] = count.get(name, 0) + 1
        found.append(name if count[name] == 1 else f"{name}_{count[name]}")
    return found


def _csv(answer: Answer) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(answer.columns)
    for row in answer.rows:
        writer.writerow([iso(v) if isinstance(v, datetime) else v for v in row])
    return text.getvalue()


_TEXTS: Mapping[str, Callable[[Answer], str]] = {"table": _table, "json": _json, "csv": _csv}


def _parquet(table: object) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


def _refuse_terminal(out: Path | None) -> None:
    if out is None and sys.stdout.isatty():
        raise Rejected("Parquet is not for a terminal: give --out FILE, or redirect stdout.")


def _write(content: bytes, out: Path | None) -> None:
    if out is None:
        sys.stdout.buffer.write(content)
        sys.stdout.buffer.flush()
        return
    try:
        out.write_bytes(content)
    except OSError as error:
        raise Rejected(f"{out} cannot be written: {error}.") from error


COMMANDS = {"query": query}
