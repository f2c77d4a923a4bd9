"""Broken glass: what an admin approved alone, and somebody else has to look at afterwards."""

from collections.abc import Iterable
from datetime import timedelta

from qlrf_pipelines.domain.approval import Decision, DecisionKind
from qlrf_pipelines.domain.roles import Permission, may, person

# After that long without a review of a broken glass, no other one is broken.
REVIEW_WITHIN = timedelta(hours=72)


def review_due(
    decisions: Iterable[Decision], *, requester: str, author: str = ""
) -> Decision | None:
    """The broken glass nobody else has looked at yet; None if there is none.

    Reviewing takes the right to approve, and is for neither the one who broke it nor the requester
    nor the author of the document.
    """
    broken: Decision | None = None
    for decision in sorted(decisions, key=lambda one: one.number):
        if decision.kind is DecisionKind.BREAK_GLASS:
            broken = decision
        elif decision.kind is DecisionKind.REVIEW and broken is not None:
            others = {person(broken.by), person(requester), person(author)}
            if person(decision.by) not in others and may(decision.role, Permission.APPROVE_TASKS):
                broken = None
    return broken
