"""The container images a fleet runs, led back to golden images: once per reference and cluster."""

from collections import defaultdict

import duckdb
import pyarrow as pa

from qlrf_pipelines.domain.container_images import Claim, Claims, parse_reference
from qlrf_pipelines.domain.versions import version_key
from qlrf_pipelines.services import drift_sql

_CONTAINERS = pa.schema(
    [
        ("tenant", pa.string()),
        ("place", pa.string()),
        ("image_ref", pa.string()),
        ("family", pa.string()),
        ("version", pa.string()),
        ("version_key", pa.string()),
        ("resolution", pa.string()),
    ]
)


def recognised(connection: duckdb.DuckDBPyConnection) -> pa.Table:
    """The references of the table `kinds` that belong to a golden image, and to which release."""
    references = connection.sql(drift_sql.REFERENCES).fetchall()
    claims = _claims(connection) if references else {}
    rows = []
    for tenant, place, text in references:
        known = claims.get((tenant, place))
        found = None if known is None else known.recognise(text)
        if found is not None:
            rows.append(
                {
                    "tenant": tenant,
                    "place": place,
                    "image_ref": text,
                    "family": found.family,
                    "version": found.version,
                    "version_key": version_key(found.version),
                    "resolution": found.how.value,
                }
            )
    return pa.Table.from_pylist(rows, schema=_CONTAINERS)


def _claims(connection: duckdb.DuckDBPyConnection) -> dict[tuple[str, str], Claims]:
    found = defaultdict[tuple[str, str], list[Claim]](list)
    for tenant, place, family, version, text in connection.sql(drift_sql.CLAIMS).fetchall():
        claim = Claim(family=family, version=version, reference=parse_reference(text))
        found[tenant, place].append(claim)
    return {where: Claims(claims) for where, claims in found.items()}
