"""Schedules: the second Saturday is one, midnight is crossed, and a bad zone is an error."""

from datetime import UTC, date, datetime, time, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from qlrf_pipelines.domain.errors import Rejected
from qlrf_pipelines.domain.schedules import (
    Span,
    Weekday,
    WeeklyWindow,
    between,
    clock_time,
    cron,
    duration,
    next_span,
    weekday,
    zone,
)

NEW_YORK = "America/New_York"
SECOND_SATURDAY = "0 2 * * 6#2"
YEARS = st.dates(date(2020, 1, 1), date(2040, 12, 31))


def at(day: int, hour: int, minute: int = 0, month: int = 11) -> datetime:
    return datetime(2026, month, day, hour, minute, tzinfo=UTC)


@given(day=YEARS)
def test_the_second_saturday_is_a_saturday_from_the_8th_to_the_14th(day: date) -> None:
    fires = cron(SECOND_SATURDAY).fires_on(day)

    assert fires == (day.weekday() == 5 and 8 <= day.day <= 14)


def test_the_second_saturday_follows_the_clocks_of_its_zone() -> None:
    after = cron(SECOND_SATURDAY).next_after(at(1, 0), timezone=NEW_YORK)

    assert after == at(14, 7)  # 02:00 in New York, in winter


@pytest.mark.parametrize(
    "text",
    [
        "0 2 8-14 * 6",
        "0 2 * *",
        "60 * * * *",
        "* * * * 8",
        "0 2 * * 6#6",
        "*/0 * * * *",
        "5-1 * * * *",
        "²  * * * *",
    ],
)
def test_what_is_no_schedule_or_a_trap_is_rejected(text: str) -> None:
    with pytest.raises(Rejected, match="no schedule"):
        cron(text)


def test_cron_reads_names_ranges_steps_and_both_sundays() -> None:
    found = cron("*/30 8-10/2 * JAN,dec sun,7")

    assert found.minutes == {0, 30}
    assert found.hours == {8, 10}
    assert found.months == {1, 12}
    assert found.weekdays == {Weekday.SUNDAY}


def test_a_day_that_never_comes_is_never() -> None:
    assert cron("0 0 31 2 *").next_after(at(1, 0), timezone="UTC") is None


def test_an_hour_the_clocks_skip_is_the_moment_they_jump_to() -> None:
    found = cron("30 2 8 3 *").next_after(datetime(2026, 3, 7, tzinfo=UTC), timezone=NEW_YORK)

    assert found == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)


@pytest.mark.parametrize("name", ["Monday", "MONDAY", "monday", "mon", " Mon "])
def test_weekdays_are_read_in_any_case(name: str) -> None:
    assert weekday(name) is Weekday.MONDAY


@pytest.mark.parametrize("name", ["", "m", "mo", "mondayish", "1"])
def test_what_is_no_weekday_is_rejected(name: str) -> None:
    with pytest.raises(Rejected, match="no weekday"):
        weekday(name)


@pytest.mark.parametrize("name", ["", "Mars/Olympus", "../etc/passwd", "America"])
def test_a_bad_zone_is_an_error_and_never_utc(name: str) -> None:
    with pytest.raises(Rejected, match="no time zone"):
        zone(name)


@pytest.mark.parametrize("text", ["", "5", "m", "-5m", "1.5h", "5 m", "5w"])
def test_a_duration_needs_its_unit(text: str) -> None:
    with pytest.raises(Rejected, match="no duration"):
        duration(text)


def test_a_window_over_midnight_holds_both_sides_of_it() -> None:
    friday_night = between((Weekday.FRIDAY,), clock_time("22:00"), clock_time("04:00"))

    assert friday_night.contains(at(6, 23), timezone="UTC")
    assert friday_night.contains(at(7, 3, 59), timezone="UTC")
    assert not friday_night.contains(at(7, 4), timezone="UTC")
    assert not friday_night.contains(at(6, 3), timezone="UTC")
    assert not friday_night.contains(at(7, 23), timezone="UTC")


def test_a_window_is_in_the_zone_it_was_written_in() -> None:
    morning = between((), clock_time("09:00"), clock_time("10:00"))

    assert morning.contains(at(3, 14, 30), timezone=NEW_YORK)
    assert not morning.contains(at(3, 9, 30), timezone=NEW_YORK)


SUNDAY_NIGHT = between((Weekday.SATURDAY,), clock_time("22:00"), clock_time("06:00"))


@pytest.mark.parametrize(
    ("month", "day", "ends"),
    [(10, 24, at(25, 5, month=10)), (11, 7, at(8, 5)), (3, 28, at(29, 4, month=3))],
)
def test_a_window_until_a_time_of_day_ends_as_clocks_show_it_also_when_they_change(
    month: int, day: int, ends: datetime
) -> None:
    opens = datetime(2026, month, day, 22, tzinfo=zone("Europe/Berlin"))
    span = next_span([SUNDAY_NIGHT], opens.astimezone(UTC), timezone="Europe/Berlin")

    assert span == Span(opens_at=opens.astimezone(UTC), closes_at=ends)
    last = ends - timedelta(minutes=1)
    assert SUNDAY_NIGHT.contains(last, timezone="Europe/Berlin")
    assert not SUNDAY_NIGHT.contains(ends, timezone="Europe/Berlin")
    change = Span(opens_at=last, closes_at=ends + timedelta(hours=1))
    assert SUNDAY_NIGHT.touches(change, timezone="Europe/Berlin")


def test_a_window_with_a_duration_lasts_that_long_also_when_clocks_change() -> None:
    opens = at(24, 20, month=10)
    night = WeeklyWindow(
        days=(Weekday.SATURDAY,), start=clock_time("22:00"), lasts=timedelta(hours=8)
    )

    span = next_span([night], opens, timezone="Europe/Berlin")

    assert span == Span(opens_at=opens, closes_at=opens + timedelta(hours=8))


@given(start=st.times(), end=st.times(), day=YEARS)
def test_a_window_holds_every_moment_clocks_show_within_it_on_whatever_day(
    start: time, end: time, day: date
) -> None:
    start, end = (one.replace(second=0, microsecond=0) for one in (start, end))
    window = between((), start, end)
    midnight = datetime.combine(day, time(0), tzinfo=UTC)

    for minutes in range(0, 24 * 60, 30):
        moment = midnight + timedelta(minutes=minutes)
        shown = moment.astimezone(zone(NEW_YORK)).time()
        inside = start <= shown < end if start < end else shown >= start or shown < end
        if inside:
            assert window.contains(moment, timezone=NEW_YORK)


def test_the_open_window_comes_before_the_next_one() -> None:
    nights = between((), clock_time("22:00"), clock_time("02:00"))

    span = next_span([nights], at(3, 1), timezone="UTC")

    assert span == Span(opens_at=at(2, 22), closes_at=at(3, 2))
    assert next_span([], at(3, 1), timezone="UTC") is None


@given(hours=st.integers(0, 24 * 14), length=st.integers(1, 72))
def test_touching_is_having_a_moment_in_common(hours: int, length: int) -> None:
    window = between((Weekday.FRIDAY, Weekday.SUNDAY), clock_time("22:00"), clock_time("04:00"))
    start = at(1, 0) + timedelta(hours=hours)
    span = Span(opens_at=start, closes_at=start + timedelta(hours=length))

    inside = any(window.contains(start + timedelta(hours=h), timezone="UTC") for h in range(length))

    assert window.touches(span, timezone="UTC") == inside
