"""The API on a real socket: what the in-process transport buffers, streams and shutdowns, only shows there."""

import asyncio
import io
import json
import tarfile
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx

from app.resources import Resources
from app.web import serve


@dataclass(frozen=True)
class Message:
    """One server-sent event."""

    event: str
    data: Any
    id: str | None = None


@asynccontextmanager
async def served(resources: Resources, stop: asyncio.Event | None = None, *, port: int = 0) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a server on this loopback port or a free one; the server must end in order."""
    stop = stop or asyncio.Event()
    bound: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(serve(resources, "127.0.0.1", port, stop=stop, started=bound.set_result))
    await asyncio.wait({serving, bound}, return_when=asyncio.FIRST_COMPLETED)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{bound.result()}", timeout=30) as client:
            yield client
    finally:
        stop.set()
        assert await serving == 0


async def messages(response: httpx.Response) -> AsyncIterator[Message]:
    """Parse a stream (WHATWG HTML 9.2.6)."""
    fields: dict[str, str] = {}
    async for line in response.aiter_lines():
        if line.startswith(":"):
            continue
        if line:
            name, _, value = line.partition(": ")
            fields[name] = fields[name] + "\n" + value if name in fields else value
        elif fields:
            yield Message(fields.get("event", "message"), json.loads(fields["data"]), fields.get("id"))
            fields = {}


def unpacked(archive: bytes, form: str) -> dict[str, bytes]:
    """The members of a tar or ZIP file."""
    if form == "zip":
        with zipfile.ZipFile(io.BytesIO(archive)) as opened:
            return {name: opened.read(name) for name in opened.namelist()}
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened_tar:
        return {member.name: opened_tar.extractfile(member).read() for member in opened_tar}  # type: ignore[union-attr]
