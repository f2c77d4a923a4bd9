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
_LISTED_PAIRS = 250_000  # differences that are sorted outright; beyond, they are searched


@dataclass(frozen=True, slots=True, kw_only=True)
class RankTest:
    """Mann-Whitney's U of the second sample, and how rare it is if both are alike."""

    u: float
    p: float  # P(U' >= u)
    beyond: float  # P(U' > u): the next smaller level this test can attain
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
        p, beyond = _normal_tails(u, m, n, counts)
    elif tied:
        p, beyond = _tied_tails(u, m, counts)
    else:
        tail = _tail(m, n)
        p, beyond = float(tail[int(u)]), float(tail[int(u) + 1])
    return RankTest(u=u, p=p, beyond=beyond, exact=exact, superiority=u / (m * n))


def evidence(first: Sequence[float], second: Sequence[float], *, ranks: RankTest) -> float:
    """The p-value the judge goes by: Mann-Whitney's, refined where its levels are coarse.

    Five against five know only the levels 0.4 %, 0.8 %, ...; between two attainable levels
    Welch's t decides: min(p, max(P(U' > u), p of Welch)). It is not asked where values are equal,
    since rounded values are no normal ones.
    """
    if not ranks.exact or len(set(first) | set(second)) < len(first) + len(second):
        return ranks.p
    return min(ranks.p, max(ranks.beyond, _welch(first, second)))


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
        if _normal_tails(middle, m, n, np.ones(1))[0] <= level:
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


def _tied_tails(u: float, m: int, counts: NDArray[np.int_]) -> tuple[float, float]:
    """Both tails, over every way to deal the pooled values into two samples."""
    ends = np.cumsum(counts)
    ranks = np.repeat(2 * ends - counts + 1, counts)  # twice the mid-ranks: whole numbers
    ways = np.zeros((m + 1, int(ranks.sum()) + 1))
    ways[0, 0] = 1
    for rank in ranks:
        ways[1:, rank:] += ways[:-1, :-rank].copy()
    chances = ways[m] / ways[m].sum()
    seen = round(2 * u) + m * (m + 1)
    return float(chances[seen:].sum()), float(chances[seen + 1 :].sum())


def _normal_tails(
    u: float, m: int, n: int, counts: NDArray[np.int_] | Array
) -> tuple[float, float]:
    total = m + n
    ties = float((counts.astype(float) ** 3 - counts).sum()) / (total * (total - 1))
    deviation = math.sqrt(m * n / 12 * max(0.0, total + 1 - ties))
    if deviation == 0:
        return 1.0, 0.0
    z = (u - m * n / 2) / deviation
    step = 0.5 / deviation
    return _upper_normal(z - step), _upper_normal(z + step)


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
