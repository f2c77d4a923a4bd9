"""Moments as text, one way everywhere: ISO 8601, UTC, ending in Z."""

from datetime import UTC, datetime


def iso(moment: datetime, *, digits: bool = True) -> str:
    """A moment in UTC; with `digits`, to the microsecond. A naive one is taken as UTC."""
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if digits else "%Y-%m-%dT%H:%M:%SZ")


def from_iso(text: str) -> datetime:
    """A moment written as text with its zone.

    Raises:
        ValueError: that is no moment, or it says no zone.
    """
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{text!r} says no time zone")
    return found.astimezone(UTC)
