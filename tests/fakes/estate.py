"""An estate held in memory."""

from qlrf_pipelines.domain.errors import QlrfError
from qlrf_pipelines.domain.estate import Estate
from qlrf_pipelines.ports.estate import EstateStore


class FakeEstate(EstateStore):
    """Hands out `estate`, which a test may replace; raises `error` instead while it is set."""

    def __init__(self, estate: Estate | None = None, *, error: QlrfError | None = None) -> None:
        self.estate = estate or Estate()
        self.error = error
        self.loads = 0

    def load(self) -> Estate:
        self.loads += 1
        if self.error is not None:
            raise self.error
        return self.estate
