"""Rollouts as rows and back."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.estate import TenantId
from qlrf_pipelines.domain.rollout import AssetRow, AssetState, Rollout, RolloutState

Row = Mapping[Any, Any]
_text = json.JSONEncoder(allow_nan=False, ensure_ascii=False).encode
_MOMENTS = ("started_at", "changed_at", "watch_since", "wake_at", "not_before", "not_after")


def rollout_row(rollout: Rollout) -> dict[str, Any]:
    """A rollout as a row, but for its mark."""
    row = {name: getattr(rollout, name) for name in Rollout.__dataclass_fields__}
    return row | {"state": rollout.state.value}


def rollout_of(row: Row) -> Rollout:
    """A row as a rollout."""
    parts = {name: row[name] for name in Rollout.__dataclass_fields__}
    parts |= {name: _utc(row[name]) for name in _MOMENTS}
    tenant, state = TenantId(row["tenant"]), RolloutState(row["state"])
    return Rollout(**(parts | {"tenant": tenant, "state": state}))


def asset_row(tenant: TenantId, rollout: str, row: AssetRow) -> dict[str, Any]:
    """An asset of a rollout as a row.

    Raises:
        Rejected: what an executor said is not JSON.
    """
    try:
        before, checkpoint = (_text(dict(v)) if v else "{}" for v in (row.before, row.checkpoint))
    except (TypeError, ValueError) as error:
        raise Rejected(f"What is known of {row.asset} is not JSON: {error}.") from error
    return {
        "tenant": tenant,
        "rollout": rollout,
        "asset": row.asset,
        "position": row.order,
        "phase": row.phase,
        "batch": row.batch,
        "state": row.state.value,
        "step": row.step,
        "tries": row.tries,
        "begun": row.begun,
        "before": before,
        "checkpoint": checkpoint,
        "now_id": row.now_id,
        "detail": row.detail,
        "until": row.until,
        "begun_at": row.begun_at,
        "ended_at": row.ended_at,
    }


def asset_of(row: Row) -> AssetRow:
    """A row as an asset of a rollout."""
    return AssetRow(
        asset=row["asset"],
        order=row["position"],
        phase=row["phase"],
        batch=row["batch"],
        state=AssetState(row["state"]),
        step=row["step"],
        tries=row["tries"],
        begun=row["begun"],
        before=_known(row["before"]),
        checkpoint=_known(row["checkpoint"]),
        now_id=row["now_id"],
        detail=row["detail"],
        until=_utc(row["until"]),
        begun_at=_utc(row["begun_at"]),
        ended_at=_utc(row["ended_at"]),
    )


def _known(text: str) -> Mapping[str, Any]:
    return {} if text == "{}" else dict(json.loads(text))


def _utc(moment: datetime | None) -> datetime | None:
    return None if moment is None else moment.astimezone(UTC)
