"""YAML read strictly: every value knows its line, and nothing is guessed.

Read event by event, because the C composer overflows its stack on deep nesting (a crash, not an
error), and because a composed mapping has already lost its duplicate keys.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NoReturn

import yaml

from qlrf_pipelines.domain.problems import Problem

Place = tuple[str | int, ...]

MAX_DEPTH = 30
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # libyaml reads about seven times faster
_RESOLVER = yaml.resolver.Resolver()
_TAG = "tag:yaml.org,2002:"
# A moment stays as it was written (its zone is checked later); `<<` and `=` mean nothing special.
_TEXT_TAGS = frozenset(_TAG + name for name in ("str", "timestamp", "merge", "value"))
_PLAIN_TAGS = frozenset(_TAG + name for name in ("bool", "int", "float"))
_COLLECTION_TAGS = (None, "!", _TAG + "map", _TAG + "seq")
# YAML 1.1 also reads 010 as eight and 1:30 as ninety; those stay text, and are refused as such.
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)", re.ASCII)
_FRACTION = re.compile(r"[-+]?[0-9]*\.?[0-9]+([eE][-+]?[0-9]{1,2})?", re.ASCII)
_MAX_DIGITS = 30
_STARTS = (yaml.MappingStartEvent, yaml.SequenceStartEvent)
_ENDS = (yaml.MappingEndEvent, yaml.SequenceEndEvent)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One YAML document as JSON values, with the line of every field."""

    file: str
    line: int
    value: object
    lines: dict[Place, int] = field(default_factory=dict)
    written: dict[Place, str] = field(default_factory=dict)  # numbers and booleans, as typed

    def line_of(self, place: Place) -> int:
        """The line of a field, or of the nearest thing around it."""
        for length in range(len(place), 0, -1):
            if place[:length] in self.lines:
                return self.lines[place[:length]]
        return self.line

    def problem(self, place: Place, message: str, *, remedy: str) -> Problem:
        """A problem with one field of this document."""
        return Problem(
            file=self.file,
            line=self.line_of(place),
            field=field_path(place),
            message=message,
            remedy=remedy,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one file held: its documents, what was wrong, and the places that were not read."""

    documents: list[Document] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unread: list[set[Place]] = field(default_factory=list)  # one set per document


def field_path(place: Place) -> str:
    """A place as text: spec.connectors[0].regions."""
    text = ""
    for part in place:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part and all(c.isalnum() or c in "_-" for c in part):
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


def read_yaml(file: str, data: bytes) -> Reading:
    """Every document of a file; never raises, whatever the bytes are."""
    reading = Reading()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        reading.problems.append(
            Problem(
                file=file,
                line=line,
                field="",
                message="is not UTF-8 text",
                remedy="save the file as UTF-8",
            )
        )
        return reading
    try:
        _Reader(file, yaml.parse(text, Loader=_LOADER), reading).read()
    except yaml.YAMLError as error:
        reading.problems.append(_syntax(file, data, error))
    return reading


def _syntax(file: str, data: bytes, error: yaml.YAMLError) -> Problem:
    """What the parser said, without the source line it quotes: that may hold a secret."""
    line = 1
    said = "it holds a character YAML does not allow"
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        said = " ".join(part for part in (error.context, error.problem) if part)
    elif isinstance(error, yaml.reader.ReaderError):
        line = data.count(b"\n", 0, error.position) + 1
    return Problem(
        file=file,
        line=line,
        field="",
        message=f"is not valid YAML: {said}",
        remedy="mend the syntax at or just above this line",
    )


class _Reader:
    """Turns the events of one file into documents."""

    def __init__(self, file: str, events: Iterator[yaml.Event], reading: Reading) -> None:
        self.file = file
        self.events = events
        self.reading = reading
        self.document = Document(file=file, line=1, value=None)

    def read(self) -> None:
        for event in self.events:
            if isinstance(event, yaml.DocumentStartEvent):
                self._read_document()

    def _read_document(self) -> None:
        first = next(self.events)
        self.document = Document(file=self.file, line=_line(first), value=None)
        self.reading.unread.append(set())
        value = self._value(first, ())
        if value is None and not self.reading.unread[-1]:  # nothing between two `---`
            self.reading.unread.pop()
            return
        self.reading.documents.append(
            Document(
                file=self.file,
                line=self.document.line,
                value=value,
                lines=self.document.lines,
                written=self.document.written,
            )
        )

    def _value(self, event: yaml.Event, place: Place) -> object:
        if isinstance(event, yaml.AliasEvent):
            self._unread(place, "is an alias", remedy="write the value out")
            return None
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event, place)
        if isinstance(event, _STARTS) and event.tag not in _COLLECTION_TAGS:
            self._unread(place, f"has the tag {event.tag}", remedy="remove the tag")
        if len(place) >= MAX_DEPTH:
            self._too_deep(event)
        if isinstance(event, yaml.MappingStartEvent):
            return self._mapping(place)
        return self._sequence(place)

    def _mapping(self, place: Place) -> dict[str, object]:
        found: dict[str, object] = {}
        for event in self.events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            self._entry(event, place, found)
        return found

    def _entry(self, key: yaml.Event, place: Place, found: dict[str, object]) -> None:
        if not isinstance(key, yaml.ScalarEvent):
            self._skip(key)
            self._skip(next(self.events))
            self._unread(place, "has a key that is not text", remedy="use plain words as keys")
            return
        inner = (*place, key.value)
        if key.value in found:
            first = self.document.lines[inner]
            self._skip(next(self.events))
            self.reading.problems.append(
                Problem(
                    file=self.file,
                    line=_line(key),
                    field=field_path(inner),
                    message=f"is given twice (first on line {first})",
                    remedy="keep one of the two",
                )
            )
            return
        self.document.lines[inner] = _line(key)
        found[key.value] = self._value(next(self.events), inner)

    def _sequence(self, place: Place) -> list[object]:
        found: list[object] = []
        for event in self.events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            inner = (*place, len(found))
            self.document.lines[inner] = _line(event)
            found.append(self._value(event, inner))
        return found

    def _scalar(self, event: yaml.ScalarEvent, place: Place) -> object:
        tag = event.tag
        if tag is None or tag == "!":
            tag = str(_RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit))  # type: ignore[no-untyped-call]
        if tag in _TEXT_TAGS:
            return event.value
        if tag == _TAG + "null":
            return None
        if tag not in _PLAIN_TAGS:
            self._unread(place, f"has the tag {tag}", remedy="remove the tag")
            return None
        value = _number_or_bool(tag, event.value)
        if not isinstance(value, str):
            self.document.written[place] = event.value
        return value

    def _skip(self, event: yaml.Event) -> None:
        """Pass over a whole value."""
        depth = int(isinstance(event, _STARTS))
        while depth:
            inner = next(self.events)
            depth += isinstance(inner, _STARTS) - isinstance(inner, _ENDS)
            if depth > MAX_DEPTH:
                self._too_deep(inner)

    def _too_deep(self, event: yaml.Event) -> NoReturn:
        """End here: going on takes the parser time quadratic in the depth, minutes for 100 kB."""
        raise yaml.composer.ComposerError(
            None,
            None,
            f"it is nested deeper than {MAX_DEPTH} levels",
            event.start_mark,  # type: ignore[arg-type]
        )

    def _unread(self, place: Place, message: str, *, remedy: str) -> None:
        self.reading.unread[-1].add(place)
        self.reading.problems.append(self.document.problem(place, message, remedy=remedy))


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 1


def _number_or_bool(tag: str, text: str) -> bool | int | float | str:
    """A plain truth value or finite decimal number; anything else stays text."""
    if tag == _TAG + "bool":
        return text.lower() in ("yes", "true", "on")
    if len(text) > _MAX_DIGITS:
        return text
    if tag == _TAG + "int":
        return int(text) if _DECIMAL.fullmatch(text) else text
    return float(text) if _FRACTION.fullmatch(text) else text
