"""A kubelet that runs no containers: a TLS server the real API server hands `exec` on to.

It speaks the protocol v4.channel.k8s.io, and every command ends as the test says.
"""

import atexit
import functools
import json
import ssl
import tempfile
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fakes.kube_apiserver import KubeApiserver

NODE = "here"
PROTOCOL = "v4.channel.k8s.io"
OUT, ERR, END = b"\x01", b"\x02", b"\x03"


@dataclass(frozen=True)
class Asked:
    """What the API server asked for."""

    namespace: str
    pod: str
    container: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class Ends:
    """How a command ends: what it said, in which pieces, and the status on the error channel."""

    out: Sequence[str] = ()
    err: str = ""
    status: Mapping[str, Any] | None = None


def exits(code: int, *out: str, err: str = "") -> Ends:
    """It ran, said this and ended with a code."""
    if code == 0:
        return Ends(out=out, err=err, status={"metadata": {}, "status": "Success"})
    cause = {"reason": "ExitCode", "message": str(code)}
    status = {
        "metadata": {},
        "status": "Failure",
        "message": f"command terminated with non-zero exit code: exit status {code}",
        "reason": "NonZeroExitCode",
        "details": {"causes": [cause]},
    }
    return Ends(out=out, err=err, status=status)


NOT_FOUND = Ends(
    status={
        "metadata": {},
        "status": "Failure",
        "message": 'exec: "nothing": executable file not found in $PATH',
        "reason": "InternalError",
    }
)
BREAKS_OFF = Ends(out=("half an",))
HANGS = None


class FakeKubelet:
    """The server; `ends` says how each command ends, and those it does not know succeed."""

    def __init__(self) -> None:
        from websockets.sync.server import serve

        self._folder = tempfile.TemporaryDirectory(prefix="qlrf-kubelet-")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(_certificate(Path(self._folder.name)))
        self._leave = threading.Event()
        self._server = serve(
            self._exec, "127.0.0.1", 0, ssl=context, subprotocols=[PROTOCOL], compression=None
        )
        self.port = int(self._server.socket.getsockname()[1])
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.clear()

    def clear(self) -> None:
        """A new day."""
        self.asked: list[Asked] = []
        self.ends: dict[tuple[str, ...], Ends | None] = {}

    def node(self, cluster: KubeApiserver) -> str:
        """The node it stands for, made where it is not there yet."""
        item = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}}
        cluster.ask("POST", "api/v1/nodes", item)
        address = [{"type": "InternalIP", "address": "127.0.0.1"}]
        port = {"kubeletEndpoint": {"Port": self.port}}
        status = {"status": {"addresses": address, "daemonEndpoints": port}}
        told = cluster.merge(f"api/v1/nodes/{NODE}/status", status)
        assert told["kind"] == "Node", told
        return NODE

    def stop(self) -> None:
        """Leave; what still hangs is let go."""
        self._leave.set()
        self._server.shutdown()
        self._folder.cleanup()

    def _exec(self, connection: Any) -> None:
        asked = _asked(connection.request.path)
        self.asked.append(asked)
        ends = self.ends.get(asked.words, exits(0))
        if ends is None:
            self._leave.wait(60)
            return
        for piece in ends.out:
            connection.send(OUT + piece.encode())
        if ends.err:
            connection.send(ERR + ends.err.encode())
        if ends.status is not None:
            connection.send(END + json.dumps(ends.status).encode())


@functools.cache
def fake_kubelet() -> FakeKubelet:
    """The one of this test run."""
    made = FakeKubelet()
    atexit.register(made.stop)
    return made


def _asked(path: str) -> Asked:
    split = urlsplit(path)
    _, verb, namespace, pod, container = split.path.split("/")
    query = parse_qs(split.query)
    assert verb == "exec", path
    assert query.get("output") == ["1"], path
    return Asked(namespace, pod, container, tuple(query["command"]))


def _certificate(folder: Path) -> Path:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "kubelet")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=7))
        .sign(key, hashes.SHA256())
    )
    path = folder / "kubelet.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path
