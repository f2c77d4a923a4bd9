"""A table as plain text, without loading anything: `qlrf query` must start at once."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from unicodedata import combining, east_asian_width

from qlrf_pipelines.domain.moments import iso


def plain_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns under their names, numbers to the right; a null is an empty cell marked `-`."""
    values = [list(row) for row in rows]
    cells = [[plain_cell(value) for value in row] for row in values]
    numeric = [_numeric([row[at] for row in values]) for at in range(len(columns))]
    table = [[plain_cell(name) for name in columns], *cells]
    widths = [max(_width(row[at]) for row in table) for at in range(len(columns))]
    lines = [_line(row, widths, numeric) for row in table]
    lines.insert(1, "  ".join("─" * width for width in widths))
    return "\n".join(lines)


def plain_cell(value: object) -> str:
    """A value on one line; what a terminal might obey is written out instead."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime) and value.tzinfo is not None:
        return iso(value, digits=False)
    text = str(value)
    return text if text.isprintable() else "".join(map(_harmless, text))


def _harmless(character: str) -> str:
    return character if character.isprintable() else repr(character)[1:-1]


def _numeric(values: Sequence[object]) -> bool:
    known = [value for value in values if value is not None]
    return bool(known) and all(
        isinstance(value, int | float) and not isinstance(value, bool) for value in known
    )


def _line(row: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> str:
    parts = []
    for text, width, right in zip(row, widths, numeric, strict=True):
        space = " " * (width - _width(text))
        parts.append(space + text if right else text + space)
    return "  ".join(parts).rstrip()


def _width(text: str) -> int:
    if text.isascii():
        return len(text)
    wide = sum(1 for character in text if east_asian_width(character) in "WF")
    return len(text) + wide - sum(1 for character in text if combining(character))
