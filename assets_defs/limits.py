"""The numbers assets and jobs are run with, handed in from the settings."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How much at once, how long to wait, how long to keep."""

    workers: int = 16
    lock_wait_seconds: float = 600.0
    keep_hours: int = 168
