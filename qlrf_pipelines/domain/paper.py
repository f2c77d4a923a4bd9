"""A report as it stands on paper: words, tones and places between 0 and 1, and nothing to work out.

Everything here is text for people, whatever it came from; whoever sets it never reads it as markup.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import StrEnum


class Tone(StrEnum):
    """What a colour says; plain says nothing."""

    GOOD = "good"
    BAD = "bad"
    WARN = "warn"
    PLAIN = "plain"
    MOVE = "move"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """One result, large: what was measured, against what, and how it came out."""

    title: str
    measured: str
    target: str
    verdict: str
    tone: Tone
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A stretch of a lane, its beginning and length as shares of the width.

    Its text begins at `text_at`, which is `inside` the bar or beside it.
    """

    begin: float
    length: float
    tone: Tone
    text: str = ""
    text_at: float = 0.0
    inside: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lane:
    """One row of a chart."""

    label: str
    bars: tuple[Bar, ...]
    strong: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A moment, as a line through every lane or a word below the chart."""

    at: float
    tone: Tone = Tone.PLAIN
    text: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Legend:
    """What a colour, or a dashed line, stands for in a chart."""

    text: str
    tone: Tone
    line: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Lanes over one axis; `spoken` says it all in words, for those who cannot see it."""

    spoken: str
    lanes: tuple[Lane, ...]
    ticks: tuple[Mark, ...]
    marks: tuple[Mark, ...]
    legend: tuple[Legend, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """One cell; `mono` for what is compared letter by letter."""

    text: str
    tone: Tone | None = None
    mono: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Column:
    """One column: its head, its share of the width, and whether it holds numbers."""

    head: str
    width: float
    number: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One section: a title, a sentence, and a table if there is anything to list."""

    title: str
    note: str
    columns: tuple[Column, ...] = ()
    rows: Sequence[tuple[Cell, ...]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Paper:
    """One report: a head, tiles, facts, a chart, sections, the method, and how to check it."""

    heading: str
    subject: str
    subtitle: str
    outcome: str
    outcome_tone: Tone
    summary: str
    author: str
    tenant: str
    running: str
    footer: str
    day: date
    tiles: tuple[Tile, ...]
    facts: tuple[tuple[str, str], ...]
    chart: Chart
    parts: tuple[Part, ...]
    method: tuple[tuple[str, str], ...]
    proof: str
    proofs: tuple[tuple[str, str], ...]
