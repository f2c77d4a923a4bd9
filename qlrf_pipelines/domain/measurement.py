"""Measurement: what a drill proves about RTO and RPO, as pure functions of what was recorded.

Intervals are taken on a clock of the machine that never steps; the wall clock stands beside it for
people. Two readings of different boots cannot be compared, and what cannot be compared or was
not seen is not proven: there is no path from a missing value to `met`.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from qlrf_pipelines.domain.operations import Health

# The wall clock may be slewed a little by a time service; a step is more than this.
STEP_SECONDS = 0.5
_NANO = 1_000_000_000


class Verdict(StrEnum):
    """What a drill says about one target."""

    MET = "met"
    MISSED = "missed"
    NOT_PROVEN = "not_proven"


@dataclass(frozen=True, slots=True, kw_only=True)
class Instant:
    """One moment on two clocks: the wall's, and nanoseconds since the machine named by `boot`."""

    at: datetime
    ticks: int
    boot: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What one probe said, and when the answer was there."""

    probe: str
    health: Health
    instant: Instant
    why: str = ""
    phase: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class CanaryWrite:
    """One number that was to be written; `acknowledged` None means that nobody confirmed it."""

    member: str
    number: int
    attempted: Instant
    acknowledged: Instant | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """A number of seconds, or why there is none; `at_least` is what it cannot be below."""

    seconds: float | None
    why: str
    at_least: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What one member lost, in writes and seconds.

    `contiguous` is the last number of the unbroken run from the first that arrived; `lost` counts
    the acknowledged numbers behind it, of which `missing` are nowhere. `unsure` were written
    without anybody hearing whether they were kept; they count as neither.
    """

    member: str
    acknowledged: int
    contiguous: int
    lost: int | None
    missing: int | None
    unsure: int
    seconds: float | None
    why: str
    at_least: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A target, what was measured against it, and the verdict with its reason."""

    target: float | None
    seconds: float | None
    verdict: Verdict
    why: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ClockStep:
    """The wall clock moved by `seconds` against the other one, before this moment."""

    at: datetime
    seconds: float


def elapsed(start: Instant, end: Instant) -> float | None:
    """Seconds between two instants; None if no clock saw both."""
    if start.boot != end.boot or not start.boot or end.ticks < start.ticks:
        return None
    return (end.ticks - start.ticks) / _NANO


def clock_steps(instants: Iterable[Instant]) -> list[ClockStep]:
    """Where the wall clock stepped, in the order the instants were taken."""
    found: list[ClockStep] = []
    before: Instant | None = None
    for instant in instants:
        passed = None if before is None else elapsed(before, instant)
        if before is not None and passed is not None:
            shown = (instant.at - before.at).total_seconds()
            if abs(shown - passed) > STEP_SECONDS:
                found.append(ClockStep(at=instant.at, seconds=round(shown - passed, 3)))
        before = instant
    return found


def good_run(
    answers: Sequence[Answer], *, consecutive: int, max_gap_seconds: float
) -> tuple[Instant, int] | None:
    """The first instant and the length of the run of good answers that holds at the end.

    A bad or unknown answer breaks a run, and so does a time in which nobody asked; None is no run
    of `consecutive`.
    """
    first: Instant | None = None
    last: Instant | None = None
    length = 0
    for answer in answers:
        if answer.health is not Health.HEALTHY:
            first, last, length = None, None, 0
            continue
        gap = None if last is None else elapsed(last, answer.instant)
        if last is None or gap is None or gap > max_gap_seconds:
            first, length = answer.instant, 0
        last, length = answer.instant, length + 1
    return None if first is None or length < max(1, consecutive) else (first, length)


def measure_rto(
    declared: Instant | None,
    answers: Sequence[Answer],
    *,
    required: Mapping[str, int],
    max_gap_seconds: float,
    until: Instant | None = None,
) -> Measured:
    """From the declared incident to the first good answer of the last probe to hold.

    `required` is how many good answers in a row each probe needs; `until` is when it ended.
    """
    if declared is None:
        return Measured(seconds=None, why="no incident was declared")
    if not required:
        return Measured(seconds=None, why="the plan has no probe that could prove the service")
    waited = None if until is None else elapsed(declared, until)
    latest = 0.0
    for probe, consecutive in required.items():
        mine = [answer for answer in answers if answer.probe == probe]
        run = good_run(mine, consecutive=consecutive, max_gap_seconds=max_gap_seconds)
        if run is None:
            why = f"probe {probe} never gave {consecutive} good answers in a row that held"
            return Measured(seconds=None, why=why, at_least=waited)
        passed = elapsed(declared, run[0])
        if passed is None:
            why = "the machine restarted in between, so no clock saw both ends"
            return Measured(seconds=None, why=why)
        latest = max(latest, passed)
    return Measured(seconds=latest, why="declared incident to the first of the good answers")


def measure_loss(
    member: str, writes: Sequence[CanaryWrite], recovered: Sequence[int] | None
) -> Loss:
    """What of the acknowledged numbers a member recovered; `recovered` None is not known."""
    mine = sorted((w for w in writes if w.member == member), key=lambda w: w.number)
    acked = [write for write in mine if write.acknowledged is not None]
    unsure = len(mine) - len(acked)
    if not acked or recovered is None:
        why = "no write was acknowledged" if not acked else "the recovered numbers were not read"
        return Loss(
            member=member, acknowledged=len(acked), contiguous=0, lost=None, missing=None,
            unsure=unsure, seconds=None, why=why,
        )  # fmt: skip
    there = set(recovered)
    kept = 0
    while kept < len(acked) and acked[kept].number in there:
        kept += 1
    lost = len(acked) - kept
    seconds, at_least, why = _lost_seconds(acked, kept)
    return Loss(
        member=member,
        acknowledged=len(acked),
        contiguous=acked[kept - 1].number if kept else 0,
        lost=lost,
        missing=sum(write.number not in there for write in acked),
        unsure=unsure,
        seconds=seconds,
        why=why,
        at_least=at_least,
    )


def _lost_seconds(
    acked: Sequence[CanaryWrite], kept: int
) -> tuple[float | None, float | None, str]:
    """Seconds between the last write recovered and the last acknowledged."""
    if kept == len(acked):
        return 0.0, None, "every acknowledged write arrived"
    last = acked[-1].acknowledged
    start = acked[kept - 1 if kept else 0].acknowledged
    assert last is not None  # noqa: S101  only acknowledged writes come here
    assert start is not None  # noqa: S101
    passed = elapsed(start, last)
    if passed is None:
        return None, None, "the machine restarted in between, so no clock saw both ends"
    if not kept:
        return None, passed, "no write arrived, so the loss reaches back before the first one"
    return passed, None, "last write recovered to last write acknowledged"


def judge(measured: Measured, target: float | None, *, unproven: str = "") -> Judged:
    """Hold a measurement against its target; `unproven` says why nothing can be met."""

    def said(verdict: Verdict, why: str) -> Judged:
        return Judged(target=target, seconds=measured.seconds, verdict=verdict, why=why)

    if target is None:
        return said(Verdict.NOT_PROVEN, "no target is set")
    known = measured.seconds if measured.seconds is not None else measured.at_least
    if known is not None and known > target:
        return said(Verdict.MISSED, measured.why)
    if unproven:
        return said(Verdict.NOT_PROVEN, unproven)
    if measured.seconds is None:
        return said(Verdict.NOT_PROVEN, measured.why)
    return said(Verdict.MET, measured.why)


def worst(losses: Sequence[Loss]) -> Measured:
    """The loss of an application: its worst member's, and unknown if any member's is."""
    if not losses:
        return Measured(seconds=None, why="no member takes canary writes")
    unknown = [loss for loss in losses if loss.seconds is None]
    if unknown:
        floor = max((loss.at_least or 0.0 for loss in unknown), default=0.0)
        known = max((loss.seconds or 0.0 for loss in losses), default=0.0)
        why = f"{unknown[0].member}: {unknown[0].why}"
        return Measured(seconds=None, why=why, at_least=max(floor, known))
    most = max(losses, key=lambda loss: loss.seconds or 0.0)
    return Measured(seconds=most.seconds, why=f"{most.member}: {most.why}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranges:
    """Numbers as a few inclusive ranges, for rows and evidence."""

    pairs: tuple[tuple[int, int], ...] = field(default_factory=tuple)

    @classmethod
    def of(cls, numbers: Iterable[int]) -> "Ranges":
        """The ranges these numbers make."""
        found: list[tuple[int, int]] = []
        for number in sorted(set(numbers)):
            if found and number == found[-1][1] + 1:
                found[-1] = (found[-1][0], number)
            else:
                found.append((number, number))
        return cls(pairs=tuple(found))

    @property
    def numbers(self) -> list[int]:
        """The numbers again, ascending."""
        return [number for first, last in self.pairs for number in range(first, last + 1)]
