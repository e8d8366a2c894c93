"""Checks of this machine that need no service: packages, disk, limits, codecs, clock."""

import platform
import re
import resource
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from PIL import features

from app.cli.doctor.finding import Finding, fail, note, ok, warn
from app.formatting import number, size
from app.settings import Settings

__all__ = ["check_clock", "check_images", "check_limits", "check_packages", "check_workspace"]

PACKAGES = ("arq", "redis", "httpx", "tenacity", "loguru", "sqlalchemy", "pydantic-settings", "pillow", "numpy", "obstore")
EXTRAS = {"pyarrow": "Parquet lists and exports", "python-socks": "SOCKS proxies", "zstandard": ".zst lists"}
FREE_LOW = 1_000_000_000
"""Bytes; with less a crawl soon fills the disk."""
FILES_SPARE = 200
"""Open files besides connections: database, store, libraries."""
BUILT_AT = 1_700_000_000
"""Unix time of late 2023; an earlier clock is wrong."""


def check_packages(_: Settings, extras: Mapping[str, str] = EXTRAS) -> Iterable[Finding]:
    """Python, and the packages whose versions matter."""
    python = platform.python_version()
    yield ok("packages", "python", f"{python} on {platform.system()} {platform.machine()}")
    found = {name: _version(name) for name in PACKAGES}
    missing = [name for name, number_ in found.items() if number_ is None]
    if missing:
        yield fail("packages", "packages", f"missing: {', '.join(missing)}", "install pictrawl again, in an environment of its own")
    yield _pair(found["arq"] or "0", found["redis"] or "0")
    yield ok("packages", "versions", ", ".join(f"{name} {number_}" for name, number_ in found.items() if number_))
    for name, use in extras.items():
        if _version(name) is None:
            yield note("packages", name, "not installed", f"only {use} need it: install pictrawl[all]")


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _pair(arq: str, redis: str) -> Finding:
    """Without our pins a resolver may pick arq 0.25 with redis 8, which do not work together."""
    value = f"arq {arq} with redis {redis}"
    if _numbers(arq) >= (0, 28) and (5, 3) <= _numbers(redis) < (6, 0):
        return ok("packages", "arq and redis", value)
    return fail("packages", "arq and redis", value, "install arq>=0.28,<0.29 and redis>=5.3,<6")


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text)[:2])


def check_workspace(settings: Settings) -> Iterable[Finding]:
    """Whether the folder can be written, and has free space."""
    path = settings.workspace.path.absolute()
    existing = path
    while not existing.exists():
        existing = existing.parent
    try:
        Path(tempfile.mkdtemp(prefix=".pictrawl-", dir=existing)).rmdir()
    except OSError as error:
        yield fail("workspace", "workspace", f"{path}: {error.strerror}", "change its owner, or name another folder with --workspace")
        return
    yield ok("workspace", "workspace", f"{path} {'exists' if existing == path else 'can be made'}")
    free = shutil.disk_usage(existing).free
    if free < FREE_LOW:
        yield warn("workspace", "free space", size(free), "free some space: images stay in the store until their dataset is deleted")
    else:
        yield ok("workspace", "free space", size(free))


def check_limits(settings: Settings) -> Iterable[Finding]:
    """Whether the process may open as many files as it needs for its connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = settings.fetch.concurrency * 2 + FILES_SPARE
    value = f"{number(soft)} (hard limit {number(hard)}), {number(wanted)} wanted for fetch.concurrency {settings.fetch.concurrency}"
    if 0 <= soft < wanted:
        yield warn("limits", "open files", value, f"ulimit -n {wanted}, or lower fetch.concurrency")
    else:
        yield ok("limits", "open files", value)


def check_images(_: Settings) -> Iterable[Finding]:
    """The codecs that Pillow was built with."""
    codecs = {name: bool(features.check(name)) for name in ("jpg", "zlib", "webp", "avif", "libtiff")}
    value = ", ".join(f"{name} {'yes' if there else 'no'}" for name, there in codecs.items())
    if not (codecs["jpg"] and codecs["zlib"] and codecs["webp"]):
        yield fail("images", "codecs", value, "install a Pillow wheel that has JPEG, PNG and WebP")
    elif not all(codecs.values()):
        yield note("images", "codecs", value, "images in the missing formats are rejected as corrupt")
    else:
        yield ok("images", "codecs", value)


def check_clock(_: Settings) -> Iterable[Finding]:
    """Whether the clock is later than the installed files."""
    now = time.time()
    value = time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now))
    newest = max(Path(__file__).stat().st_mtime, BUILT_AT)
    if now < newest - 86_400:
        yield fail("clock", "clock", value, "set the clock: Retry-After dates and certificates depend on it")
    else:
        yield ok("clock", "clock", value)
