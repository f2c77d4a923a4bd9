"""The sentences an executor says of its progress."""

from collections.abc import Mapping
from typing import Any

from qlrf_pipelines.domain.operations import Progress, Status


def under_way(
    detail: str, *, seconds: float = 5.0, checkpoint: Mapping[str, Any] | None = None
) -> Progress:
    """It goes on."""
    return Progress(
        status=Status.RUNNING, detail=detail, poll_seconds=seconds, checkpoint=checkpoint or {}
    )


def failed(detail: str) -> Progress:
    """It does not go on."""
    return Progress(status=Status.FAILED, detail=detail)


def succeeded(detail: str, *, asset_id: str | None = None) -> Progress:
    """It is done."""
    return Progress(status=Status.SUCCEEDED, detail=detail, asset_id=asset_id)


def unknown(detail: str) -> Progress:
    """Nobody can say whether it was done, so it is not done again."""
    return Progress(status=Status.UNKNOWN, detail=detail)
