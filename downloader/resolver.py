"""Name resolution on its own threads, and the check of every address that it returns.

Knows sockets and aiohttp's resolver interface; the rules for addresses are in `downloader.url_guard`.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from aiohttp.abc import AbstractResolver, ResolveResult

import errors
from downloader.models import IPVersion
from downloader.url_guard import URLGuard

__all__ = ["CheckedResolver", "Lookup", "ThreadedResolver", "is_own", "require_version"]

Lookup = Callable[[str], Awaitable[Sequence[str]]]
"""Resolves a host name to addresses as text; raises OSError (socket.gaierror) where it cannot."""

_TIMEOUT_S: Final = 5.0
_THREADS: Final = 16
"""getaddrinfo blocks a thread while a name server does not answer; on the shared executor 64 dead names would starve everything else."""

_UNANSWERED_NAMES: Final = 5
"""So many different names in a row without an answer mean that the machine's resolver has failed, not the names."""


class ThreadedResolver:
    """getaddrinfo on a bounded thread pool, with a timeout.

    Raises:
        OSError: socket.gaierror, EAI_AGAIN where the name servers do not answer for this name.
        errors.StorageError: all threads hang, or name after name gets no answer: a fault of this machine, not of the host.
    """

    def __init__(self, *, timeout_s: float = _TIMEOUT_S, threads: int = _THREADS) -> None:
        self._timeout_s = timeout_s
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="resolver")
        self._unanswered: set[str] = set()

    async def __call__(self, host: str) -> Sequence[str]:
        work: Future[list[str]] = self._threads.submit(_getaddrinfo, host)
        try:
            async with asyncio.timeout(self._timeout_s):
                addresses = await asyncio.wrap_future(work)
        except TimeoutError as exc:
            raise self._timeout_error(host, has_begun=not work.cancel()) from exc
        except socket.gaierror:  # an answer too
            self._unanswered.clear()
            raise
        self._unanswered.clear()
        return addresses

    def close(self) -> None:
        """Drop what waits; a thread that hangs is left behind."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _timeout_error(self, host: str, *, has_begun: bool) -> Exception:
        """Blame the name first, and the machine's resolver once several names in a row got no answer."""
        if not has_begun:
            return errors.StorageError("no thread is free to look up names")
        self._unanswered.add(host)
        if len(self._unanswered) < _UNANSWERED_NAMES:
            return socket.gaierror(socket.EAI_AGAIN, "the name servers did not answer in time")
        self._unanswered.clear()
        return errors.StorageError("the name servers of this machine do not answer")


class CheckedResolver(AbstractResolver):
    """Refuses a name if any of its addresses is not allowed, so that nobody can retry a mixed answer until one passes."""

    def __init__(self, guard: URLGuard, lookup: Lookup, ip_version: IPVersion = "any") -> None:
        self._guard = guard
        self._lookup = lookup
        self._ip_version = ip_version

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """Return all addresses of a name, of the IP version asked for.

        Raises:
            OSError: the name has no such address.
            errors.BlockedAddressError: an address is not allowed.
        """
        addresses = await self._lookup(host)
        if not addresses:
            raise socket.gaierror(socket.EAI_NONAME, "the name has no address")
        for address in addresses:
            self._guard.check_address(address)
        return [_result(host, address, port) for address in require_version(addresses, self._ip_version)]

    async def close(self) -> None:
        """Nothing to close."""


def require_version(addresses: Sequence[str], ip_version: IPVersion) -> Sequence[str]:
    """Return the addresses of an IP version.

    Raises:
        OSError: there is none.
    """
    if ip_version == "any":
        return addresses
    found = [address for address in addresses if (":" in address) == (ip_version == "6")]
    if not found:
        raise socket.gaierror(socket.EAI_NONAME, f"no IPv{ip_version} address, and fetch.ip_version allows no other")
    return found


def _result(host: str, address: str, port: int) -> ResolveResult:
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    return ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)


def _getaddrinfo(host: str) -> list[str]:
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except socket.gaierror:
        _require_descriptor()
        raise
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def _require_descriptor() -> None:
    """Raise where no file descriptor is left: glibc then says that the name does not exist."""
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()


def is_own(family: int, sockaddr: tuple[Any, ...]) -> bool:
    """Tell whether a socket address is this machine's own. Nothing is sent: connecting a UDP socket only picks a route.

    Raises:
        OSError: no file descriptor is left.
    """
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(sockaddr)
        except OSError:  # no route, so it is not here
            return False
        return ipaddress.ip_address(_without_zone(probe.getsockname()[0])) == ipaddress.ip_address(_without_zone(sockaddr[0]))


def _without_zone(address: str) -> str:
    return address.partition("%")[0]
