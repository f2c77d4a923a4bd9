"""A small web service on loopback that keeps what it was sent and answers as told."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(kw_only=True)
class Service:
    """Where it listens, what it answers, what it heard."""

    port: int = 0
    status: int = 200
    location: str | None = None
    silent: bool = False
    body: bytes = b""
    heard: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    on_heard: Callable[[dict[str, str], bytes], None] = lambda headers, body: None
    released: threading.Event = field(default_factory=threading.Event)

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}/"


@contextmanager
def service() -> Iterator[Service]:
    """A service while the block lasts."""
    told = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers, body = dict(self.headers), self.rfile.read(length)
            told.heard.append((self.command, headers, body))
            told.on_heard(headers, body)
            if told.silent:
                told.released.wait(20)
                return
            self.send_response(told.status)
            if told.location:
                self.send_header("Location", told.location)
            self.send_header("Content-Length", str(len(told.body)))
            self.end_headers()
            self.wfile.write(told.body)

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.port = server.server_port
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield told
    finally:
        told.released.set()
        server.shutdown()
        server.server_close()
