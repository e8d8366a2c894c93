"""The origin of the benchmarks: a seeded corpus of JPEGs of about 100 KB, served by nginx over http and https on loopback.

300 distinct images are served under any number of names, ``/<number>/<image>.jpg``, so that no URL comes twice.
"""

import contextlib
import io
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import trustme
from PIL import Image

__all__ = [
    *("LARGE_BYTES", "ROBOTS", "Origin", "Place", "certify", "cores", "free_ports"),
    *("make_place", "running", "sizes_of", "started", "urls_of"),
]

IMAGES: Final = 300
"""Distinct files, 30 MB in all: they fit into the page cache and not into the processor's caches."""

LARGE_BYTES: Final = 4_000_000
"""Size of ``/large/<anything>``; ``/endless/<anything>`` is longer and has no Content-Length. For the worst case of memory."""

TRICKLE_BYTES: Final = 200_000
"""The last bytes of such a body are sent slowly, so that all requests in flight hold nearly a whole body at the same time."""

_SHAPES: Final = ((800, 600), (1024, 768), (1280, 720), (960, 1280))
_SIGMA: Final = 10.0
"""Grain with which a million pixels at quality 75 take some 100 KB."""

ROBOTS: Final = "User-agent: *\nDisallow: /private/\nAllow: /\n"
_READY_S: Final = 10.0

_CONFIG: Final = """\
daemon off;
{user}
worker_processes 1;
pid {home}/nginx.pid;
error_log {home}/nginx-error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_timeout 75;
    keepalive_requests 1000000;
    types {{ image/jpeg jpg; text/plain txt; }}
    default_type application/octet-stream;
    open_file_cache max=2000 inactive=600s;
    open_file_cache_valid 600s;
    client_body_temp_path {home}/t1; proxy_temp_path {home}/t2; fastcgi_temp_path {home}/t3;
    uwsgi_temp_path {home}/t4; scgi_temp_path {home}/t5;
    server {{
        listen 127.0.0.1:{http} backlog=4096;
        listen 127.0.0.1:{https} ssl backlog=4096;
        ssl_certificate {home}/server.pem;
        ssl_certificate_key {home}/server.pem;
        ssl_session_cache shared:tls:10m;
        root {corpus};
        rewrite "^/[0-9]+/([0-9]+\\.jpg)$" /$1 break;
        location /large/ {{
            rewrite "" /large.jpg break;
            limit_rate_after {held};
            limit_rate 64k;
        }}
        location /endless/ {{
            rewrite "" /endless.bin break;
            sub_filter "a filter takes the length away" "";
            sub_filter_types *;
            limit_rate_after {held};
            limit_rate 64k;
        }}
    }}
}}
"""


@dataclass(frozen=True, slots=True)
class Place:
    """The scratch folder: corpus, certificates, the server's own files. ``pictures`` is the name of the folder that is served."""

    home: Path
    pictures: str = "corpus"

    @property
    def corpus(self) -> Path:
        return self.home / self.pictures

    @property
    def authority(self) -> Path:
        return self.home / "authority.pem"

    def certificate(self, host: str) -> Path:
        """The file with the certificate and the key of a host."""
        return self.home / "hosts" / f"{host}.pem"

    def servers(self) -> list[int]:
        """The process ids of the server.

        Raises:
            SystemExit: none does.
        """
        try:
            return [int((self.home / "nginx.pid").read_text())]
        except FileNotFoundError as error:
            raise SystemExit("no origin runs") from error


@dataclass(frozen=True, slots=True)
class Origin:
    """A running origin."""

    http: str
    https: str
    authority: Path


def cores() -> tuple[int, int]:
    """Return the cores of the client and of the origin; the same core where the machine has one."""
    usable = sorted(os.sched_getaffinity(0))
    return usable[0], usable[-1]


