"""Every TCP connection that this process asks the kernel for, seen through an audit hook: below httpx, aiohttp and asyncio.

What is not expected is written down and refused before a packet leaves, so no test can reach what may answer out there.
"""

import errno
import socket
import sys
from types import TracebackType
from typing import Any, Self

__all__ = ["Dials"]

_watching: list["Dials"] = []


class Dials:
    """While entered, ``made`` collects the addresses dialled in order; only ports in ``expected`` of 127.0.0.1 are let through."""

    def __init__(self) -> None:
        self.expected: set[int] = set()
        self.made: list[str] = []

    def __enter__(self) -> Self:
        _install()
        _watching.append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _watching.remove(self)

    @property
    def strangers(self) -> list[str]:
        """What was dialled besides loopback."""
        return [address for address in self.made if address != "127.0.0.1"]

    def see(self, address: str, port: int) -> None:
        self.made.append(address)
        if address != "127.0.0.1" or port not in self.expected:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "refused by the test")


def _install() -> None:
    """A hook cannot be taken out again: one, once, that is idle while nobody watches."""
    if not getattr(sys, "_pictrawl_dials", False):
        sys.addaudithook(_hook)
        sys._pictrawl_dials = True  # type: ignore[attr-defined]


def _hook(event: str, args: tuple[Any, ...]) -> None:
    if event != "socket.connect" or not _watching:
        return
    sock, where = args
    if sock.family in (socket.AF_INET, socket.AF_INET6) and sock.type & 0xF == socket.SOCK_STREAM:
        for dials in _watching:
            dials.see(str(where[0]), int(where[1]))
