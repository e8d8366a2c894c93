"""What else could carry the bytes, as prototypes for the comparison: no guard, no error path worth the name, not for use.

The packages they need are not among the project's; `benchmarks/download.py` puts them beside the scratch corpus.
"""

import asyncio
import io
import ssl
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pycurl  # type: ignore[import-untyped]

__all__ = ["Curl", "FlatPoolTransport"]

_IDLE_S = 60.0
_Key = tuple[bytes, bytes, int]


class FlatPoolTransport(httpx.AsyncBaseTransport):
    """httpcore's own connections under a pool that looks at one of them for each request, not at all: a stack of idle ones per origin."""

    def __init__(self, tls: ssl.SSLContext | None) -> None:
        self._tls = tls
        self._idle: dict[_Key, list[httpcore.AsyncHTTPConnection]] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        key = (url.raw_scheme, url.raw_host, url.port or (443 if url.scheme == "https" else 80))
        connection = self._take(key)
        target = httpcore.URL(scheme=key[0], host=key[1], port=key[2], target=url.raw_path)
        reply = await connection.handle_async_request(
            httpcore.Request(request.method, target, headers=request.headers.raw, content=request.stream, extensions=request.extensions)
        )
        return httpx.Response(reply.status, headers=reply.headers, stream=_Lent(self, key, connection, reply))

    def give_back(self, key: _Key, connection: httpcore.AsyncHTTPConnection) -> None:
        if connection.is_idle():
            self._idle.setdefault(key, []).append(connection)

    async def aclose(self) -> None:
        for connections in self._idle.values():
            for connection in connections:
                await connection.aclose()

    def _take(self, key: _Key) -> httpcore.AsyncHTTPConnection:
        idle = self._idle.get(key, [])
        while idle:
            connection = idle.pop()
            if not (connection.is_closed() or connection.has_expired()):
                return connection
        return httpcore.AsyncHTTPConnection(httpcore.Origin(*key), ssl_context=self._tls, keepalive_expiry=_IDLE_S)


class _Lent(httpx.AsyncByteStream):
    def __init__(self, pool: FlatPoolTransport, key: _Key, connection: httpcore.AsyncHTTPConnection, reply: httpcore.Response) -> None:
        self._pool, self._key, self._connection, self._reply = pool, key, connection, reply

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for chunk in self._reply.aiter_stream():
            yield chunk

    async def aclose(self) -> None:
        await self._reply.aclose()
        self._pool.give_back(self._key, self._connection)


class Curl:
    """libcurl driven by the event loop: its sockets are watched for it, its handles are used again."""

    def __init__(self, connections: int, authority: Path | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._authority = authority
        self._free: list[Any] = []
        self._waiting: dict[Any, asyncio.Future[None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._multi = pycurl.CurlMulti()
        self._multi.setopt(pycurl.M_MAXCONNECTS, connections)
        self._multi.setopt(pycurl.M_SOCKETFUNCTION, self._watch)
        self._multi.setopt(pycurl.M_TIMERFUNCTION, self._set_timer)

    async def fetch(self, url: str) -> int:
        handle = self._free.pop() if self._free else self._handle()
        body = io.BytesIO()
        handle.setopt(pycurl.URL, url)
        handle.setopt(pycurl.WRITEDATA, body)
        done = self._waiting[handle] = self._loop.create_future()
        self._multi.add_handle(handle)
        await done
        self._free.append(handle)
        return len(body.getvalue())

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._multi.close()

    def _handle(self) -> Any:
        handle = pycurl.Curl()
        handle.setopt(pycurl.NOSIGNAL, 1)
        handle.setopt(pycurl.FAILONERROR, 1)
        handle.setopt(pycurl.BUFFERSIZE, 256 * 1024)
        if self._authority is not None:
            handle.setopt(pycurl.CAINFO, str(self._authority))
        return handle

    def _watch(self, what: int, socket: int, multi: Any, data: Any) -> None:
        self._loop.remove_reader(socket)
        self._loop.remove_writer(socket)
        if what in (pycurl.POLL_IN, pycurl.POLL_INOUT):
            self._loop.add_reader(socket, self._act, socket, pycurl.CSELECT_IN)
        if what in (pycurl.POLL_OUT, pycurl.POLL_INOUT):
            self._loop.add_writer(socket, self._act, socket, pycurl.CSELECT_OUT)

    def _set_timer(self, wait_ms: int) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if wait_ms < 0 else self._loop.call_later(wait_ms / 1000, self._act, pycurl.SOCKET_TIMEOUT, 0)

    def _act(self, socket: int, event: int) -> None:
        self._multi.socket_action(socket, event)
        left = 1
        while left:
            left, finished, failed = self._multi.info_read()
            for handle in finished:
                self._end(handle, None)
            for handle, _, message in failed:
                self._end(handle, RuntimeError(message))

    def _end(self, handle: Any, error: Exception | None) -> None:
        self._multi.remove_handle(handle)
        done = self._waiting.pop(handle)
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)
