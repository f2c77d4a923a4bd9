"""The real clock, and ids that sort by the time they were made."""

import secrets
import threading
from datetime import UTC, datetime

from qlrf_pipelines.ports.clock import Clock, Ids

_DIGITS = "0123456789abcdefghjkmnpqrstvwxyz"  # Crockford's: nothing that looks like something else


class SystemClock(Clock):
    """What the machine says."""

    def now(self) -> datetime:
        """The present moment, in UTC, with microseconds."""
        return datetime.now(UTC)  # noqa: TID251  this is the port's real side


class TimeSortedIds(Ids):
    """Microseconds, then chance: later ids of one process are greater; two processes never meet."""

    def __init__(self, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._last = 0
        self._lock = threading.Lock()

    def new(self) -> str:
        """A new id of 21 characters, sortable by the time it was made."""
        with self._lock:
            self._last = max(self._last + 1, int(self._clock.now().timestamp() * 1_000_000))
            moment = self._last
        return _base32(moment, 11) + _base32(secrets.randbits(50), 10)


def _base32(number: int, length: int) -> str:
    return "".join(_DIGITS[number >> 5 * place & 31] for place in reversed(range(length)))
