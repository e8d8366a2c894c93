"""uvicorn as we run it: bound by us, stopped by an event of the caller's, and never open to others without a key."""

import asyncio
import contextlib
import socket
from collections.abc import Callable, Iterator

import uvicorn

import errors
from app.db import api_keys
from app.observability.server import metrics_server
from app.resources import Resources
from app.web.application import create_app
from app.web.identity import is_loopback_name
from app.web.metrics import refreshed_registry
from logging_setup import get_logger

__all__ = ["serve"]

log = get_logger(__name__)

GRACE_S = 10
"""Seconds that answers under way have to end once the server stops."""

BACKLOG = 2048


class _Server(uvicorn.Server):
    """A uvicorn server that leaves signals to the caller and reports when it listens."""

    def __init__(self, config: uvicorn.Config, on_start: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_start = on_start

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_start()


async def serve(
    resources: Resources,
    host: str,
    port: int,
    *,
    stop: asyncio.Event | None = None,
    started: Callable[[int], None] | None = None,
) -> int:
    """Serve the API until ``stop`` is set or the caller is cancelled; return the exit code.

    Args:
        port: 0 picks a free one.
        started: called with the port once requests are taken.

    Raises:
        errors.ConfigurationError: the host is none, or not loopback while no API key is in force.
        OSError: the port is taken, or may not be had.
    """
    is_local = is_loopback_name(host)
    if not is_local and not await api_keys.has_keys(resources.db):
        raise errors.ConfigurationError(
            f"serve.host {host} can be reached from elsewhere and no API key is in force: make one with `pictrawl keys create`, "
            "or serve on 127.0.0.1"
        )
    listener = _bind(host, port)
    bound = int(listener.getsockname()[1])
    app = create_app(resources, keys_required=not is_local)

    def on_start() -> None:
        log.info("serve.started", host=host, port=bound)
        if started is not None:
            started(bound)

    config = uvicorn.Config(
        app,
        lifespan="on",
        ws="none",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,  # X-Forwarded-* is not trusted
        timeout_graceful_shutdown=GRACE_S,
    )
    wanted = resources.settings.metrics
    async with metrics_server(wanted.host, wanted.port, refreshed_registry(app.state.metrics, resources), tries=wanted.ports):
        await _run(_Server(config, on_start), listener, app.state.stopping, stop or asyncio.Event())
    log.info("serve.stopped", host=host, port=bound)
    return 0


async def _run(server: _Server, listener: socket.socket, stopping: asyncio.Event, stop: asyncio.Event) -> None:
    running = asyncio.create_task(server.serve([listener]))
    asked = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        asked.cancel()
        stopping.set()  # ends open streams, which the server would wait for
        server.should_exit = True
        await asyncio.shield(running)


def _bind(host: str, port: int) -> socket.socket:
    """Bind the socket before uvicorn, which would end the process where the address is in use."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(family, kind, protocol)
    except socket.gaierror as error:
        raise errors.ConfigurationError(f"serve.host {host!r} is no address: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError:
        listener.close()
        raise
    return listener
