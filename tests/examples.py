"""How many examples a costly property gets: fewer in a usual run than in a thorough one."""

import os


def examples(usual: int, *, thorough: int) -> int:
    """The number for this run; `QLRF_THOROUGH=1` makes it a thorough one."""
    return thorough if os.environ.get("QLRF_THOROUGH") else usual
