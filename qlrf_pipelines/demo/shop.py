"""A shop that takes orders all the time, and knows for itself which of them it lost.

It is what a drill's measurement is held against: a client that follows the service file like any
other, and counts with its own hands.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from types import TracebackType
from typing import Any, Self

Address = Callable[[], tuple[str, int]]
PAUSE_SECONDS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class ShopBooks:
    """What the shop found: orders it was promised, those gone, and how long it could take none.

    `gone` were lost to its customers until the old primary came back, or for good.
    """

    promised: int
    lost: int
    closed_seconds: float


class Shop:
    """Takes orders in a thread of its own until it is closed."""

    def __init__(self, address: Address) -> None:
        self._address = address
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._take_orders, daemon=True)
        self.promised: list[tuple[int, float]] = []

    def __enter__(self) -> Self:
        """Open: make the table, and begin."""
        with self._connected() as cursor:
            cursor.execute("CREATE TABLE IF NOT EXISTS orders (number bigint PRIMARY KEY)")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close."""
        self._stop.set()
        self._thread.join(timeout=10)

    def books(self) -> ShopBooks:
        """Count, after everything is over."""
        with self._connected() as cursor:
            cursor.execute("SELECT number FROM orders")
            there = {int(row[0]) for row in cursor.fetchall()}
        told = list(self.promised)
        gaps = [later[1] - earlier[1] for earlier, later in pairwise(told)]
        return ShopBooks(
            promised=len(told),
            lost=sum(number not in there for number, _ in told),
            closed_seconds=max(gaps, default=0.0),
        )

    def _take_orders(self) -> None:
        import psycopg2

        number = 0
        while not self._stop.is_set():
            with suppress(psycopg2.Error), self._connected() as cursor:
                while not self._stop.is_set():
                    number += 1
                    cursor.execute("INSERT INTO orders VALUES (%s)", (number,))
                    self.promised.append((number, time.monotonic()))
                    self._stop.wait(PAUSE_SECONDS)
            self._stop.wait(PAUSE_SECONDS)

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        import psycopg2

        host, port = self._address()
        opened = psycopg2.connect(
            host=host, port=port, user="postgres", dbname="postgres", connect_timeout=2
        )
        try:
            opened.autocommit = True
            with opened.cursor() as cursor:
                yield cursor
        finally:
            opened.close()
