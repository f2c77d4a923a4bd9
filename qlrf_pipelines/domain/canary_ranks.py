"""Two samples compared by ranks: is the second larger, by how much, and how sure is that?

Everything is one-sided: the alternative is always "the second sample is larger". Whoever worries
about smaller values negates both samples. Infinite values are allowed: they stand for samples that
are missing and are taken as the worst they could have been.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from qlrf_pipelines.domain.canary_counts import student_tail

Array = NDArray[np.float64]

_EXACT_PAIRS = 2500  # up to 50 against 50 the null distribution is counted, not approximated
_EXACT_TIED = 40  # pooled samples up to which it is counted although some values are equal
_MANY = 30  # samples per side from which ranks alone decide
_TWO_TESTS = 1.2  # what asking both costs
_LISTED_PAIRS = 250_000  # differences that are sorted outright; beyond, they are searched


@dataclass(frozen=True, slots=True, kw_only=True)
class RankTest:
    """Mann-Whitney's U of the second sample, and how rare it is if both are alike."""

    u: float
    p: float  # P(U' >= u)
    beyond: float  # P(U' > u), the next level, where no values are equal
    exact: bool
    superiority: float  # Vargha-Delaney's A: the chance that a value of the second is larger


def mann_whitney(first: Sequence[float], second: Sequence[float]) -> RankTest:
    """Whether the second sample is larger; exact for small samples, ties or not."""
    a, b = np.sort(np.asarray(first, float)), np.asarray(second, float)
    below = np.searchsorted(a, b, side="left")
    not_above = np.searchsorted(a, b, side="right")
    u = float((below + not_above).sum()) / 2
    m, n = len(b), len(a)
    pooled = np.concatenate([a, b])
    _, counts = np.unique(pooled, return_counts=True)
    tied = bool((counts > 1).any())
    exact = m * n <= _EXACT_PAIRS if not tied else m + n <= _EXACT_TIED
    if not exact:
        p = beyond = _normal_tail(u, m, n, counts)
    elif tied:
        p = beyond = _tied_tail(u, m, counts)
    else:
        p, beyond = (float(level) for level in _tail(m, n)[int(u) : int(u) + 2])
    return RankTest(u=u, p=p, beyond=beyond, exact=exact, superiority=u / (m * n))


def evidence(first: Sequence[float], second: Sequence[float], *, ranks: RankTest) -> float:
    """The p-value the judge goes by: Mann-Whitney's, helped by distances below 30 samples.

    Ranks of few samples are coarse: seven against seven know few levels, and five against five
    cannot fall below 0.4 %, however far apart they are. Welch's t may go to a third of the level of
    ranks, and further where samples do not overlap at all; ranks themselves are asked at half the
    level, and the sum of the values decides between two of their levels. Together they keep their
    false-alarm rate, by simulation, for normal and long-tailed values, and never exceed two and a
    half times that of ranks. Samples of very different sizes are left to ranks: the t of skewed
    values is then too eager.
    """
    m, n = len(second), len(first)
    equal = len(set(first) | set(second)) < m + n
    alike = max(m, n) <= 1.25 * min(m, n)
    if equal or not (ranks.exact and alike) or min(m, n) >= _MANY:
        return ranks.p  # rounded values are no normal ones, and many need no help
    welch = _welch(first, second)
    if ranks.u == m * n:
        return min(1.0, min(ranks.p, welch) * _TWO_TESTS)
    between = ranks.beyond + (ranks.p - ranks.beyond) * _share_above(first, second)
    return min(1.0, min(2 * between, max(welch, ranks.p / 3)) * _TWO_TESTS)


def _share_above(first: Sequence[float], second: Sequence[float]) -> float:
    """Of all deals of the values with these ranks' sum, about how many have a larger sum.

    Sum and rank sum of a random deal are jointly near normal, with moments known exactly.
    """
    m = len(second)
    values = np.concatenate([np.asarray(second, float), np.asarray(first, float)])
    values -= values.mean()
    ranks = values.argsort().argsort() - (len(values) - 1) / 2
    slope = float(values @ ranks) / float(ranks @ ranks)
    rest = values - slope * ranks
    spread = m * (len(values) - m) / (len(values) * (len(values) - 1)) * float(rest @ rest)
    return _upper_normal(float(rest[:m].sum()) / math.sqrt(spread)) if spread > 0 else 1.0


