"""What is wrong with a word about a task, and what to say instead."""

from qlrf_pipelines.domain.approval import Approved, Decision, DecisionKind, Pending, Standing
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.tasks import RUNNING, TaskState

_NEEDS_REASON = frozenset(DecisionKind) - {DecisionKind.APPROVE, DecisionKind.DELEGATE}


def worded(decision: Decision) -> None:
    """Make sure that a decision says what it must.

    Raises:
        Rejected: a reason is missing, or the conditions can never be met.
    """
    if decision.kind in _NEEDS_REASON and not decision.reason.strip():
        raise Rejected(f"{decision.kind} needs a reason; give one with --reason.")
    if decision.kind is DecisionKind.BREAK_GLASS and len(decision.reason.strip()) < 10:
        raise Rejected("Breaking the glass needs a reason somebody can review, not a word.")
    if not decision.conditions.possible:
        raise Rejected("No moment or batch can meet these conditions; look at them again.")
    ends = decision.conditions.not_after
    if ends is not None and ends <= decision.at:
        raise Rejected("The window of this approval is over already.")


def instead(state: TaskState, kind: DecisionKind, *, rest: Standing | None = None) -> str:
    """What else can be said in this state; `rest` is how the rest stands if a canary is out."""
    if kind is DecisionKind.REVOKE and (
        state is TaskState.AWAITING_APPROVAL or isinstance(rest, Pending)
    ):
        return "there is no approval to revoke: reject it, or request changes"
    if kind is DecisionKind.REJECT and (state is TaskState.APPROVED or isinstance(rest, Approved)):
        return "revoke the approval instead"
    if isinstance(rest, Approved):
        return "the rest of it is approved already"
    if rest is not None:
        return "the rest of it was refused already, and its canary is brought back"
    if state in RUNNING:
        return "it has started, and decisions about starting come too late"
    return f"nothing is left to {kind}"
