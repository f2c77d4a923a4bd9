"""Ways into a namespace that write down every request, and end a caller, or an answer, at one."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from urllib.parse import urlsplit

import urllib3

from qlrf_pipelines.domain.errors import QlrfError
from resources.clouds.kubernetes.calls import KubernetesCalls
from resources.clouds.kubernetes.pod_exec import Ran
from tests.fakes.dying import Killed

_PATH = re.compile(
    r"/(?:api|apis/(?P<group>[^/]+))/v[0-9]+/namespaces/[^/]+/(?P<kind>[^/]+)(?P<name>/[^/]+)?"
)
_VERBS = {"PATCH": "patch", "POST": "create", "DELETE": "delete"}
_CHANGES = frozenset(_VERBS.values())


class Death(StrEnum):
    """How a request ends the caller, or its answer."""

    BEFORE = "before"
    AFTER = "after"
    NO_ANSWER = "no answer"


@dataclass(frozen=True)
class Asked:
    """A request, as a Role permits it."""

    verb: str
    kind: str
    group: str = ""

    @property
    def changes(self) -> bool:
        """Whether it may change an object."""
        return self.verb in _CHANGES and self.kind != "pods/exec"


@dataclass
class Watch:
    """What was asked, and what is to happen to the nth change from now, or to chosen requests."""

    asked: list[Asked] = field(default_factory=list)
    deaths: dict[int, Death] = field(default_factory=dict)
    faults: dict[tuple[str, str], list[int]] = field(default_factory=dict)
    on_patch: Callable[[], None] | None = None
    scripts: dict[str, Ran | QlrfError | None] = field(default_factory=dict)
    ran: list[tuple[str, str]] = field(default_factory=list)

    @property
    def changes(self) -> list[Asked]:
        """The requests that may have changed something."""
        return [one for one in self.asked if one.changes]

    def dies(self, change: int, death: Death) -> None:
        """Die at the nth change from now, from 0."""
        self.deaths[len(self.changes) + change] = death

    def spoils(self, verb: str, kind: str, *statuses: int) -> None:
        """Answer the next requests of a kind with these statuses; the server does not hear them."""
        self.faults[verb, kind] = list(statuses)


class WatchedCalls(KubernetesCalls):
    """The real way in, with a watch on it."""

    def __init__(self, *args: Any, watch: Watch, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._watch = watch
        self._pool: Any = _Pool(self._pool, watch)

    def run(self, pod: str, container: str, words: Sequence[str], *, seconds: float) -> Any:
        """A command, which ends as the watch says, or really is run."""
        self._watch.asked += [Asked("get", "pods/exec"), Asked("create", "pods/exec")]
        if words[-1] not in self._watch.scripts:
            return super().run(pod, container, words, seconds=seconds)
        assert list(words[:-1]) == ["sh", "-c"]
        self._watch.ran.append((pod, words[-1]))
        ends = self._watch.scripts[words[-1]]
        if isinstance(ends, QlrfError):
            raise ends
        return ends


class _Pool:
    def __init__(self, real: urllib3.PoolManager, watch: Watch) -> None:
        self._real = real
        self._watch = watch

    def request(self, method: str, url: str, **parts: Any) -> Any:
        found = _PATH.fullmatch(urlsplit(url).path)
        assert found is not None, url
        read = "get" if found["name"] else "list"
        verb = _VERBS.get(method, read)
        asked = Asked(verb, found["kind"], found["group"] or "")
        death = self._watch.deaths.pop(len(self._watch.changes), None) if asked.changes else None
        self._watch.asked.append(asked)
        statuses = self._watch.faults.get((verb, asked.kind))
        if statuses:
            return _refusal(statuses.pop(0))
        if death is Death.BEFORE:
            raise Killed(url)
        if verb == "patch" and self._watch.on_patch is not None:
            # Somebody else is quicker, once.
            meanwhile, self._watch.on_patch = self._watch.on_patch, None
            meanwhile()
        answer = self._real.request(method, url, **parts)
        if death is Death.AFTER:
            raise Killed(url)
        if death is Death.NO_ANSWER:
            raise urllib3.exceptions.ReadTimeoutError(None, url, "timed out")  # type: ignore[arg-type]
        return answer


def _refusal(status: int) -> urllib3.HTTPResponse:
    said = {"kind": "Status", "status": "Failure", "message": "not now", "code": status}
    return urllib3.HTTPResponse(body=json.dumps(said).encode(), status=status)
