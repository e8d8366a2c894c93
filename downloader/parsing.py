"""A URL as httpx reads it, for less. Knows httpx's URL and none of the rules of the guard."""

import functools
import re
from typing import Final

import httpx

from downloader import refusals

__all__ = ["parse"]

_SITES_KEPT: Final = 10_000

_PLAIN_PATH: Final = re.compile(r"/(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*/)*(?:[A-Za-z0-9_~-][A-Za-z0-9._~-]*)?(?:\?[A-Za-z0-9._~=&/-]*)?")
"""A path and query of which every reader makes the same: no escape, no dot segment, no empty segment, no mark that one would quote."""


def parse(given: str, url: str, host: str, path: str) -> httpx.URL:
    """Read a URL as httpx does. Where nothing in the path needs a look, what httpx made of the site is used again: that saves 40 us.

    Args:
        given: the URL before it was checked, for the words of a refusal.
        url: the whole URL, which ends in ``path``.

    Raises:
        errors.InvalidURLError: httpx cannot read it.
    """
    if _PLAIN_PATH.fullmatch(path):
        parsed = object.__new__(httpx.URL)
        where, mark, query = path.partition("?")
        site = _parsed_site(url[: len(url) - len(path)], host)
        parsed._uri_reference = site._uri_reference._replace(path=where, query=query if mark else None)
        return parsed
    return _parsed_by_httpx(given, url, host)


@functools.lru_cache(_SITES_KEPT)
def _parsed_site(site: str, host: str) -> httpx.URL:
    return _parsed_by_httpx(site, site, host)


def _parsed_by_httpx(given: str, url: str, host: str) -> httpx.URL:
    try:
        parsed = httpx.URL(url)
        if "xn--" in host:
            _ = parsed.host
    except (httpx.InvalidURL, ValueError) as exc:
        raise refusals.bad_host(given, host, "is no name that can be requested") from exc
    return parsed
