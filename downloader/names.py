"""Names and addresses as this machine sees them: lookups on threads of their own, and which addresses are its own.

Knows sockets and no HTTP; whether an address may be dialled is the guard's business.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

import errors

__all__ = ["Lookup", "PooledLookup", "is_own"]

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""Resolves a host name to addresses as text; raises OSError (socket.gaierror) where it cannot."""

_TIMEOUT_S: Final = 5.0
_THREADS: Final = 16
"""getaddrinfo blocks a thread for as long as a name server is silent; on the shared executor 64 dead names would starve everything."""

_SILENT_NAMES: Final = 5
"""So many different names without one answer in between: it is not the names."""


class PooledLookup:
    """getaddrinfo on a bounded thread pool of its own, with a deadline.

    Raises:
        OSError: socket.gaierror, EAI_AGAIN where the name servers stay silent about this name.
        errors.StorageError: all threads hang, or name after name stays without an answer: this machine's resolver, not the host's fault.
    """

    def __init__(self, *, timeout_s: float = _TIMEOUT_S, threads: int = _THREADS) -> None:
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="lookup")
        self._silent: set[str] = set()

    async def __call__(self, host: str) -> Sequence[str]:
        work: Future[list[str]] = self._threads.submit(_getaddrinfo, host)
        try:
            async with asyncio.timeout(self._timeout_s):
                addresses = await asyncio.wrap_future(work)
        except TimeoutError as exc:
            raise self._silence(host, began=not work.cancel()) from exc
        except socket.gaierror:  # an answer too
            self._silent.clear()
            raise
        self._silent.clear()
        return addresses

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _silence(self, host: str, *, began: bool) -> Exception:
        """Blame the name first; the machine's resolver once there is evidence, which is then gathered anew."""
        if not began:
            return errors.StorageError("no thread is free to look up names")
        self._silent.add(host)
        if len(self._silent) < _SILENT_NAMES:
            return socket.gaierror(socket.EAI_AGAIN, "the name servers did not answer in time")
        self._silent.clear()
        return errors.StorageError("the name servers of this machine do not answer")


def _getaddrinfo(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror:
        _open_descriptor()
        raise
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _open_descriptor() -> None:
    """Raise where none is left: glibc, unable to ask anybody, says that the name does not exist."""
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()


def is_own(family: int, where: tuple[Any, ...]) -> bool:
    """Tell whether a socket address is this machine's own. Nothing is sent: a connected UDP socket only learns its way.

    Raises:
        OSError: no descriptor is left.
    """
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(where)
        except OSError:  # no way there, so it is not here
            return False
        return ipaddress.ip_address(_bare(probe.getsockname()[0])) == ipaddress.ip_address(_bare(where[0]))


def _bare(address: str) -> str:
    return address.partition("%")[0]
