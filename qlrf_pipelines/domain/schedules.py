"""When things may happen: zones, weekly windows, cron with the nth weekday of a month.

A wall-clock time that a zone skips in spring is the moment its clocks jump to; one that happens
twice in autumn is the first of the two, and the second where something lasts until then.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import IntEnum
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from qlrf_pipelines.domain.errors import Rejected

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]{1,5})([smhd])", re.ASCII)
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])", re.ASCII)
_DAY = timedelta(days=1)
# The fifth Sunday that is a 29 February comes every 28 years; a century may skip one of them.
_FARTHEST_DAYS = 366 * 41


class Weekday(IntEnum):
    """Days of the week, as `datetime.weekday()` counts them."""

    MONDAY = 0
    TUESDAY = 1
    WEDNESDAY = 2
    THURSDAY = 3
    FRIDAY = 4
    SATURDAY = 5
    SUNDAY = 6


def zone(name: str) -> ZoneInfo:
    """A time zone by its IANA name.

    Raises:
        Rejected: there is no such zone; UTC is never assumed in its place.
    """
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise Rejected(
            f'"{name}" is no time zone; use an IANA name such as America/New_York or UTC.'
        ) from error


def weekday(name: str) -> Weekday:
    """A weekday by its English name or its first three letters, in any case.

    Raises:
        Rejected: there is no such day; the empty name is none either.
    """
    folded = name.strip().casefold()
    for day in Weekday:
        if len(folded) >= 3 and folded in (day.name.casefold(), day.name.casefold()[:3]):
            return day
    raise Rejected(f'"{name}" is no weekday; use monday to sunday.')


def duration(text: str) -> timedelta:
    """`90s`, `30m`, `4h` or `14d` as a span of time.

    Raises:
        Rejected: it is no such text.
    """
    found = _DURATION.fullmatch(text)
    if found is None:
        raise Rejected(f'"{text}" is no duration; write 90s, 30m, 4h or 14d.')
    return timedelta(seconds=int(found[1]) * _UNITS[found[2]])


def clock_time(text: str) -> time:
    """`02:00` as a time of day.

    Raises:
        Rejected: it is no such text.
    """
    found = _CLOCK.fullmatch(text)
    if found is None:
        raise Rejected(f'"{text}" is no time of day; write HH:MM, such as 02:00.')
    return time(int(found[1]), int(found[2]))


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """From a moment until another, the end not included."""

    opens_at: datetime
    closes_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class WeeklyWindow:
    """A window that opens on some weekdays at a time of day and lasts, also over midnight.

    `days` empty means every day. With `until` it ends as clocks show that time, also in the night
    they are changed, and `lasts` is how long that is in any other.
    """

    days: tuple[Weekday, ...] = ()
    start: time
    lasts: timedelta
    until: time | None = None

    def spans(self, around: datetime, *, timezone: str, days: int = 8) -> Sequence[Span]:
        """The window's openings that may matter at a moment and in the days after it."""
        place = zone(timezone)
        first = (around.astimezone(place) - self.lasts).date() - _DAY
        reach = days + self.lasts.days + 2
        dates = (first + timedelta(days=n) for n in range(reach + 1))
        return [
            self._span(day, place)
            for day in dates
            if not self.days or Weekday(day.weekday()) in self.days
        ]

    def _span(self, day: date, place: ZoneInfo) -> Span:
        opens = _at(day, self.start, place)
        if self.until is None:
            return Span(opens_at=opens, closes_at=opens + self.lasts)
        last = day if self.until > self.start else day + _DAY
        closes = max(_at(last, self.until.replace(fold=fold), place) for fold in (0, 1))
        if closes <= opens:  # clocks skip its start, and show its end soon after
            opens = _at(day, self.start.replace(fold=1), place)
        return Span(opens_at=opens, closes_at=closes)

    def contains(self, moment: datetime, *, timezone: str) -> bool:
        """Whether a moment lies in the window, as clocks in that zone show it."""
        return any(
            s.opens_at <= moment < s.closes_at for s in self.spans(moment, timezone=timezone)
        )

    def touches(self, span: Span, *, timezone: str) -> bool:
        """Whether any part of a span lies in the window."""
        days = (span.closes_at - span.opens_at).days + 8
        found = self.spans(span.opens_at, timezone=timezone, days=days)
        return any(s.opens_at < span.closes_at and span.opens_at < s.closes_at for s in found)


def between(days: Sequence[Weekday], start: time, end: time) -> WeeklyWindow:
    """The window from one time of day to another; an end not after the start is on the next day."""
    minutes = (end.hour * 60 + end.minute) - (start.hour * 60 + start.minute)
    lasts = timedelta(minutes=minutes if minutes > 0 else minutes + 24 * 60)
    return WeeklyWindow(days=tuple(days), start=start, lasts=lasts, until=end)


