"""Real proxies on loopback: an HTTP proxy (tunnels and absolute-form requests) and a SOCKS5 proxy (RFC 1928, RFC 1929).

Each resolves every name to this machine, and logs what it was asked for.
"""

import asyncio
import base64
import contextlib
import ipaddress
from typing import Self

__all__ = ["HttpProxy", "SocksProxy"]


class _Server:
    """Listens on a free port and serves each connection in a task of its own."""

    def __init__(self, user: str = "", password: str = "", *, silent: bool = False) -> None:
        self.user, self.password = user, password
        self.silent = silent
        self.log: list[str] = []
        self.connections = 0
        self.port = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._server.wait_closed()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            with contextlib.suppress(OSError, EOFError, asyncio.CancelledError):
                await (asyncio.Event().wait() if self.silent else self.serve(reader, writer))
        finally:
            self._tasks.discard(task)
            await _close(writer)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        raise NotImplementedError


class HttpProxy(_Server):
    """Args: status: refuse tunnels with it."""

    def __init__(self, user: str = "", password: str = "", *, status: int = 0, silent: bool = False) -> None:
        super().__init__(user, password, silent=silent)
        self.status = status

    def url(self, credentials: str = "") -> str:
        return f"http://{credentials and credentials + '@'}127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.split(b"\r\n")[0].decode().split(" ")
            self.log.append(f"{method} {target}")
            if self.user and f"Basic {base64.b64encode(f'{self.user}:{self.password}'.encode()).decode()}" not in head.decode():
                writer.write(b"HTTP/1.1 407 X\r\nContent-Length: 0\r\n\r\n")
            elif method == "CONNECT":
                if status := self.status or (403 if target.endswith(f":{self.port}") else 0):  # no tunnel to itself
                    writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
                    continue
                upstream = await asyncio.open_connection("127.0.0.1", int(target.rpartition(":")[2]))
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                return await _pipe((reader, writer), upstream)
            else:
                return await self._forward(head, reader, writer)

    async def _forward(self, head: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take the proxy's header out of each request, and write its target in origin-form; one connection is for one host."""
        authority = head.split(b" ")[1].decode().partition("://")[2].partition("/")[0]
        upstream = await asyncio.open_connection("127.0.0.1", int(authority.rpartition(":")[2]))
        replies = asyncio.ensure_future(_copy(upstream[0], writer))
        try:
            while True:
                first, *lines = head.split(b"\r\n")
                kept = [line for line in lines if not line.lower().startswith(b"proxy-")]
                upstream[1].write(b"\r\n".join([first.replace(f"http://{authority}".encode(), b""), *kept]))
                head = await reader.readuntil(b"\r\n\r\n")
                self.log.append(" ".join(head.decode().split(" ")[:2]))
        finally:
            replies.cancel()
            upstream[1].close()  # before anything is awaited: the test may end meanwhile
            await asyncio.gather(replies, return_exceptions=True)


class SocksProxy(_Server):
    """Args: code: refuse connections with it."""

    def __init__(self, user: str = "", password: str = "", *, code: int = 0, silent: bool = False) -> None:
        super().__init__(user, password, silent=silent)
        self.code = code

    def url(self, credentials: str = "", scheme: str = "socks5") -> str:
        return f"{scheme}://{credentials and credentials + '@'}127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        wanted = 2 if self.user else 0
        writer.write(bytes([5, wanted if wanted in methods else 0xFF]))
        if wanted not in methods:
            return
        if wanted == 2 and not await self._log_in(reader, writer):
            return
        _, _, _, kind = await reader.readexactly(4)
        if kind == 3:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        else:
            host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
        port = int.from_bytes(await reader.readexactly(2), "big")
        self.log.append(f"{host}:{port}")
        if self.code:
            writer.write(bytes([5, self.code, 0, 1, 0, 0, 0, 0, 0, 0]))
            return
        upstream = await asyncio.open_connection("127.0.0.1", port)
        writer.write(bytes([5, 0, 0, 1, 0, 0, 0, 0, 0, 0]))
        await _pipe((reader, writer), upstream)

    async def _log_in(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        await reader.readexactly(1)
        user = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        password = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        is_right = (user, password) == (self.user, self.password)
        writer.write(bytes([1, 0 if is_right else 1]))
        return is_right


_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _pipe(client: _Stream, upstream: _Stream) -> None:
    """Pass bytes on in both directions until one side has closed."""
    copies = [asyncio.ensure_future(_copy(client[0], upstream[1])), asyncio.ensure_future(_copy(upstream[0], client[1]))]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in copies:
            task.cancel()
        upstream[1].close()
        await asyncio.gather(*copies, return_exceptions=True)


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