def make_place(home: Path) -> Place:
    """Create what is missing in the scratch folder."""
    place = Place(home)
    place.corpus.mkdir(parents=True, exist_ok=True)
    for number in range(IMAGES):
        path = place.corpus / f"{number:03d}.jpg"
        if not path.exists():
            _write(path, _image(number))
    _write(place.corpus / "large.jpg", _image(0).ljust(LARGE_BYTES, b"\0"))
    with (place.corpus / "endless.bin").open("wb") as file:
        file.truncate(100 * LARGE_BYTES)  # a hole: it takes no room
    _write(place.corpus / "robots.txt", ROBOTS.encode())
    certify(place)
    return place


def sizes_of(place: Place) -> dict[str, int]:
    """Return the size of every image in bytes, by its name."""
    return {path.name: path.stat().st_size for path in sorted(place.corpus.glob("[0-9]*.jpg"))}


def urls_of(base: str, count: int) -> list[str]:
    """Return distinct URLs that repeat the corpus."""
    return [f"{base}/{number}/{number % IMAGES:03d}.jpg" for number in range(count)]


@contextlib.contextmanager
def started(place: Place, core: int | None) -> Iterator[Origin]:
    """Run nginx on one core, or on any, on free loopback ports."""
    http, https = free_ports(2)
    user = "user root;" if os.geteuid() == 0 else ""
    held = LARGE_BYTES - TRICKLE_BYTES
    config = _CONFIG.format(home=place.home, corpus=place.corpus, http=http, https=https, user=user, held=held)
    with running(place, config, f"http://127.0.0.1:{http}/robots.txt", core):
        yield Origin(f"http://127.0.0.1:{http}", f"https://127.0.0.1:{https}", place.authority)


@contextlib.contextmanager
def running(place: Place, config: str, ready_url: str, core: int | None) -> Iterator[None]:
    """Run nginx with a configuration and wait until a URL is answered."""
    nginx = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin") or "nginx"
    (place.home / "nginx.conf").write_text(config)
    pinned = [] if core is None else ["taskset", "-c", str(core)]
    command = [*pinned, nginx, "-c", str(place.home / "nginx.conf"), "-e", str(place.home / "nginx-error.log")]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        _wait_for(ready_url, server)
        yield
    except SystemExit as error:
        if server.poll() is None:
            raise
        raise SystemExit(f"{error}\nnginx ended meanwhile, with {server.returncode}; its error log is in the scratch folder") from error
    finally:
        server.terminate()
        server.wait(timeout=_READY_S)


def certify(place: Place, *hosts: str) -> None:
    """Create an authority, its certificate for loopback and one for each of ``hosts``, again for each run, because they expire."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(str(place.authority))
    _issue(authority, place.home / "server.pem", "127.0.0.1", "localhost")
    for host in hosts:
        _issue(authority, place.certificate(host), host)


def _issue(authority: trustme.CA, path: Path, *names: str) -> None:
    """Write one file with a certificate and its key."""
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(authority.issue_cert(*names).private_key_and_cert_chain_pem.bytes())


def free_ports(count: int) -> list[int]:
    """Return free loopback ports."""
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [one.getsockname()[1] for one in held]


def _image(number: int) -> bytes:
    """Return a smooth picture with grain, like a photograph; the same bytes for the same number and library."""
    random = np.random.default_rng(number)
    width, height = _SHAPES[number % len(_SHAPES)]
    coarse = random.integers(40, 216, size=(6, 8, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    sigma = _SIGMA * float(random.uniform(0.4, 0.75)) * 780_000 / (width * height)
    grain = random.normal(0, sigma, size=(height, width, 1)).astype(np.float32)
    buffer = io.BytesIO()
    Image.fromarray((smooth + grain).clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=75)
    return buffer.getvalue()


def _write(path: Path, content: bytes) -> None:
    """Write a whole image or none, so that an interrupted run leaves no partial file."""
    part = path.with_suffix(".part")
    part.write_bytes(content)
    part.replace(path)


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + _READY_S
    while True:
        with contextlib.suppress(OSError), urllib.request.urlopen(url, timeout=1):
            return
        if server.poll() is not None or time.monotonic() > until:
            raise SystemExit("nginx does not start; its error log is in the scratch folder")
        time.sleep(0.05)
