"""Connections through a SOCKS5 proxy, with the extra ``socks``: aiohttp's connector over python-socks. See ADR 0024.

aiohttp has no public hook between the connection and its TLS handshake, so one of its methods is overridden, as aiohttp-socks does. The
addresses that it passes there are those of our resolver, checked; they are checked again, since literal addresses do not pass it.
"""

import errno
import ipaddress
import socket
from collections.abc import Callable
from typing import Any, Final

import aiohttp
import python_socks
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.client_proto import ResponseHandler
from python_socks.async_.asyncio import Proxy as SocksProxy

import errors
from downloader.proxy import Proxy

__all__ = ["SocksConnector"]

_NOT_ALLOWED: Final = 2
_NOT_SUPPORTED: Final = 7
"""Reply codes of RFC 1928 6. The others are about the host: 1, 3, 4, 5 and 6 that it cannot be reached, 8 that its IP version cannot."""


class SocksConnector(aiohttp.TCPConnector):
    """Dials through a proxy.

    Args:
        proxy: the proxy.
        on_dial: called with the address or name that the proxy is about to be handed; raises to refuse it.
        resolver: used where the proxy is handed addresses.
        options: those of aiohttp's connector.
    """

    def __init__(self, proxy: Proxy, on_dial: Callable[[str], None], resolver: AbstractResolver | None, **options: Any) -> None:
        super().__init__(resolver=_Names() if proxy.resolves_names else resolver, **options)
        self._proxy = proxy
        self._on_dial = on_dial

    async def _wrap_create_connection(
        self,
        *args: Any,
        addr_infos: list[Any],
        req: aiohttp.ClientRequest,
        timeout: aiohttp.ClientTimeout,
        client_error: type[Exception] = aiohttp.ClientConnectorError,
        **kwargs: Any,
    ) -> tuple[Any, ResponseHandler]:
        host, port = addr_infos[0][4][:2]
        self._on_dial(host)
        connection = await self._tunnel(host, port, req, timeout.sock_connect)
        try:
            return await self._wrap_existing_connection(
                *args, sock=connection, req=req, timeout=timeout, client_error=client_error, **kwargs
            )
        except BaseException:
            connection.close()
            raise

    async def _tunnel(self, host: str, port: int, req: aiohttp.ClientRequest, timeout_s: float | None) -> socket.socket:
        proxy = self._proxy
        socks = SocksProxy(
            python_socks.ProxyType.SOCKS5, proxy.host, proxy.port, proxy.user or None, proxy.password or None, rdns=not _is_address(host)
        )
        try:
            return await socks.connect(host, port, timeout=timeout_s)
        except python_socks.ProxyConnectionError as exc:
            raise proxy.unreachable(exc.__cause__ if isinstance(exc.__cause__, OSError) else exc) from exc
        except python_socks.ProxyError as exc:
            if exc.error_code is None:
                raise proxy.failed("wants other credentials, or is no SOCKS5 proxy") from exc
            if exc.error_code == _NOT_SUPPORTED:
                raise proxy.failed("makes no connections") from exc
            if exc.error_code == _NOT_ALLOWED:
                raise errors.ProxyRefusedError("the proxy refused a connection to the host (its rules)") from exc
            unreachable = OSError(errno.EHOSTUNREACH, f"the proxy answered {exc.error_code}")
            raise aiohttp.ClientConnectorError(req.connection_key, unreachable) from exc


class _Names(AbstractResolver):
    """Hands names on, for the proxy to resolve."""

    async def resolve(self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET) -> list[ResolveResult]:
        """Return the name in the place of its address."""
        return [ResolveResult(hostname=host, host=host, port=port, family=socket.AF_INET, proto=0, flags=0)]

    async def close(self) -> None:
        """Nothing to close."""


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True
