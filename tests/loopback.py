"""A server of the standard library on a free port of loopback, in a thread: what the stand-ins of storage services are built on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["LoopbackHandler", "run_server"]


class LoopbackHandler(BaseHTTPRequestHandler):
    """A handler that keeps connections open and says nothing. A client that sends or takes nothing for a while is hung up on."""

    protocol_version = "HTTP/1.1"
    timeout = 60

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def hang_up(self) -> None:
        """Close the connection without an answer."""
        self.close_connection = True
        self.connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Say nothing of clients that go away."""


@contextmanager
def run_server(handler: type[LoopbackHandler]) -> Iterator[int]:
    """Serve for the body's time; yield the port."""
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
