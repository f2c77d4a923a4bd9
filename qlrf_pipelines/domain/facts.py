"""The facts controls judge, and digests over rows that anybody can compute again.

A digest over rows is defined in three steps, the same here and in SQL (services/judging.py):

1. The text of a row is the lengths in bytes of its fields, in order, each followed by a comma (a
   null has no length, only the comma), and then the fields themselves. A number is written in
   decimal, a float with 17 significant digits (C's %.17g), a time as microseconds since 1970 UTC,
   a boolean as true or false. A map is the texts of its pairs of key and value, sorted by key; a
   list of structs the texts of the structs, in order; either then stands as one field.
2. Rows are sorted by asset_key (bytes of UTF-8) and cut into pages of 1000. A page's digest is
   the SHA-256 of its rows' texts, joined, as lower-case hex.
3. The digest is the SHA-256 of the pages' digests, joined, as lower-case hex.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from qlrf_pipelines.domain.datasets import DRIFT, INVENTORY, TIME
from qlrf_pipelines.domain.moments import iso

PAGE = 1000
Row = Mapping[str, Any]

_BOOKKEEPING = (
    "missed",
    "missed_since",
    "tombstoned_at",
    "tombstone_reason",
    "change_seq",
    "change",
    "changed_at",
    "change_before",
    "change_after",
    "refresh_id",
)
_RULES = pa.schema(
    [
        pa.field("environment_tag", pa.string(), metadata={"doc": "The tenant's environment tag."}),
        pa.field(
            "stale",
            pa.bool_(),
            metadata={"doc": "Whether last_seen is older than the tenant's staleAfterHours."},
        ),
        pa.field("as_of", TIME, metadata={"doc": "When it was judged."}),
    ]
)
INVENTORY_FACTS = tuple(name for name in INVENTORY.schema.names if name not in _BOOKKEEPING)
DRIFT_FACTS = tuple(n for n in DRIFT.schema.names if n not in ("tenant", "asset_key", "as_of"))
# The columns of the view `assets`, in the order their digest takes them.
ASSETS = pa.schema(
    [INVENTORY.schema.field(name) for name in INVENTORY_FACTS]
    + [DRIFT.schema.field(name) for name in DRIFT_FACTS]
    + list(_RULES)
)
RESULT_FIELDS = ("asset_key", "verdict", "detail")

EMPTY_DIGEST = hashlib.sha256(b"").hexdigest()

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def text_of(fields: Iterable[str | None]) -> str:
    """The text of some fields: the length in bytes of each, then all of them."""
    given = list(fields)
    lengths = "".join("," if text is None else f"{len(text.encode())}," for text in given)
    return lengths + "".join(text or "" for text in given)


def fact_row_text(row: Row) -> str:
    """The text of one row of `assets`, given as JSON values."""
    return text_of(_text(row[field.name], field.type) for field in ASSETS)


def result_row_text(row: Row) -> str:
    """The text of one result: asset_key, verdict and detail."""
    return text_of(row[name] for name in RESULT_FIELDS)


def rows_digest(rows: Iterable[Row], text: Callable[[Row], str]) -> str:
    """The digest over rows, in whatever order they come."""
    ordered = sorted(rows, key=lambda row: row["asset_key"].encode())
    whole = hashlib.sha256()
    for start in range(0, len(ordered), PAGE):
        page = "".join(text(row) for row in ordered[start : start + PAGE])
        whole.update(hashlib.sha256(page.encode()).hexdigest().encode())
    return whole.hexdigest()


def to_json(row: Row) -> dict[str, Any]:
    """A row of `assets` as Arrow gives it, as JSON values."""
    return {field.name: _to_json(row[field.name], field.type) for field in ASSETS}


def from_json(rows: Iterable[Row]) -> pa.Table:
    """Rows of `assets`, given as JSON values, as Arrow; a missing column is null.

    Raises:
        ValueError: a value does not fit its column, or a column is not one of `assets`.
    """
    read = []
    for row in rows:
        unknown = sorted(set(row) - set(ASSETS.names))
        if unknown:
            raise ValueError(f"no such fact: {', '.join(unknown)}")
        read.append({f.name: _from_json(row.get(f.name), f.type) for f in ASSETS})
    return pa.Table.from_pylist(read, schema=ASSETS)


def _to_json(value: Any, kind: pa.DataType) -> Any:  # noqa: ANN401  any JSON value
    if value is None:
        return None
    if pa.types.is_timestamp(kind):
        return iso(value)
    if pa.types.is_map(kind):
        return dict(value)
    return value


def _from_json(value: Any, kind: pa.DataType) -> Any:  # noqa: ANN401  any JSON value
    if value is None:
        return None
    if pa.types.is_timestamp(kind):
        return datetime.fromisoformat(value)
    if pa.types.is_map(kind):
        return sorted(value.items(), key=_key_bytes)
    return float(value) if pa.types.is_float64(kind) else value


def _text(value: Any, kind: pa.DataType) -> str | None:  # noqa: ANN401  any JSON value
    return None if value is None else _writer(kind)(value)


def _writer(kind: pa.DataType) -> Callable[[Any], str]:
    if pa.types.is_timestamp(kind):
        return lambda value: str((datetime.fromisoformat(value) - _EPOCH) // _MICROSECOND)
    if pa.types.is_map(kind):
        return lambda value: "".join(map(text_of, sorted(value.items(), key=_key_bytes)))
    if pa.types.is_list(kind):
        names = [field.name for field in kind.value_type]
        return lambda value: "".join(_struct_text(item or {}, names) for item in value)
    if pa.types.is_boolean(kind):
        return lambda value: "true" if value else "false"
    if pa.types.is_float64(kind):
        return lambda value: format(float(value), ".17g")
    return str


def _struct_text(value: Row, names: Iterable[str]) -> str:
    given = (value.get(name) for name in names)
    return text_of(None if item is None else str(item) for item in given)


def _key_bytes(pair: tuple[str, Any]) -> bytes:
    return pair[0].encode()