def next_span(windows: Sequence[WeeklyWindow], moment: datetime, *, timezone: str) -> Span | None:
    """The window open at a moment, or the next to open; None without windows."""
    found = [s for w in windows for s in w.spans(moment, timezone=timezone)]
    return min(
        (s for s in found if s.closes_at > moment),
        key=lambda s: (s.opens_at, s.closes_at),
        default=None,
    )


def _at(day: date, clock: time, place: ZoneInfo) -> datetime:
    return datetime.combine(day, clock, tzinfo=place).astimezone(UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cron:
    """When a schedule fires: minute, hour, day of month, month, day of week.

    A day of week may name its place in the month: `6#2` is the second Saturday.
    """

    text: str
    minutes: frozenset[int]
    hours: frozenset[int]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[Weekday]
    nth: frozenset[tuple[Weekday, int]]

    def next_after(self, moment: datetime, *, timezone: str) -> datetime | None:
        """The first time it fires after a moment; None if it never does."""
        place = zone(timezone)
        first = moment.astimezone(place).date()
        for offset in range(_FARTHEST_DAYS):
            day = first + timedelta(days=offset)
            if not self.fires_on(day):
                continue
            times = (time(h, m) for h in sorted(self.hours) for m in sorted(self.minutes))
            found = next((a for t in times if (a := _at(day, t, place)) > moment), None)
            if found is not None:
                return found
        return None

    def fires_on(self, day: date) -> bool:
        """Whether it fires on a day of the calendar."""
        if day.month not in self.months or day.day not in self.days:
            return False
        own = Weekday(day.weekday())
        return own in self.weekdays or (own, (day.day - 1) // 7 + 1) in self.nth


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_SUNDAY_FIRST = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MONTH_NAMES = {name: number for number, name in enumerate(_MONTHS, 1)}
_DAY_NAMES = {name: number for number, name in enumerate(_SUNDAY_FIRST)}


def cron(text: str) -> Cron:
    """A cron expression of five fields, read strictly.

    Raises:
        Rejected: a field is wrong, or both a day of the month and a weekday are restricted: cron
            would fire on either, which is never what "the second Saturday" means.
    """
    parts = text.split()
    if len(parts) != 5:
        raise _no_cron(text, "it needs five fields: minute hour day month weekday")
    minute, hour, day, month, week = parts
    if day != "*" and week != "*":
        raise _no_cron(
            text,
            "it restricts the day of the month and the weekday, and cron fires on either;"
            " the second Saturday is 6#2 with * as the day",
        )
    plain = [item for item in week.split(",") if "#" not in item]
    nth = [item for item in week.split(",") if "#" in item]
    numbers = _numbers(text, ",".join(plain), 0, 7, _DAY_NAMES) if plain else frozenset()
    return Cron(
        text=text,
        minutes=_numbers(text, minute, 0, 59, {}),
        hours=_numbers(text, hour, 0, 23, {}),
        days=_numbers(text, day, 1, 31, {}),
        months=_numbers(text, month, 1, 12, _MONTH_NAMES),
        weekdays=frozenset(_from_sunday(number) for number in numbers),
        nth=frozenset(_nth(text, item) for item in nth),
    )


def _nth(text: str, item: str) -> tuple[Weekday, int]:
    name, _, place = item.partition("#")
    if place not in ("1", "2", "3", "4", "5"):
        raise _no_cron(text, f'"{item}" is no place in a month; write 6#1 to 6#5')
    return _from_sunday(_number(text, name, _DAY_NAMES, 0, 7)), int(place)


def _from_sunday(number: int) -> Weekday:
    """Cron counts from Sunday, and calls it 0 or 7."""
    return Weekday((number + 6) % 7)


def _numbers(
    text: str, field: str, low: int, high: int, names: Mapping[str, int]
) -> frozenset[int]:
    found: set[int] = set()
    for item in field.split(","):
        span, _, step = item.partition("/")
        if step and (not step.isascii() or not step.isdigit() or int(step) == 0):
            raise _no_cron(text, f'"{item}" has no step')
        if span == "*":
            first, last = low, high
        else:
            start, dash, end = span.partition("-")
            first = _number(text, start, names, low, high)
            last = _number(text, end, names, low, high) if dash else (high if step else first)
        if first > last:
            raise _no_cron(text, f'"{item}" ends before it begins')
        found |= set(range(first, last + 1, int(step or 1)))
    return frozenset(found)


def _number(text: str, word: str, names: Mapping[str, int], low: int, high: int) -> int:
    number = names.get(word.casefold())
    if number is None and word.isascii() and word.isdigit():
        number = int(word)
    if number is None or not low <= number <= high:
        raise _no_cron(text, f'"{word}" is not from {low} to {high}')
    return number


def _no_cron(text: str, why: str) -> Rejected:
    return Rejected(f'"{text}" is no schedule: {why}.')
