"""What several drills say together: what was observed, how it moves, and a 95 % upper bound.

Exact methods for few numbers: Clopper-Pearson for a share, order statistics for a quantile. Too few
drills have no bound, and none is made up.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import comb

CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True, kw_only=True)
class Spread:
    """Seconds over several drills, oldest first, None where one measured nothing.

    `median_upper` bounds the median with 95 % confidence and needs five drills; `covered` is the
    share of all such drills that, with 95 % confidence, is not above `highest`.
    """

    drills: int
    measured: int
    latest: float | None
    highest: float | None
    median_upper: float | None
    covered: float | None
    trend: float | None


def spread(values: Sequence[float | None]) -> Spread:
    """What these drills, oldest first, say together."""
    known = [value for value in values if value is not None]
    return Spread(
        drills=len(values),
        measured=len(known),
        latest=values[-1] if values else None,
        highest=max(known, default=None),
        median_upper=quantile_upper(known, 0.5),
        covered=(1 - CONFIDENCE) ** (1 / len(known)) if known else None,
        trend=slope(known),
    )


def quantile_upper(
    values: Sequence[float], quantile: float, *, confidence: float = CONFIDENCE
) -> float | None:
    """The smallest observed value that is an upper bound of the quantile; None if too few.

    The k-th smallest of n lies above the quantile q exactly if fewer than k values lie below it,
    which has probability P(Bin(n, q) < k).
    """
    ordered, n = sorted(values), len(values)
    for k in range(1, n + 1):
        if _at_most(k - 1, n, quantile) >= confidence:
            return ordered[k - 1]
    return None


def failure_upper(failed: int, drills: int, *, confidence: float = CONFIDENCE) -> float | None:
    """The Clopper-Pearson upper bound of the share of drills that fail; None without a drill."""
    if drills <= 0:
        return None
    if failed >= drills:
        return 1.0
    low, high = failed / drills, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        if _at_most(failed, drills, middle) > 1 - confidence:
            low = middle
        else:
            high = middle
    return high


def slope(values: Sequence[float]) -> float | None:
    """Seconds more per drill, as the median of all pairs (Theil-Sen); None below three."""
    if len(values) < 3:
        return None
    found = sorted(
        (values[later] - values[earlier]) / (later - earlier)
        for earlier in range(len(values))
        for later in range(earlier + 1, len(values))
    )
    middle = len(found) // 2
    return found[middle] if len(found) % 2 else (found[middle - 1] + found[middle]) / 2


def _at_most(k: int, n: int, share: float) -> float:
    """P(Bin(n, share) <= k)."""
    return sum(comb(n, i) * share**i * (1 - share) ** (n - i) for i in range(k + 1))
