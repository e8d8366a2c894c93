"""An origin of many distant hosts: each address of loopback's 127.1.0.0/16 is a host that waits before it answers.

::

    python benchmarks/many_hosts.py PORT    # only the process that delays; nginx asks it about every request

nginx serves files over TLS. Before each answer it asks this process, which replies after the delay of the host's address.
"""

import asyncio
import contextlib
import os
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Final, cast

import origin
import uvloop

__all__ = ["addresses", "started", "urls_of", "wait_s"]

HOSTS: Final = 500
_LEAST_S, _MOST_S = 0.05, 0.2
"""Typical round trip times on the open network."""

_SEED: Final = "pictrawl"
_BLOCK: Final = 250
"""Addresses used in each 127.1.x.0/24."""

_ANSWER: Final = b"HTTP/1.1 204 No Content\r\n\r\n"

_CONFIG: Final = """\
daemon off;
{user}
worker_processes 1;
worker_rlimit_nofile 16384;
pid {home}/nginx.pid;
error_log {home}/nginx-error.log warn;
events {{ worker_connections 8192; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 0;
    types {{ image/jpeg jpg; text/plain txt; }}
    open_file_cache max=8000 inactive=600s;
    open_file_cache_valid 600s;
    client_body_temp_path {home}/t1; proxy_temp_path {home}/t2; fastcgi_temp_path {home}/t3;
    uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5;
    upstream waiting {{ server 127.0.0.1:{waiting}; keepalive 256; keepalive_requests 1000000; }}
    server {{
        listen 127.0.0.1:{http};
        location / {{ proxy_pass http://waiting/0; }}
    }}
    ssl_session_cache shared:tls:10m;
{hosts}
}}
"""

_HOST: Final = """\
    server {{
        listen {address}:{https} ssl backlog=1024;
        ssl_certificate {certificate};
        ssl_certificate_key {certificate};
        root {corpus};
        location / {{ auth_request /waiting; }}
        location = /waiting {{
            internal;
            proxy_pass http://waiting/{address};
            proxy_http_version 1.1;
            proxy_pass_request_body off;
            proxy_pass_request_headers off;
            proxy_set_header Connection "";
            proxy_set_header Content-Length "";
        }}
    }}
"""
"""Each host has its own certificate, as on the open network; one with all names would be as large as a picture."""


def addresses(count: int = HOSTS) -> list[str]:
    """Return the addresses of the hosts."""
    return [f"127.1.{number // _BLOCK}.{number % _BLOCK + 1}" for number in range(count)]


def wait_s(address: str) -> float:
    """Return the delay of a host before each answer, the same in every run."""
    return _LEAST_S + zlib.crc32(f"{_SEED}:{address}".encode()) / 2**32 * (_MOST_S - _LEAST_S)


def urls_of(port: int, names: list[str]) -> list[str]:
    """Return a URL for each name, the hosts in turn."""
    hosts = addresses()
    return [f"https://{hosts[number % len(hosts)]}:{port}/{name}" for number, name in enumerate(names)]


@contextlib.contextmanager
def started(place: origin.Place) -> Iterator[int]:
    """Run all hosts; yield the port on which each of them serves https. Their certificates must exist."""
    http, https, waiting = origin.free_ports(3)
    user = "user root;" if os.geteuid() == 0 else ""
    hosts = "".join(
        _HOST.format(address=address, https=https, certificate=place.certificate(address), corpus=place.corpus) for address in addresses()
    )
    config = _CONFIG.format(home=place.home, http=http, waiting=waiting, hosts=hosts, user=user)
    clock = subprocess.Popen([sys.executable, str(Path(__file__)), str(waiting)])
    try:
        with origin.running(place, config, f"http://127.0.0.1:{http}/", None):
            yield https
    finally:
        clock.terminate()
        clock.wait()


class Waiting(asyncio.Protocol):
    """Answers ``GET /ADDRESS`` after the address's delay; nginx sends one request at a time on a connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._asked = b""

    def data_received(self, data: bytes) -> None:
        self._asked += data
        if self._asked.endswith(b"\r\n\r\n"):
            address = self._asked.split(b" ", 2)[1].decode().strip("/")
            self._asked = b""
            asyncio.get_running_loop().call_later(wait_s(address), self._answer)

    def _answer(self) -> None:
        if not self._transport.is_closing():
            self._transport.write(_ANSWER)


async def serve(port: int) -> None:
    """Serve the delays of all hosts until a signal ends the process."""
    server = await asyncio.get_running_loop().create_server(Waiting, "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
