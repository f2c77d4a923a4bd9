"""The sentences of operations that several of them say."""

from qlrf_pipelines.domain.operations import Progress, Status
from resources.clouds.kubernetes.recovery_settings import Workload
from resources.recovery.steps import failed


def done(detail: str, asset_id: str) -> Progress:
    """It is so, as seen just now, and this is the asset that is there."""
    return Progress(status=Status.SUCCEEDED, detail=detail, asset_id=asset_id)


def gone(workload: Workload) -> Progress:
    """The workload is not there any more."""
    return failed(f"There is no {workload} any more: it was deleted, not by this rollout.")


def foreign(what: object, does: str = "was changed") -> Progress:
    """Somebody else was here; nothing of theirs is touched."""
    return failed(f"{what} {does} by somebody else meanwhile; look at it, nothing was touched.")
