"""A progress that remembers what it was told."""

from qlrf_pipelines.domain.inventory import Certificate, Scope
from qlrf_pipelines.ports.progress import Progress


class FakeProgress(Progress):
    """Keeps everything in lists."""

    def __init__(self) -> None:
        self.scopes_planned: list[Scope] = []
        self.certificates: list[Certificate] = []
        self.messages: list[str] = []

    def planned(self, scope: Scope) -> None:
        self.scopes_planned.append(scope)

    def paged(self, scope: Scope, *, listed: int) -> None:
        pass

    def listed(self, certificate: Certificate) -> None:
        self.certificates.append(certificate)

    def said(self, message: str) -> None:
        self.messages.append(message)
