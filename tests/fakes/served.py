"""A server of a test's own, in a thread of its own, for as long as a block lasts."""

import threading
from http.server import ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Served:
    """Serves from the block's first line to its end; who is stalled then is let go."""

    def __init__(self, server: ThreadingHTTPServer) -> None:
        self._server = server
        self._released = threading.Event()
        self._thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)

    @property
    def port(self) -> int:
        """Where it listens on 127.0.0.1."""
        return int(self._server.server_port)

    def stall(self) -> None:
        """Wait until the server is stopped."""
        self._released.wait(60)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._released.set()
        self._server.shutdown()
        self._server.server_close()
