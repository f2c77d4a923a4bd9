"""An API server on 127.0.0.1 that lists what it is given, by pages, and spoils chosen answers."""

import json
import ssl
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.served import Served

Object = dict[str, Any]
TOKEN = "a-very-secret-token"
KINDS = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}
WHO = "authentication.k8s.io/v1/selfsubjectreviews"


class Fault(StrEnum):
    """What happens to an answer."""

    ERROR_500 = "error_500"
    ERROR_503 = "error_503"
    THROTTLED = "throttled"
    DENIED = "denied"
    UNAUTHENTICATED = "unauthenticated"
    EXPIRED = "expired"  # the page's token is too old
    UNKNOWN = "unknown"  # no such path, in a proxy's words
    NO_PATH = "no_path"  # the same in the API server's words, which are those of what is gone
    CUT = "cut"  # half the body, its true length promised
    CUT_CLEAN = "cut_clean"  # half the body, and its own length says that is all
    PORTAL = "portal"  # somebody else's page, 200 OK
    ELSEWHERE = "elsewhere"  # sent on to another server
    NO_LIST = "no_list"  # an object of Kubernetes, and not the one that was asked for
    NO_ITEMS = "no_items"  # a list without its items
    NO_OBJECTS = "no_objects"  # a list of what are no objects
    OTHERS = "others"  # an empty list of something else
    RESET = "reset"
    STALLED = "stalled"


STATUS = {
    Fault.ERROR_500: (500, "InternalError"),
    Fault.ERROR_503: (503, "ServiceUnavailable"),
    Fault.THROTTLED: (429, "TooManyRequests"),
    Fault.DENIED: (403, "Forbidden"),
    Fault.UNAUTHENTICATED: (401, "Unauthorized"),
    Fault.EXPIRED: (410, "Expired"),
    Fault.UNKNOWN: (404, ""),
    Fault.NO_PATH: (404, "NotFound"),
}
BODIES: Mapping[Fault, Any] = {
    Fault.NO_LIST: {"kind": "Deployment", "apiVersion": "apps/v1", "metadata": {"name": "web"}},
    Fault.NO_ITEMS: {"kind": "DeploymentList", "apiVersion": "apps/v1", "metadata": {}},
    Fault.OTHERS: {"kind": "SecretList", "apiVersion": "v1", "metadata": {}, "items": []},
}


def workload(name: str, **parts: Any) -> Object:
    """A workload with two ready replicas, as an API server writes it."""
    pod = {"metadata": {}, "spec": {"containers": [{"name": "web", "image": "web:1.6.4"}]}}
    return {
        "metadata": {
            "name": name,
            "generation": 1,
            "creationTimestamp": "2026-10-01T00:00:00Z",
            "labels": {"app": name},
        },
        "spec": {"replicas": 2, "template": pod},
        "status": {"observedGeneration": 1, "replicas": 2, "readyReplicas": 2},
    } | parts


