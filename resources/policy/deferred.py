"""Policies loaded at the first question: a world that never asks pays nothing for them."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

from qlrf_pipelines.domain.errors import QlrfError, Unavailable
from qlrf_pipelines.domain.policy import Decision, NotAnswered, decide_or_deny
from qlrf_pipelines.ports.policy import PolicyEngine


class DeferredPolicies(PolicyEngine):
    """Asks the engine `make` returns; while there is none it answers no, and tries again."""

    def __init__(self, make: Callable[[], PolicyEngine]) -> None:
        self._make = make
        self._made: PolicyEngine | None = None
        self._lock = threading.Lock()

    def bundle_digest(self) -> str:
        """SHA-256 over the source of every package in use."""
        try:
            return self._engine().bundle_digest()
        except NotAnswered as error:
            raise Unavailable(str(error)) from error

    def decide(self, package: str, input: Mapping[str, Any]) -> Decision:
        """What a package says of an input; policies that cannot be loaded are a denial."""
        return decide_or_deny(
            lambda: self._engine().decide(package, input), package=package, engine="none"
        )

    def _engine(self) -> PolicyEngine:
        with self._lock:
            if self._made is None:
                self._made = self._attempt()
            return self._made

    def _attempt(self) -> PolicyEngine:
        try:
            return self._make()
        except QlrfError as error:
            raise NotAnswered(f"the policies cannot be used: {error}") from error
