"""Progress: what a refresh tells whoever watches."""

from abc import ABC, abstractmethod

from qlrf_pipelines.domain.inventory import Certificate, Scope


class Progress(ABC):
    """Called from many threads; must not raise and must not block."""

    @abstractmethod
    def planned(self, scope: Scope) -> None:
        """A scope will be listed."""

    @abstractmethod
    def paged(self, scope: Scope, *, listed: int) -> None:
        """Another page was read; `listed` things so far."""

    @abstractmethod
    def listed(self, certificate: Certificate) -> None:
        """A scope is done, one way or the other."""

    @abstractmethod
    def said(self, message: str) -> None:
        """Anything else worth a line."""
