"""Processes as the system knows them: who lives, since when, whose child, how much memory."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A process by number and start: a number alone is given to others later."""

    pid: int
    started: int  # clock ticks since boot; 0 where the system does not tell

    @property
    def lives(self) -> bool:
        """Whether this very process still runs."""
        return identify(self.pid) == self


def identify(pid: int) -> Identity | None:
    """The process that has this number now; None if there is none, or only its remains."""
    fields = _stat(pid)
    if fields is None:
        if PROC.joinpath("self", "stat").exists() or not _answers(pid):
            return None
        return Identity(pid=pid, started=0)
    return None if fields[0] in "ZX" else Identity(pid=pid, started=int(fields[19]))


def descendants(roots: Iterable[int]) -> set[int]:
    """These processes and everything they started, directly or not, that still runs."""
    parents: dict[int, list[int]] = {}
    for entry in PROC.glob("[0-9]*"):
        fields = _stat(int(entry.name))
        if fields is not None and fields[0] not in "ZX":
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found: set[int] = set()
    waiting = list(roots)
    while waiting:
        pid = waiting.pop()
        if pid not in found and identify(pid) is not None:
            found.add(pid)
            waiting += parents.get(pid, [])
    return found


def memory_mib(pids: Iterable[int]) -> float | None:
    """Proportional memory of these processes together; None where the system does not tell."""
    total, told = 0, False
    for pid in pids:
        try:
            text = PROC.joinpath(str(pid), "smaps_rollup").read_text()
        except OSError:
            continue
        total += sum(int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))
        told = True
    return round(total / 1024, 1) if told else None


def parent_of(pid: int) -> int | None:
    """The number of a process's parent."""
    fields = _stat(pid)
    return None if fields is None else int(fields[1])


def _stat(pid: int) -> list[str] | None:
    try:
        return PROC.joinpath(str(pid), "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _answers(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
