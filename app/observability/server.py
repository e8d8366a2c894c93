"""The metrics of a process over HTTP: prometheus_client's own server, in a thread, on the first free port of a range.

Anyone who can reach the port can read it, so it listens on loopback by default. It serves numbers and bounded labels only.
"""

import asyncio
import errno
import os
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, start_http_server

from app.observability.registry import REGISTRY
from logging_setup import get_logger

__all__ = ["metrics_server"]

log = get_logger(__name__)

REQUEST_TIMEOUT_S = 5.0
"""Seconds that a client may take to send its request."""

_WAY_OUT = "give this process a metrics.port of its own, or several to choose from with metrics.ports; metrics.port = 0 is off"


@asynccontextmanager
async def metrics_server(host: str, port: int, registry: CollectorRegistry = REGISTRY, *, tries: int = 1) -> AsyncIterator[int | None]:
    """Answer scrapes while the body runs, on the first free of ``tries`` ports from ``port`` on. Yield that port, or None.

    Port 0 is off. If no port can be bound the process works without metrics, with a warning.
    """
    started = await asyncio.to_thread(_start, host, port, registry, tries) if port else None
    if started is None:
        yield None
        return
    server, thread = started
    log.info("metrics.listening", host=host, port=server.server_port)
    try:
        yield server.server_port
    finally:
        await asyncio.to_thread(_stop, server, thread)


def _start(host: str, port: int, registry: CollectorRegistry, tries: int) -> tuple[WSGIServer, threading.Thread] | None:
    """Bind and start. In a thread of its own: http.server looks the host's name up."""
    reason = ""
    for number in range(port, min(port + tries, 65536)):
        try:
            server, thread = start_http_server(number, host, registry)
        except (OSError, UnicodeError) as error:  # UnicodeError: not a host name
            reason = _describe(error)
            if not isinstance(error, OSError) or error.errno != errno.EADDRINUSE:
                break
        else:
            _make_quiet(server)
            return server, thread
    log.warning("metrics.not_listening", host=host, port=port, tries=tries, error=reason, way_out=_WAY_OUT)
    return None


def _make_quiet(server: WSGIServer) -> None:
    """Bound the time of a request, and drop the traceback that socketserver prints for a client that hangs up."""
    handler: Any = server.RequestHandlerClass
    server.RequestHandlerClass = type("RequestHandler", (handler,), {"timeout": REQUEST_TIMEOUT_S})
    server.handle_error = lambda request, client_address: None  # type: ignore[method-assign]


def _stop(server: WSGIServer, thread: threading.Thread) -> None:
    server.shutdown()
    server.server_close()
    thread.join()


def _describe(error: OSError | UnicodeError) -> str:
    """The system's text, or the resolver's where the number is not an errno."""
    number = error.errno if isinstance(error, OSError) else None
    return os.strerror(number) if number is not None and number > 0 else str(error)
