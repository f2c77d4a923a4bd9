"""Metrics: numbers over time, kept by somebody else."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One sample; its value may be NaN or infinite, as the source said it."""

    at: datetime
    value: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """Samples in the order of time; never empty."""

    points: tuple[Point, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class NoSeries:
    """The source was asked, answered, and knows nothing of it."""

    why: str


class MetricSource(ABC):
    """Somebody who keeps metrics and can be asked for them.

    `lag` is how old the newest sample of something that lives may be; an older one says nothing of
    now.
    """

    lag: timedelta

    @abstractmethod
    def series(
        self, query: str, *, start: datetime, end: datetime, step: timedelta
    ) -> Series | NoSeries:
        """One sample for each step after `start` up to `end`, where there is one.

        Raises:
            Unavailable: nobody answered, or half an answer came (Denied: not to us).
            Rejected: the query is none, or answers with more than one series.
        """
