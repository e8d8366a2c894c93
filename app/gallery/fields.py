"""What a gallery knows of an image: categories with few values, numbers, and the words of its texts. Pure."""

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, Final
from urllib.parse import unquote, urlsplit

__all__ = ["CATEGORIES", "MEASURED", "NUMBERS", "host_of", "measured", "number", "words_in", "words_of"]

CATEGORIES: Final = ("state", "reason", "label", "split", "source", "license", "host", "format", "reviewed")
"""What images are counted by, in the order in which it is shown. A missing value is None; in a request it is the empty text."""

MEASURED: Final = ("sharpness", "brightness", "entropy", "edges", "frames")
"""Numbers that the checks have measured, by their names there (`app.images.checks.Facts`)."""

NUMBERS: Final = ("width", "height", "pixels", "aspect", "bytes", *MEASURED, "fetched_at")
"""What images are sorted by, and limited to a range of. ``aspect`` is width over height, as in ``--where``; a missing value is NaN."""


def number(value: Any) -> float:
    """A number of a row; NaN where it has none. Zero pixels or bytes are unknown, as in ``--where``."""
    return float(value) if value else math.nan


def measured(measures: Mapping[str, Any], name: str) -> float:
    """A measured value; NaN where there is none."""
    value = measures.get(name)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value) else math.nan


@lru_cache(maxsize=10_000)
def _host(authority: str) -> str | None:
    try:
        return urlsplit(f"//{authority}").hostname
    except ValueError:
        return None


def _place(url: str | None) -> str:
    """Authority and path of a URL. What a query holds may be a key, and is not searched."""
    return (url or "").partition("://")[2].partition("?")[0].partition("#")[0]


def host_of(url: str) -> str | None:
    """The host of a URL, in lower case; None where there is none."""
    return _host(_place(url).partition("/")[0])


def words_in(text: str) -> set[str]:
    """The words of a text that was typed or stored: parts between spaces and slashes, without regard to case."""
    return set(text.casefold().replace("/", " ").split())


def words_of(label: str | None, title: str | None, caption: str | None, creator: str | None, url: str) -> set[str]:
    """The words that an image is found by: of its texts, and of host and path of its URL, without user and password."""
    place = _place(url).rpartition("@")[2]
    return words_in(" ".join(filter(None, (label, title, caption, creator, unquote(place) if "%" in place else place))))
