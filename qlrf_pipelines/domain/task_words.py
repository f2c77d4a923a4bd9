"""What is wrong with a word about a task, and what to say instead."""

from collections.abc import Iterable

from qlrf_pipelines.domain.approval import (
    Approved,
    Conditions,
    Decision,
    DecisionKind,
    Pending,
    Standing,
)
from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.roles import person
from qlrf_pipelines.domain.tasks import RUNNING, TaskState

_NEEDS_REASON = frozenset(DecisionKind) - {DecisionKind.APPROVE, DecisionKind.DELEGATE}
_YES = (DecisionKind.APPROVE, DecisionKind.BREAK_GLASS)
_LEAST = 10


def worded(decision: Decision) -> None:
    """Make sure that a decision says what it must.

    Raises:
        Rejected: a reason is missing, its delegate is nobody else, or its conditions never hold.
    """
    if decision.kind in _NEEDS_REASON and not decision.reason.strip():
        raise Rejected(f"{decision.kind} needs a reason; give one with --reason.")
    if decision.kind is DecisionKind.BREAK_GLASS and len(decision.reason.strip()) < _LEAST:
        raise Rejected(
            "Breaking the glass needs a reason somebody can review: "
            f"{_LEAST} characters or more with --reason."
        )
    if decision.kind is DecisionKind.DELEGATE and person(decision.delegate) == person(decision.by):
        raise Rejected("A delegation is to somebody else; give another name with --to.")
    if not decision.conditions.possible:
        raise Rejected("No moment or batch can meet these conditions; look at them again.")
    ends = decision.conditions.not_after
    if ends is not None and ends <= decision.at:
        raise Rejected("The window of this approval is over already.")


def fitting(decision: Decision, limits: Conditions, earlier: Iterable[Decision]) -> None:
    """Make sure that a yes leaves a moment in which all that people want can be kept.

    The strictest of each condition holds, so two windows apart are an approval that never starts.

    Raises:
        Rejected: there is no such moment.
    """
    if decision.kind not in _YES:
        return
    for one in earlier:
        if one.kind in _YES:
            limits = limits.within(one.conditions)
    if not limits.within(decision.conditions).possible:
        raise Rejected(
            "No moment meets these conditions together with those of the request and of earlier "
            "approvals; look at them with `qlrf tasks show`, and request changes to start over."
        )


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
    if state is TaskState.PLANNED:
        return "changes were requested: it is asked for again once its document is revised"
    return f"nothing is left to {kind.replace('_', ' ')}"
