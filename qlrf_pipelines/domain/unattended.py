"""How far a document may go without people: all of it, its canary, or not at all."""

from collections.abc import Mapping, Sequence
from typing import Any

from qlrf_pipelines.domain.approval import Extent
from qlrf_pipelines.domain.autonomy import Mode


def mode_alone(content: Mapping[str, Any], extent: Extent | None) -> str | None:
    """The autonomy mode under which a document goes so far by itself; None if it asks for people.

    An absent word about approvals asks for people, and a canary with nothing behind it is no
    canary.
    """
    approvals, autonomy = (content.get(name) for name in ("approvals", "autonomy"))
    if not isinstance(approvals, Mapping) or not isinstance(autonomy, Mapping):
        return None
    mode, required = autonomy.get("mode"), approvals.get("required")
    if extent is Extent.CANARY:
        goes = required is True and mode == Mode.CANARY_ONLY and _canary_first(content)
        return Mode.CANARY_ONLY.value if goes else None
    if extent is None or required is not False or mode == Mode.CANARY_ONLY:
        return None
    return mode if isinstance(mode, str) else None


def _canary_first(content: Mapping[str, Any]) -> bool:
    phases = content.get("phases")
    if not isinstance(phases, Sequence) or len(phases) < 2:
        return False
    first = phases[0]
    return isinstance(first, Mapping) and first.get("kind") == "canary"
