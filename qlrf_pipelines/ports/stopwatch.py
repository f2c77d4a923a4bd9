"""The stopwatch: a clock that never steps, beside the one on the wall."""

from abc import ABC, abstractmethod

from qlrf_pipelines.domain.measurement import Instant


class Stopwatch(ABC):
    """One moment on both clocks, and waiting; what cannot be compared says so by its boot."""

    @abstractmethod
    def now(self) -> Instant:
        """This moment on both clocks; ticks of one boot only ever grow, in every process of it."""

    @abstractmethod
    def sleep(self, seconds: float) -> None:
        """Let that many seconds pass."""
