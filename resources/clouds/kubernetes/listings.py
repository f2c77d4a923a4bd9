"""The listings: a cluster's namespaces, the workloads of one, and what image references say."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa

from qlrf_pipelines.domain.container_images import parse_reference
from qlrf_pipelines.domain.errors import Truncated
from qlrf_pipelines.domain.inventory import PAGE_SCHEMAS, Kind, Page
from resources.clouds.kubernetes.cluster import ClusterCalls
from resources.clouds.kubernetes.complaints import Object
from resources.clouds.kubernetes.workloads import LISTS, workload_row

# What reading an object stumbles over that is not what its list promised.
_UNREADABLE = (KeyError, TypeError, ValueError, IndexError, AttributeError, pa.ArrowException)


def namespaces(calls: ClusterCalls) -> Iterator[str]:
    """The name of every namespace.

    Raises:
        Unavailable: they could not all be read.
    """
    for items, _ in calls.pages("api/v1/namespaces", "NamespaceList"):
        for item in items:
            try:
                yield str(item["metadata"]["name"])
            except _UNREADABLE as error:
                raise _broken("a namespace", error) from error


def workloads(calls: ClusterCalls, namespace: str) -> Iterator[Page]:
    """Every workload of a namespace, kind by kind; of one that is not there, none.

    Raises:
        Unavailable: a page, or the namespace's own labels, could not be read.
    """
    home = calls.read(f"api/v1/namespaces/{namespace}")
    if home is None:
        yield Page(rows=_batch(Kind.INSTANCE, []), last=True)
        return
    labels = _labels(home, namespace)
    final = list(LISTS)[-1]
    for kind, (plural, listed) in LISTS.items():
        for items, last in calls.pages(f"apis/apps/v1/namespaces/{namespace}/{plural}", listed):
            rows = _rows(kind, items, labels)
            yield Page(rows=rows, last=last and kind == final)


def images(references: Sequence[str]) -> Page:
    """What references say of their images; one that cannot be read is left out."""
    rows = []
    for text in references:
        found = parse_reference(text)
        if found is not None:
            rows.append(
                {
                    "image_ref": text,
                    "image_name": found.repository,
                    "image_family": None,  # golden images say, by the repository
                    "image_version": found.tag,
                }
            )
    return Page(rows=_batch(Kind.IMAGE, rows), last=True)


def _labels(found: Object, namespace: str) -> dict[str, str]:
    try:
        if (found["kind"], found["metadata"]["name"]) != ("Namespace", namespace):
            raise ValueError(found["kind"])
        given = found["metadata"].get("labels") or {}
        return {str(key): str(value) for key, value in given.items()}
    except _UNREADABLE as error:
        raise _broken("the namespace", error) from error


def _rows(kind: str, items: Sequence[Object], labels: dict[str, str]) -> pa.RecordBatch:
    try:
        rows = [workload_row(kind, item, inherited=labels) for item in items]
        return _batch(Kind.INSTANCE, rows)
    except _UNREADABLE as error:
        raise _broken(f"a {kind}", error) from error


def _broken(what: str, error: Exception) -> Truncated:
    return Truncated(
        f"{what} was answered that is none ({type(error).__name__}: {str(error)[:200]}); "
        "it is asked again."
    )


def _batch(kind: Kind, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=PAGE_SCHEMAS[kind])
