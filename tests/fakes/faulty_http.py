"""A proxy on 127.0.0.1 that spoils chosen answers of an AWS API."""

import http.client
import socket
import struct
import threading
from collections import Counter
from enum import StrEnum
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.fakes.served import Served


class Fault(StrEnum):
    """What happens to an answer."""

    ERROR_500 = "error_500"
    ERROR_503 = "error_503"
    THROTTLED = "throttled"
    DENIED = "denied"
    CUT = "cut"  # half the body, its true length promised
    CUT_CLEAN = "cut_clean"  # half the body, and its own length says that is all
    PORTAL = "portal"  # somebody else's page, 200 OK
    RESET = "reset"
    STALLED = "stalled"


CODES = {
    "ec2": {Fault.THROTTLED: "RequestLimitExceeded", Fault.DENIED: "UnauthorizedOperation"},
    "sts": {Fault.THROTTLED: "Throttling", Fault.DENIED: "AccessDenied"},
    "ssm": {Fault.THROTTLED: "ThrottlingException", Fault.DENIED: "AccessDeniedException"},
}
STATUS = {Fault.ERROR_500: 500, Fault.ERROR_503: 503, Fault.DENIED: 403}
EC2_ERROR = (
    "<Response><Errors><Error><Code>{}</Code><Message>no</Message></Error></Errors></Response>"
)
QUERY_ERROR = "<ErrorResponse><Error><Code>{}</Code><Message>no</Message></Error></ErrorResponse>"


class FaultyProxy(Served):
    """Forwards to `upstream`; spoils the answers it was told to.

    Requests are counted per action (`DescribeInstances`) and, when `spoil` names a region, per
    region of the request's signature.
    """

    def __init__(self, upstream: str) -> None:
        self._upstream = urlsplit(upstream)
        self._spoiled: dict[tuple[str, str | None], tuple[range, Fault]] = {}
        self._lock = threading.Lock()
        self.seen: Counter[tuple[str, str]] = Counter()
        proxy = self

        class Handler(_Handler):
            owner = proxy

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        super().__init__(server)

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self.port}"

    def spoil(
        self,
        action: str,
        fault: Fault,
        *,
        nth: int = 0,
        times: int = 1_000_000,
        region: str | None = None,
    ) -> None:
        """Spoil the answers from the `nth` (from 0) request of an action on, `times` of them.

        Counting begins now.
        """
        with self._lock:
            self.seen.clear()
            self._spoiled[action, region] = (range(nth, nth + times), fault)

    def heal(self) -> None:
        """Forward everything as it is."""
        with self._lock:
            self._spoiled.clear()
            self.seen.clear()

    def fault(self, action: str, region: str) -> Fault | None:
        """Count a request and say what happens to its answer."""
        with self._lock:
            before = Counter(self.seen)
            self.seen[action, region] += 1
        anywhere = sum(count for (name, _), count in before.items() if name == action)
        for place, number in ((region, before[action, region]), (None, anywhere)):
            numbers, fault = self._spoiled.get((action, place), (range(0), None))
            if number in numbers:
                return fault
        return None

    def forward(
        self, path: str, body: bytes, headers: dict[str, str]
    ) -> tuple[int, list[tuple[str, str]], bytes]:
        """The true answer."""
        upstream = http.client.HTTPConnection(
            self._upstream.hostname or "", self._upstream.port, timeout=60
        )
        try:
            upstream.request("POST", path, body, headers)
            answer = upstream.getresponse()
            return answer.status, answer.getheaders(), answer.read()
        finally:
            upstream.close()


class _Handler(BaseHTTPRequestHandler):
    owner: FaultyProxy
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        service, region = _credential_scope(self.headers.get("Authorization", ""))
        action = _action(self.headers.get("X-Amz-Target"), body)
        fault = self.owner.fault(action, region)
        if fault is Fault.STALLED:
            self.owner.stall()
            self.close_connection = True
        elif fault is Fault.RESET:
            self._reset()
        elif fault is Fault.PORTAL:
            self._answer(200, b"<html><body>Please log in</body></html>", "text/html")
        elif fault in (None, Fault.CUT, Fault.CUT_CLEAN):
            self._pass_on(body, fault)
        else:
            self._complain(service, fault)

    def _pass_on(self, body: bytes, fault: Fault | None) -> None:
        status, headers, answer = self.owner.forward(self.path, body, dict(self.headers))
        kind = dict(headers).get("Content-Type", "text/xml")
        whole = len(answer)
        if fault is not None:
            answer = answer[: whole // 2]
            self.close_connection = True
        self._answer(status, answer, kind, length=whole if fault is Fault.CUT else len(answer))

    def _complain(self, service: str, fault: Fault) -> None:
        code = CODES.get(service, CODES["ec2"]).get(fault, "InternalError")
        status = STATUS.get(fault, 503 if service == "ec2" else 400)
        if service == "ssm":
            text = f'{{"__type": "{code}", "message": "no"}}'
            self._answer(status, text.encode(), "application/x-amz-json-1.1")
        else:
            text = (QUERY_ERROR if service == "sts" else EC2_ERROR).format(code)
            self._answer(status, text.encode(), "text/xml")

    def _answer(self, status: int, body: bytes, kind: str, *, length: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        self.wfile.write(body)

    def _reset(self) -> None:
        # Closing with nothing to linger for sends RST instead of FIN.
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close_connection = True
        self.connection.close()
        self.rfile.close()

    def finish(self) -> None:
        if self.connection.fileno() != -1:
            super().finish()

    def log_message(self, format: str, *args: object) -> None:
        pass


def _action(target: str | None, body: bytes) -> str:
    if target:
        return target.rpartition(".")[2]
    return parse_qs(body.decode()).get("Action", [""])[0]


def _credential_scope(authorization: str) -> tuple[str, str]:
    # AWS4-HMAC-SHA256 Credential=KEY/20261101/us-east-1/ec2/aws4_request, ...
    _, _, rest = authorization.partition("Credential=")
    parts = rest.split(",")[0].split("/")
    return (parts[3], parts[2]) if len(parts) > 3 else ("", "")
