"""How often, how long and how widely a platform's API is asked."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """Attempts per call, seconds for each answer, and connections kept open at once."""

    max_attempts: int
    read_timeout: float = 30
    pool_size: int = 16
