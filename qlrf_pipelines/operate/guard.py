"""The guard: ends process groups whose supervisor died without ending them itself.

Run as `python -I -S guard.py`, with a pipe as its standard input: `+N` names a group, `-N` forgets
it, and the end of the pipe without `done` is the supervisor's death. Standard library only.
"""

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterable

GRACE_SECONDS = 10.0


def watch(lines: "Iterable[str]") -> set[int]:
    """Read to the end of the pipe; the groups that are left to end."""
    groups: set[int] = set()
    for line in lines:
        word = line.strip()
        if word == "done":
            return set()
        if word.startswith("+"):
            groups.add(int(word[1:]))
        elif word.startswith("-"):
            groups.discard(int(word[1:]))
    return groups


def end(groups: set[int], grace: float = GRACE_SECONDS) -> None:
    """Ask the groups to end, then make them."""
    left = {group for group in groups if _signal(group, signal.SIGTERM)}
    deadline = time.monotonic() + grace
    while left and time.monotonic() < deadline:
        time.sleep(0.1)  # they are nobody's children: there is nothing to wait on
        left = {group for group in left if _signal(group, 0)}
    for group in left:
        _signal(group, signal.SIGKILL)


def _signal(group: int, number: int) -> bool:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
        return True
    return False


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    end(watch(sys.stdin))