def shift(first: Sequence[float], second: Sequence[float]) -> float:
    """Hodges and Lehmann's estimate: the median of all differences, second minus first."""
    pairs = len(first) * len(second)
    low = kth_difference(first, second, rank=(pairs + 1) // 2)
    high = kth_difference(first, second, rank=pairs // 2 + 1)
    return low if low == high else (low + high) / 2


def shift_bounds(
    first: Sequence[float], second: Sequence[float], *, confidence: float
) -> tuple[float, float]:
    """The lowest and the highest shift that are believable, each with this confidence.

    They depend on the sizes and the order of differences alone, so that a larger value in the
    second sample, or a smaller one in the first, never lowers either.
    """
    pairs = len(first) * len(second)
    rank = critical_u(len(second), len(first), level=1 - confidence)
    if rank > pairs:
        return -math.inf, math.inf
    return (
        kth_difference(first, second, rank=pairs - rank + 1),
        kth_difference(first, second, rank=rank),
    )


def critical_u(m: int, n: int, *, level: float) -> int:
    """The smallest U with P(U' >= U) <= level; m·n + 1 if these sizes cannot attain the level."""
    if m * n <= _EXACT_PAIRS:
        return int(np.argmax(_tail(m, n) <= level))
    low, high = m * n // 2, m * n + 1
    while low < high:
        middle = (low + high) // 2
        if _normal_tail(middle, m, n, np.ones(1)) <= level:
            high = middle
        else:
            low = middle + 1
    return low


def kth_difference(first: Sequence[float], second: Sequence[float], *, rank: int) -> float:
    """The rank-th smallest (from 1) of all differences, second minus first."""
    a, b = np.sort(np.asarray(first, float)), np.sort(np.asarray(second, float))
    if len(a) * len(b) <= _LISTED_PAIRS:
        return float(np.partition((b[:, None] - a[None, :]).ravel(), rank - 1)[rank - 1])
    return _searched(a, b, rank)


def _searched(a: Array, b: Array, rank: int) -> float:
    lost = int(np.isposinf(b).sum()), int(np.isneginf(a).sum())
    finite = (len(b) - lost[0]) * (len(a) - lost[1])
    if rank > finite:
        return math.inf
    a, b = a[lost[1] :], b[: len(b) - lost[0]]
    low, high = float(b[0] - a[-1]), float(b[-1] - a[0])
    for _ in range(80):
        middle = (low + high) / 2
        # b - a <= middle, counted for every b
        if int((len(a) - np.searchsorted(a, b - middle, side="left")).sum()) >= rank:
            high = middle
        else:
            low = middle
    return high


@lru_cache(maxsize=256)
def _tail(m: int, n: int) -> Array:
    """P(U' >= u) for u = 0 .. mn + 1 when no two values are equal."""
    row = [np.ones(1) for _ in range(n + 1)]
    for i in range(1, m + 1):
        fresh = [np.ones(1)]
        for j in range(1, n + 1):
            chances = np.zeros(i * j + 1)
            chances[j:] += row[j] * (i / (i + j))
            chances[: i * (j - 1) + 1] += fresh[j - 1] * (j / (i + j))
            fresh.append(chances)
        row = fresh
    tail: Array = np.append(np.cumsum(row[n][::-1])[::-1], 0.0)
    return tail


def _tied_tail(u: float, m: int, counts: NDArray[np.int_]) -> float:
    """P(U' >= u) over every way to deal the pooled values into two samples."""
    ends = np.cumsum(counts)
    ranks = np.repeat(2 * ends - counts + 1, counts)  # twice the mid-ranks: whole numbers
    ways = np.zeros((m + 1, int(ranks.sum()) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, :-rank].copy()
    return float(ways[m][round(2 * u) + m * (m + 1) :].sum() / ways[m].sum())


def _normal_tail(u: float, m: int, n: int, counts: NDArray[np.int_] | Array) -> float:
    total = m + n
    ties = float((counts.astype(float) ** 3 - counts).sum()) / (total * (total - 1))
    deviation = math.sqrt(m * n / 12 * max(0.0, total + 1 - ties))
    return 1.0 if deviation == 0 else _upper_normal((u - m * n / 2 - 0.5) / deviation)


def _upper_normal(z: float) -> float:
    return math.erfc(z / math.sqrt(2)) / 2


def _welch(first: Sequence[float], second: Sequence[float]) -> float:
    """P of Welch's t if both means are equal; 1 where a sample is too small or constant."""
    a, b = np.asarray(first, float), np.asarray(second, float)
    if min(len(a), len(b)) < 3 or not (np.isfinite(a).all() and np.isfinite(b).all()):
        return 1.0
    va, vb = float(a.var(ddof=1)) / len(a), float(b.var(ddof=1)) / len(b)
    if va == 0 or vb == 0:
        return 1.0
    freedom = (va + vb) ** 2 / (va**2 / (len(a) - 1) + vb**2 / (len(b) - 1))
    return student_tail((float(b.mean()) - float(a.mean())) / math.sqrt(va + vb), freedom)
