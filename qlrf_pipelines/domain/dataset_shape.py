"""What a dataset is: its columns, each with its explanation, its grain and its key."""

from dataclasses import dataclass

import pyarrow as pa

TIME = pa.timestamp("us", tz="UTC")
TEXTS = pa.list_(pa.string())
TAGS = pa.map_(pa.string(), pa.string())
PORTS = pa.list_(
    pa.struct([("protocol", pa.string()), ("from_port", pa.int32()), ("to_port", pa.int32())])
)
COORDINATES = pa.list_(
    pa.struct([("platform", pa.string()), ("region", pa.string()), ("image_ref", pa.string())])
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """One table of the lake: its grain, its key (unique within a tenant) and its columns.

    `by_tenant` promises that its rows are written tenant by tenant, not mixed.
    """

    name: str
    grain: str
    key: tuple[str, ...]
    schema: pa.Schema
    append_only: bool = False
    by_tenant: bool = False


def columns(**given: tuple[pa.DataType, str]) -> pa.Schema:
    """A schema whose every column says what it holds."""
    return pa.schema(
        [pa.field(name, kind, metadata={"doc": doc}) for name, (kind, doc) in given.items()]
    )
