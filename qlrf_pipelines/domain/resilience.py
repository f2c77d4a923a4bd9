"""How ready an application is to lose a site: words in order, and what puts a plan where it is.

What was not proven ranks below what was measured and missed: losing a measurement, a verdict, a
date or a target never makes anything look readier.
"""

from enum import StrEnum


class Readiness(StrEnum):
    """How a recovery plan stands, best to worst."""

    READY = "ready"
    PARTIAL = "partial"
    OVERDUE = "overdue"
    MISSED = "missed"
    NOT_PROVEN = "not_proven"
    FAILED = "failed"
    NEVER_DRILLED = "never_drilled"
    UNPLANNED = "unplanned"


RANKS = {readiness: rank for rank, readiness in enumerate(Readiness)}
# The last fifth of a plan's days: time to arrange the next drill.
DUE_SHARE = 0.2
NO_DATA = "no_data"
SCOPE_TYPES = ("tenant", "site", "pair", "application", "plan")
