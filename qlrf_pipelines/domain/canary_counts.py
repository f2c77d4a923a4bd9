"""Rare events counted on two sides, exactly: no large samples, no normal curve, no zero problem."""

import math

_TINY = 1e-300
_STEPS = 300


def fisher(first: tuple[int, int], second: tuple[int, int]) -> float:
    """Fisher's exact test, one-sided: (events, total) of both; is the second's rate higher?

    The probability of at least as many events on the second side, given how many there were in
    all. It needs no event on the first side.
    """
    (e1, n1), (e2, n2) = first, second
    events, everything = e1 + e2, n1 + n2
    log_p = _log_choose(n2, e2) + _log_choose(n1, e1) - _log_choose(everything, events)
    term = total = 1.0
    for x in range(e2, min(events, n2)):
        term *= (events - x) / (x + 1) * (n2 - x) / (n1 - events + x + 1)
        total += term
        if term < total * 1e-17:
            break
    # Under the mode the sum is large and its terms rise first: nothing there is rare anyway.
    return min(1.0, math.exp(min(0.0, log_p + math.log(total))))


def binomial_tail(events: int, total: int, *, rate: float) -> float:
    """P(X >= events) of `total` independent trials."""
    if events <= 0:
        return 1.0
    if events > total:
        return 0.0
    return beta_share(events, total - events + 1, rate)


def rate_bounds(events: int, total: int, *, confidence: float) -> tuple[float, float]:
    """Clopper and Pearson's exact bounds of a rate, each with this confidence."""
    level = 1 - confidence
    low = 0.0 if events == 0 else _solve(events, total - events + 1, level)
    high = 1.0 if events >= total else _solve(events + 1, total - events, confidence)
    return low, high


def ratio_bounds(
    first: tuple[int, int], second: tuple[int, int], *, confidence: float
) -> tuple[float, float]:
    """Exact bounds of the ratio of two rates (second over first), each with this confidence.

    Of all events, the share that falls on the second side is binomial; its bounds are the ratio's.
    """
    (e1, n1), (e2, n2) = first, second
    if e1 + e2 == 0:
        return 0.0, math.inf
    low, high = rate_bounds(e2, e1 + e2, confidence=confidence)
    exposure = n1 / n2
    return _odds(low) * exposure, _odds(high) * exposure


def student_tail(t: float, freedom: float) -> float:
    """P(T >= t) of Student's t."""
    half = beta_share(freedom / 2, 0.5, freedom / (freedom + t * t)) / 2
    return half if t >= 0 else 1 - half


def beta_share(a: float, b: float, x: float) -> float:
    """The regularised incomplete beta function, by its continued fraction (Lentz)."""
    if x <= 0:
        return 0.0
    if x >= 1:
        return 1.0
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_share(b, a, 1 - x)
    log_front = (
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    return math.exp(log_front) * _fraction(a, b, x) / a


def _fraction(a: float, b: float, x: float) -> float:
    c, d = 1.0, 1 / _kept(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, _STEPS + int(math.sqrt(a + b))):
        for factor in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _kept(1 + factor * d)
            c = _kept(1 + factor / c)
            result *= d * c
        if abs(d * c - 1) < 1e-13:
            break
    return result


def _kept(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


def _solve(a: float, b: float, share: float) -> float:
    """The x whose incomplete beta is `share`."""
    low, high = 0.0, 1.0
    for _ in range(45):
        middle = (low + high) / 2
        if beta_share(a, b, middle) < share:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _odds(share: float) -> float:
    return math.inf if share >= 1 else share / (1 - share)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
