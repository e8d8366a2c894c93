"""The operator's proxy: its URL, what its answers mean, and a probe that asks it for nothing. Knows no origin and no address rule.

An error of the proxy is none of the URL's: whoever cannot reach it, or is not let in, fetches nothing at all. What it says of one host is
that host's.
"""

import asyncio
import base64
import contextlib
import importlib.util
import os
import socket
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import unquote, urlsplit

import errors

__all__ = ["Proxy", "check_proxy", "read_proxy"]

_SCHEMES: Final = ("http", "socks5", "socks5h")
_FORM: Final = "write http://host:port, socks5://host:port or socks5h://host:port, with user:password@ before the host where it needs them"
_PROBE_S: Final = 5.0

_NEEDS_LOGIN: Final = 407
_SOCKS_NO_LOGIN: Final = b"\x00"
_SOCKS_LOGIN: Final = b"\x02"


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy.

    Attributes:
        scheme: ``http``, ``socks5`` (we resolve names and hand it addresses) or ``socks5h`` (it resolves them).
    """

    scheme: str
    host: str
    port: int
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)

    @property
    def place(self) -> str:
        """Host and port, as in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        """The URL without the credentials, for messages too."""
        return f"{self.scheme}://{self.place}"

    @property
    def is_socks(self) -> bool:
        """Whether it speaks SOCKS, not HTTP."""
        return self.scheme != "http"

    @property
    def resolves_names(self) -> bool:
        """Whether it is handed names, whose addresses we never see."""
        return self.scheme != "socks5"

    @property
    def blind_spot(self) -> str:
        """What the address guard does not see behind a proxy that resolves names."""
        return "the proxy resolves the names: ports, literal addresses and local names are checked, the addresses of other names are not"

    @property
    def authorization(self) -> dict[str, str]:
        """The header with its credentials (RFC 7617); empty without any."""
        if not self.user:
            return {}
        pair = base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")
        return {"Proxy-Authorization": f"Basic {pair}"}

    def failed(self, why: str) -> errors.ProxyError:
        """Return the error of a proxy that serves nobody."""
        return errors.ProxyError(f"the proxy {self.url} {why}")

    def unreachable(self, exc: OSError) -> errors.ProxyError:
        """Return the error of a proxy to which no connection is made."""
        if isinstance(exc, socket.gaierror):
            return self.failed("has a name without an address")
        return self.failed(f"cannot be reached ({os.strerror(exc.errno) if exc.errno else type(exc).__name__})")


def read_proxy(text: str) -> Proxy:
    """Read the URL of a proxy.

    Raises:
        errors.ConfigurationError: it is none, or its kind needs what is not installed. The message does not quote it.
    """
    try:
        parts = urlsplit(text.strip())
        port = parts.port
    except ValueError as exc:
        raise errors.ConfigurationError(f"fetch.proxy is no URL; {_FORM}") from exc
    if parts.scheme not in _SCHEMES:
        raise errors.ConfigurationError(f"fetch.proxy is no http, socks5 or socks5h URL; {_FORM}")
    if not parts.hostname or not port or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise errors.ConfigurationError(f"fetch.proxy has no host, no port or a path; {_FORM}")
    proxy = Proxy(parts.scheme, parts.hostname, port, unquote(parts.username or ""), unquote(parts.password or ""))
    if proxy.is_socks and importlib.util.find_spec("python_socks") is None:
        raise errors.ConfigurationError("fetch.proxy is a SOCKS proxy, which needs python-socks; install pictrawl[socks]")
    if proxy.is_socks and not (proxy.user + proxy.password).isascii():
        raise errors.ConfigurationError("fetch.proxy has a user or a password beyond ASCII; a SOCKS proxy takes ASCII only")
    return proxy


async def check_proxy(proxy: Proxy, *, timeout_s: float | None = _PROBE_S) -> None:
    """Ask whether a proxy lets us in, without asking it for another host.

    Raises:
        errors.ProxyError: it cannot be reached, does not answer, or wants other credentials.
    """
    try:
        async with asyncio.timeout(timeout_s):
            reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
            try:
                await (_greet_socks(proxy, reader, writer) if proxy.is_socks else _greet_http(proxy, reader, writer))
            finally:
                writer.close()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
    except TimeoutError as exc:
        raise proxy.failed("does not answer") from exc
    except OSError as exc:
        raise proxy.unreachable(exc) from exc
    except (EOFError, ValueError) as exc:
        raise proxy.failed(f"is no {'SOCKS5' if proxy.is_socks else 'HTTP'} proxy") from exc


async def _greet_http(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Ask for a tunnel to the proxy itself: whoever is not let in gets a 407, and any other answer is one."""
    lines = [
        f"CONNECT {proxy.place} HTTP/1.1",
        f"Host: {proxy.place}",
        *(f"{name}: {value}" for name, value in proxy.authorization.items()),
        "",
        "",
    ]
    writer.write("\r\n".join(lines).encode("latin-1"))
    version, _, rest = (await reader.readuntil(b"\r\n")).partition(b" ")
    if not version.startswith(b"HTTP/"):
        raise ValueError("no HTTP")
    if int(rest[:3]) == _NEEDS_LOGIN:
        raise proxy.failed("wants other credentials (407)")


async def _greet_socks(proxy: Proxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """RFC 1928 3 and RFC 1929: agree on a method, and log in."""
    offered = _SOCKS_NO_LOGIN + (_SOCKS_LOGIN if proxy.user else b"")
    writer.write(b"\x05" + bytes([len(offered)]) + offered)
    version, method = await reader.readexactly(2)
    if version != 5:
        raise ValueError("no SOCKS5")
    if bytes([method]) not in offered:
        raise proxy.failed("wants other credentials")
    if bytes([method]) == _SOCKS_LOGIN:
        user, password = proxy.user.encode(), proxy.password.encode()
        writer.write(b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password)
        if (await reader.readexactly(2))[1] != 0:
            raise proxy.failed("wants other credentials")
