"""A book of what really changed in the simulated AWS, and a hand that strikes at a chosen line.

Moto runs in the test's own process, so the book outlives whoever calls it: run workers, daemons and
code servers may be killed, also in the middle of a call.
"""

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from moto.ec2.models.instances import Instance
from moto.ec2.responses import EC2Response

CALLS = ("run_instances", "stop_instances", "start_instances", "terminate_instances")
REPLACES = "qlrf:replaces"


@dataclass(slots=True, eq=False)
class _Strike:
    """Who is struck at the n-th call about one of some machines, before it is done or after."""

    call: str
    about: frozenset[str]
    left: int
    after: bool
    do: Callable[[], None]
    struck: threading.Event = field(default_factory=threading.Event)


class Book:
    """What replaced each machine, and what to do at which call; some replacements are sick."""

    def __init__(self) -> None:
        self._door = threading.Lock()
        self._usual = {name: getattr(EC2Response, name) for name in CALLS}
        self._status: Any = Instance.instance_status
        self._strikes: list[_Strike] = []
        self.sick: set[str] = set()
        for name in CALLS:
            setattr(EC2Response, name, self._written(name))
        status = self._status

        def instance_status(machine: Instance) -> dict[str, Any]:
            if replaced_by(machine) in self.sick and machine.state == "running":
                failed = {"Name": "reachability", "Status": "failed"}
                return {"Details": [failed], "Status": "impaired"}
            found: dict[str, Any] = status.fget(machine)
            return found

        Instance.instance_status = property(instance_status)

    def close(self) -> None:
        """Let moto answer as it usually does."""
        for name, usual in self._usual.items():
            setattr(EC2Response, name, usual)
        Instance.instance_status = self._status

    def strike(
        self,
        call: str,
        about: Collection[str],
        do: Callable[[], None],
        *,
        number: int = 1,
        after: bool = True,
    ) -> threading.Event:
        """Do something at the n-th such call about these machines, before its effect or after it.

        Whoever made the call has no answer yet. The event is set once it was done.
        """
        made = _Strike(call=call, about=frozenset(about), left=number, after=after, do=do)
        with self._door:
            self._strikes.append(made)
        return made.struck

    def _written(self, name: str) -> Callable[[Any], Any]:
        usual = self._usual[name]

        def call(response: Any) -> Any:
            due = self._due(name, _about(name, response))
            if due is not None and not due.after:
                due.do()
                due.struck.set()
            answer = usual(response)
            if due is not None and due.after:
                due.do()
                due.struck.set()
            return answer

        return call

    def _due(self, call: str, about: set[str]) -> _Strike | None:
        with self._door:
            for strike in self._strikes:
                if strike.call == call and strike.about & about:
                    strike.left -= 1
                    if strike.left == 0:
                        self._strikes.remove(strike)
                        return strike
        return None


def replaced_by(machine: Instance) -> str:
    """Which machine this one replaces; '' for none."""
    return next((str(t["value"]) for t in machine.get_tags() if t["key"] == REPLACES), "")


def _about(call: str, response: Any) -> set[str]:
    if call != "run_instances":
        return {str(one) for one in response._get_param("InstanceIds", [])}
    given = response._get_param("TagSpecifications", [])
    return {tag["Value"] for one in given for tag in one["Tags"] if tag["Key"] == REPLACES}
