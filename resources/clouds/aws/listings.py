"""The listings: which call answers for a kind, page by page, and when it has ended."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from qlrf_pipelines.domain.errors import Truncated
from qlrf_pipelines.domain.inventory import PAGE_SCHEMAS, Kind, Page

Ask = Callable[..., dict[str, Any]]  # (service, method, **parameters) -> answer
Answer = dict[str, Any]
# An image says who it is by these tags; the first pair it has wins.
FAMILY_TAGS = ("qlrf:family", "Family")
VERSION_TAGS = ("qlrf:version", "Version")


@dataclass(frozen=True, slots=True, kw_only=True)
class Listing:
    """One call and how it is walked; `batch` 0 means it lists everything there is."""

    service: str
    method: str
    rows: Callable[[Answer], pa.RecordBatch]
    parameters: Callable[[Sequence[str]], dict[str, Any]]
    batch: int = 0


def pages(kind: Kind, ask: Ask, ids: Sequence[str]) -> Iterator[Page]:
    """Every page of a listing; the one whose answer promises no other is the last.

    Raises:
        Unavailable: a page could not be read.
    """
    listing = LISTINGS[kind]
    if listing.batch and not ids:
        yield Page(rows=empty(kind), last=True)
        return
    size = listing.batch or 1
    batches = [ids[at : at + size] for at in range(0, len(ids), size)] if listing.batch else [()]
    for number, some in enumerate(batches, start=1):
        for rows, more in _walk(listing, ask, some):
            yield Page(rows=rows, last=number == len(batches) and not more)


def empty(kind: Kind) -> pa.RecordBatch:
    """A page with nothing on it."""
    return pa.RecordBatch.from_pylist([], schema=PAGE_SCHEMAS[kind])


def _walk(listing: Listing, ask: Ask, ids: Sequence[str]) -> Iterator[tuple[pa.RecordBatch, bool]]:
    parameters = listing.parameters(ids)
    seen: set[str] = set()
    while True:
        answer = ask(listing.service, listing.method, **parameters)
        token = answer.get("NextToken")
        if token in seen:
            raise Truncated(
                f"{listing.service}:{listing.method}: page {len(seen) + 1} leads back to an "
                "earlier one, so the listing never ends; it is asked again later."
            )
        yield _rows(listing, answer), bool(token)
        if not token:
            return
        seen.add(token)
        parameters = parameters | {"NextToken": token}


def _rows(listing: Listing, answer: Answer) -> pa.RecordBatch:
    try:
        return listing.rows(answer)
    except (KeyError, TypeError, ValueError, OverflowError, AttributeError) as error:
        raise Truncated(
            f"{listing.service}:{listing.method}: the answer lacks {error}; "
            "it is asked again later."
        ) from error


def _lean(answer: Answer) -> pa.RecordBatch:
    rows: pa.RecordBatch = answer["Rows"]
    return rows


def _images(answer: Answer) -> pa.RecordBatch:
    rows = []
    for image in answer["Images"]:
        tags = {tag["Key"]: tag["Value"] for tag in image.get("Tags", ())}
        rows.append(
            {
                "image_ref": image["ImageId"],
                "image_name": image.get("Name"),
                "image_family": _first(tags, FAMILY_TAGS),
                "image_version": _first(tags, VERSION_TAGS),
            }
        )
    return pa.RecordBatch.from_pylist(rows, schema=PAGE_SCHEMAS[Kind.IMAGE])


def _first(tags: dict[str, str], names: Sequence[str]) -> str | None:
    return next((tags[name] for name in names if tags.get(name)), None)


def _patch_states(answer: Answer) -> pa.RecordBatch:
    rows = [
        {
            "asset_id": state["InstanceId"],
            "patches_missing": state.get("MissingCount"),
            "patches_failed": state.get("FailedCount"),
            "patches_pending_reboot": state.get("InstalledPendingRebootCount"),
            "patches_critical_missing": state.get("CriticalNonCompliantCount"),
            "patches_security_missing": state.get("SecurityNonCompliantCount"),
            "patch_scanned_at": _seconds(state.get("OperationEndTime")),
        }
        for state in answer["InstancePatchStates"]
    ]
    return pa.RecordBatch.from_pylist(rows, schema=PAGE_SCHEMAS[Kind.PATCH_STATE])


def _seconds(since_1970: float | None) -> datetime | None:
    return None if since_1970 is None else datetime.fromtimestamp(since_1970, UTC)


def _everything(size: int) -> Callable[[Sequence[str]], dict[str, Any]]:
    return lambda _ids: {"MaxResults": size}


def _image_filter(ids: Sequence[str]) -> dict[str, Any]:
    # By filter, not by ImageIds: one deregistered image would fail the whole call. Deprecated and
    # disabled images still run somewhere. MaxResults is left out: a filtered answer comes whole.
    return {
        "Filters": [{"Name": "image-id", "Values": list(ids)}],
        "IncludeDeprecated": True,
        "IncludeDisabled": True,
    }


LISTINGS = {
    Kind.INSTANCE: Listing(
        service="ec2", method="describe_instances", rows=_lean, parameters=_everything(1000)
    ),
    Kind.VOLUME: Listing(
        service="ec2", method="describe_volumes", rows=_lean, parameters=_everything(500)
    ),
    Kind.SECURITY_GROUP: Listing(
        service="ec2", method="describe_security_groups", rows=_lean, parameters=_everything(1000)
    ),
    Kind.IMAGE: Listing(
        service="ec2", method="describe_images", rows=_images, parameters=_image_filter, batch=200
    ),
    Kind.PATCH_STATE: Listing(
        service="ssm",
        method="describe_instance_patch_states",
        rows=_patch_states,
        parameters=lambda ids: {"InstanceIds": list(ids)},
        batch=50,
    ),
}
