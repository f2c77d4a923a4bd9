"""A process that dies after a chosen change it makes through an adapter's way to its platform."""

from collections.abc import Callable
from typing import Any


class Killed(BaseException):
    """The process ended here; nobody hears the answer."""


class Dying:
    """Passes calls on to `inner`; dies when the `at`th change (from 0) was made.

    Dying before a change, or after a read, leaves the world as dying after the change before it
    does, with a checkpoint that is newer: those points are covered by the next earlier one. Ways
    of one process to several places stand `beside` each other and count together.
    """

    def __init__(
        self,
        inner: Any,
        *,
        at: int | None,
        changes: Callable[[str, tuple[Any, ...]], bool],
        beside: "Dying | None" = None,
    ) -> None:
        self._inner = inner
        self._at = at
        self._changes = changes
        self._made: list[str] = beside._made if beside else []

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return found

        def call(*args: Any, **kwargs: Any) -> Any:
            answer = found(*args, **kwargs)
            if self._changes(name, args):
                self._made.append(name)
                if len(self._made) - 1 == self._at:
                    raise Killed(name)
            return answer

        return call
