"""Reports nobody sets."""

from qlrf_pipelines.domain.paper import Paper
from qlrf_pipelines.ports.reports import Reports


class FakeReports(Reports):
    """Keeps what it was given; the bytes are those of its description."""

    def __init__(self) -> None:
        self.set: list[Paper] = []

    def pdf(self, paper: Paper) -> bytes:
        self.set.append(paper)
        return b"%PDF-" + repr(paper).encode()
