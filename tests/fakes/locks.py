"""Locks within one process."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from qlrf_pipelines.domain.errors import Refused
from qlrf_pipelines.ports.locks import Locks


class FakeLocks(Locks):
    """One threading lock per name; `held` lists the names in the order they were taken."""

    def __init__(self) -> None:
        self.held: list[str] = []
        self._locks: dict[str, threading.Lock] = {}
        self._door = threading.Lock()

    @contextmanager
    def hold(self, names: Sequence[str], *, wait_seconds: float) -> Iterator[None]:
        with ExitStack() as stack:
            for name in sorted(set(names)):
                with self._door:
                    lock = self._locks.setdefault(name, threading.Lock())
                if not lock.acquire(timeout=wait_seconds):
                    raise Refused(f"{name} is being refreshed by somebody else; try again later.")
                stack.callback(lock.release)
                self.held.append(name)
            yield