class FaultyKube(Served):
    """Namespaces -> plural kinds -> objects, in pages of `page_size` whatever a client asks for.

    Requests are counted by the last part of their path, `deployments` or the namespace's name.
    """

    def __init__(
        self,
        context: ssl.SSLContext,
        namespaces: Mapping[str, Mapping[str, Sequence[Object]]],
        *,
        page_size: int = 2,
    ) -> None:
        self.namespaces = {name: dict(kinds) for name, kinds in namespaces.items()}
        self.labels: dict[str, dict[str, str]] = {}
        self.page_size = page_size
        self.token = TOKEN
        self.asked: list[tuple[str, str]] = []  # method and path with query
        self.leads_back = False
        self._spoiled: dict[str, tuple[range, Fault]] = {}
        self._seen: Counter[str] = Counter()
        self._lock = threading.Lock()
        kube = self

        class Handler(_Handler):
            owner = kube

        server = _Server(("127.0.0.1", 0), Handler)
        server.socket = context.wrap_socket(
            server.socket, server_side=True, do_handshake_on_connect=False
        )
        super().__init__(server)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"https://127.0.0.1:{self.port}"

    def spoil(self, last: str, fault: Fault, *, nth: int = 0, times: int = 1_000_000) -> None:
        """Spoil answers to paths that end so, from the `nth` (from 0) request on; count anew."""
        with self._lock:
            self._seen.clear()
            self._spoiled[last] = (range(nth, nth + times), fault)

    def heal(self) -> None:
        """Answer everything as it is."""
        with self._lock:
            self._spoiled.clear()

    def fault(self, last: str) -> Fault | None:
        """Count a request and say what happens to its answer."""
        with self._lock:
            number = self._seen[last]
            self._seen[last] += 1
            numbers, fault = self._spoiled.get(last, (range(0), None))
            return fault if number in numbers else None

    def answer(self, path: str, start: int) -> tuple[int, Object]:
        """The true answer."""
        parts = path.strip("/").split("/")
        if path.endswith(WHO):
            return 201, {"kind": "SelfSubjectReview", "status": {"userInfo": {"username": "qlrf"}}}
        if parts == ["api", "v1", "namespaces"]:
            return 200, self._list("NamespaceList", [_namespace(n) for n in self.namespaces], start)
        if parts[:3] == ["api", "v1", "namespaces"]:
            if parts[3] not in self.namespaces:
                details = {"name": parts[3], "kind": "namespaces"}
                return 404, {"kind": "Status", "reason": "NotFound", "details": details}
            return 200, _namespace(parts[3], **self.labels.get(parts[3], {}))
        items = self.namespaces.get(parts[4], {}).get(parts[5], ())
        return 200, self._list(f"{KINDS[parts[5]]}List", items, start)

    def _list(self, kind: str, items: Sequence[Object], start: int) -> Object:
        end = start + self.page_size
        more = {"continue": str(0 if self.leads_back else end)} if end < len(items) else {}
        return {"kind": kind, "metadata": more, "items": list(items[start:end]) or None}


def _namespace(name: str, **labels: str) -> Object:
    return {"kind": "Namespace", "metadata": {"name": name, "labels": labels}}


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that does not believe us, or has heard enough, hangs up


class _Handler(BaseHTTPRequestHandler):
    owner: FaultyKube
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        split = urlsplit(self.path)
        self.owner.asked.append((self.command, self.path))
        last = split.path.rpartition("/")[2]
        fault = self.owner.fault(last)
        if self.headers.get("Authorization") != f"Bearer {self.owner.token}":
            fault = Fault.UNAUTHENTICATED
        if fault is Fault.STALLED:
            self.owner.stall()
            self.close_connection = True
        elif fault is Fault.RESET:
            self.close_connection = True
            self.connection.close()
        elif fault in (None, Fault.CUT, Fault.CUT_CLEAN):
            start = int(parse_qs(split.query).get("continue", ["0"])[0])
            self._pass_on(*self.owner.answer(split.path, start), fault)
        else:
            self._spoil(fault, last)

    do_POST = do_GET

    def _spoil(self, fault: Fault, last: str) -> None:
        if fault is Fault.PORTAL:
            self._say(200, b"<html><body>Please log in</body></html>")
        elif fault is Fault.ELSEWHERE:
            self._say(302, b"", Location="https://127.0.0.1:9/")
        elif fault is Fault.NO_OBJECTS:
            kind = f"{KINDS.get(last, 'Namespace')}List"
            body = {"kind": kind, "metadata": {}, "items": [{"metadata": {}}, 7]}
            self._say(200, json.dumps(body).encode())
        elif fault in BODIES:
            self._say(200, json.dumps(BODIES[fault]).encode())
        else:
            code, reason = STATUS[fault]
            said = {"kind": "Status", "reason": reason, "message": "no", "code": code}
            self._say(code, json.dumps(said).encode(), **{"Retry-After": "0"})

    def _pass_on(self, status: int, answer: Object, fault: Fault | None) -> None:
        body = json.dumps(answer).encode()
        whole = len(body)
        if fault is not None:
            body = body[: whole // 2]
            self.close_connection = True
        self._say(status, body, length=whole if fault is Fault.CUT else len(body))

    def _say(self, status: int, body: bytes, *, length: int | None = None, **more: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body) if length is None else length))
        for name, value in more.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass
