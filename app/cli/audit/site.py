"""Hosts for the audit's runs: one that serves pictures and nothing else, one that fails in every way that is retried or is not."""

from collections.abc import Sequence

from app.cli.demo import pictures
from app.cli.demo.origin import Origin, cut_off, reply

__all__ = ["good_urls", "troubled_urls"]

BASES = 12
"""Pictures that are drawn; every URL serves one of them under a number of its own, so that each has its own digest."""


def good_urls(host: Origin, folder: str, images: int) -> list[str]:
    """Script that many pictures; return their URLs."""
    bases = [pictures.encoded(pictures.photograph(seed)) for seed in range(BASES)]
    return [host.script(f"/{folder}/{at:04d}.jpg", reply(body=numbered(bases[at % BASES], at))) for at in range(images)]


def numbered(jpeg: bytes, number: int) -> bytes:
    """The same picture with a comment behind its first marker (SOI, then COM with its length)."""
    return jpeg[:2] + b"\xff\xfe\x00\x06" + number.to_bytes(4, "big") + jpeg[2:]


def troubled_urls(host: Origin) -> list[str]:
    """Script what passes at the second or third request, what never does, and what must not be asked again."""
    body = pictures.encoded(pictures.photograph(BASES))
    good = [reply(body=numbered(body, at)) for at in range(20)]
    scripts: list[tuple[str, Sequence[object]]] = [
        *((f"/flaky/{at}.jpg", (reply(503), good[at])) for at in range(4)),
        *((f"/gateway/{at}.jpg", (reply(504), reply(503), good[4 + at])) for at in range(2)),
        *((f"/busy/{at}.jpg", (reply(429, headers={"Retry-After": "1"}), good[6 + at])) for at in range(3)),
        ("/half/0.jpg", (cut_off(body), good[9])),
        *((f"/down/{at}.jpg", (reply(503),)) for at in range(2)),
        ("/half/always.jpg", (cut_off(body),)),
        ("/busy/tomorrow.jpg", (reply(429, headers={"Retry-After": "86400"}),)),
        *((f"/gone/{at}.jpg", (reply(404, kind="text/plain"),)) for at in range(2)),
        ("/forbidden/0.jpg", (reply(403, kind="text/plain"),)),
        ("/page/0.jpg", (reply(body=b"<!doctype html>", kind="text/html"),)),
    ]
    return [host.script(path, *steps) for path, steps in scripts]  # type: ignore[arg-type]
