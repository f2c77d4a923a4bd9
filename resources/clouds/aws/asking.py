"""A probe's command on every machine of a recovery side, over Systems Manager."""

import math
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from qlrf_pipelines.domain.errors import Denied, QlrfError, Unavailable
from qlrf_pipelines.domain.operations import Health, HealthReport
from resources.clouds.aws.commanding import STILL, invocation, ping_of, send_to
from resources.clouds.aws.hands import Hands, Instance
from resources.clouds.aws.hooking import is_windows, script
from resources.recovery.answering import bad, judged, unasked

COMMENT = "qlrf probe"
# The least Systems Manager takes: an answer that comes later is of no use to anybody.
DELIVERY_SECONDS = 30
POLL_SECONDS = 0.5
_UNDELIVERED = ("Pending", "Delayed")
_WORST = (Health.UNHEALTHY, Health.UNKNOWN, Health.HEALTHY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """A probe's command, the answer that is good, and how long it may take."""

    words: tuple[str, ...]
    expect: str | None
    seconds: float

    @classmethod
    def of(cls, check: Mapping[str, Any], seconds: float) -> "Question":
        """The question of a check."""
        return cls(words=tuple(check["command"]), expect=check.get("expect"), seconds=seconds)


def asked_on(
    hands: Hands,
    machines: Sequence[Instance],
    question: Question,
    *,
    pause: Callable[[float], None] = time.sleep,
) -> HealthReport:
    """The worst answer of all machines, which are asked at the same time."""
    until = time.monotonic() + question.seconds
    sent = [(machine, _sent(hands, machine, question)) for machine in machines]
    answers = [
        said
        if isinstance(said, HealthReport)
        else _heard(hands, str(machine["InstanceId"]), said, question, until=until, pause=pause)
        for machine, said in sent
    ]
    return min(answers, key=lambda answer: _WORST.index(answer.health))


def text_of(words: Sequence[str], *, windows: bool) -> str:
    """A program and its arguments, none of them read by a shell, as the shell there takes them."""
    if not windows:
        return shlex.join(words)
    quoted = " ".join("'" + word.replace("'", "''") + "'" for word in words)
    # Without the first line a program that does not exist would end with 0.
    return f"$ErrorActionPreference = 'Stop'\n& {quoted}\nexit $LASTEXITCODE"


def _sent(hands: Hands, machine: Instance, question: Question) -> str | HealthReport:
    windows = is_windows(machine)
    document, parameters = script(
        text_of(question.words, windows=windows),
        windows=windows,
        seconds=str(max(1, math.ceil(question.seconds))),
    )
    try:
        return send_to(
            hands,
            str(machine["InstanceId"]),
            document,
            parameters,
            comment=COMMENT,
            delivery_seconds=DELIVERY_SECONDS,
        )
    except QlrfError as error:
        return unasked(str(error))


def _heard(
    hands: Hands,
    name: str,
    command: str,
    question: Question,
    *,
    until: float,
    pause: Callable[[float], None],
) -> HealthReport:
    """What a machine says by the deadline, looked at once more when it has come."""
    while True:
        last = time.monotonic() >= until
        try:
            found = invocation(hands, command, name)
        except Denied as error:
            return unasked(str(error))
        except Unavailable as error:
            if last:
                return unasked(str(error))
            found = None
        except QlrfError as error:
            return unasked(str(error))
        status = str(found["Status"]) if found else "Pending"
        if found and status not in STILL:
            return _ended(name, found, question)
        if last:
            return _late(hands, name, status, question)
        pause(max(0.0, min(POLL_SECONDS, until - time.monotonic())))


def _ended(name: str, found: Mapping[str, Any], question: Question) -> HealthReport:
    status = str(found["Status"])
    detail = str(found.get("StatusDetails") or status).replace(" ", "")
    if status in ("Success", "Failed"):
        code = int(found.get("ResponseCode") or 0)
        return judged(
            name,
            code=0 if status == "Success" else code or 1,
            out=str(found.get("StandardOutputContent") or ""),
            err=str(found.get("StandardErrorContent") or ""),
            expect=question.expect,
        )
    if detail in ("TimedOut", "ExecutionTimedOut"):
        return bad(f"{name}: no answer within {question.seconds:g} s.")
    return unasked(f"{name}: the command did not run ({detail}).")


def _late(hands: Hands, name: str, status: str, question: Question) -> HealthReport:
    """Nothing came in time: the workload's fault, unless nobody there could take the question."""
    late = f"{name}: no answer within {question.seconds:g} s"
    if status not in _UNDELIVERED:
        return bad(f"{late}; the command is {status}.")
    try:
        ping = ping_of(hands, name)
    except QlrfError as error:
        return unasked(f"{late}, and its agent cannot be asked for: {error}")
    if ping == "Online":
        return bad(f"{late}; the command is {status}.")
    return unasked(f"{late}; its agent is {ping or 'not known to Systems Manager'}.")
