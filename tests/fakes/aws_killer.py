"""An AWS connection that dies at a chosen call: before it is sent, after it, or with no answer."""

from enum import StrEnum
from typing import Any

from botocore.exceptions import ReadTimeoutError

from qlrf_pipelines.ports.executors import Operator
from resources.clouds.aws.connection import connect
from resources.clouds.aws.executor import AwsOperator
from resources.clouds.aws.hands import Turns
from resources.clouds.patience import Patience
from tests.fakes.moto_aws import OWN, MotoAws, aws_connector

KEYS = {"accessKeyId": "AKIAEXAMPLE", "secretAccessKey": "example"}


class Killed(BaseException):
    """What kill -9 looks like from inside: nothing catches it."""


class Death(StrEnum):
    """How a call ends the caller, or its answer."""

    BEFORE = "before"
    AFTER = "after"
    NO_ANSWER = "no answer"


class DyingConnection:
    """Passes calls on until the one that is not survived; `method` None counts every call."""

    def __init__(self, moto: MotoAws) -> None:
        patience = Patience(max_attempts=1, read_timeout=5, pool_size=8)
        self._real = connect(aws_connector(moto.url), KEYS, patience, changing=True)
        self.calls: list[str] = []
        self.sent: list[tuple[str, dict[str, Any]]] = []
        self._deaths: dict[int | str, Death] = {}
        self._repeated: set[str] = set()

    def dies(self, call: int | str, death: Death) -> None:
        """Die at the nth call from now, or at the next call of a method."""
        self._deaths[call if isinstance(call, str) else len(self.calls) + call] = death

    def repeats(self, call: str) -> None:
        """Send the next call of a method twice, as the SDK does that had no answer."""
        self._repeated.add(call)

    def client(self, service: str, region: str, *, once: bool = False) -> Any:
        return _Client(self._real.client(service, region, once=once), self)

    def pass_on(self, method: Any, name: str, parameters: dict[str, Any]) -> Any:
        death = self._deaths.pop(len(self.calls), None) or self._deaths.pop(name, None)
        self.calls.append(name)
        self.sent.append((name, parameters))
        if death is Death.BEFORE:
            raise Killed
        answer = method(**parameters)
        if name in self._repeated:
            self._repeated.discard(name)
            return method(**parameters)
        if death is Death.AFTER:
            raise Killed
        if death is Death.NO_ANSWER:
            raise ReadTimeoutError(endpoint_url="http://127.0.0.1")
        return answer


class _Client:
    def __init__(self, real: Any, connection: DyingConnection) -> None:
        self._real = real
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._real, name)
        return lambda **parameters: self._connection.pass_on(method, name, parameters)


def dying_operator(moto: MotoAws) -> tuple[Operator, DyingConnection]:
    """An operator, and the connection that can end it."""
    connection = DyingConnection(moto)
    return AwsOperator(connection, account=OWN, turns=Turns(8)), connection  # type: ignore[arg-type]
