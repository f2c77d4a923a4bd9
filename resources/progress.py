"""Progress when nobody watches."""

from qlrf_pipelines.domain.inventory import Certificate, Scope
from qlrf_pipelines.ports.progress import Progress


class SilentProgress(Progress):
    """Tells nobody."""

    def planned(self, scope: Scope) -> None:
        """Nothing."""

    def paged(self, scope: Scope, *, listed: int) -> None:
        """Nothing."""

    def listed(self, certificate: Certificate) -> None:
        """Nothing."""

    def said(self, message: str) -> None:
        """Nothing."""
