"""Which pictures are placeholders: what a site gives for many URLs of other pictures, such as "this image no longer exists". Pure.

A placeholder is known by its URLs alone: many unrelated ones of one site gave the same picture, or led to one address. There is no list of
known placeholders.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from app.images.ranking import Pictured

__all__ = ["MIN_URLS", "Link", "Placeholder", "Received", "find_placeholders", "groups_of_one_picture", "picture_of"]

MIN_URLS: Final = 3
"""Unrelated URLs below which nothing is a placeholder, whatever else speaks for it: two may well be two copies."""


@dataclass(frozen=True, slots=True)
class Link:
    """A URL that gave a picture, and what its list or source says about it."""

    id: int
    url: str
    final_url: str | None = None
    caption: str | None = None
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A placeholder: the host that gave it, the links to it, and how many unrelated URLs are among them."""

    host: str
    links: Sequence[Link]
    urls: int


class Received(Pictured, Protocol):
    """An image, as far as its picture and its address are concerned."""

    @property
    def redirected_to(self) -> int | None:
        """A number for the address that its URL led to, if that is another one."""
        ...


_SAME_BITS: Final = 2
_SAME_LEVELS: Final = 2
"""Bits of the perceptual hash and levels of the colour grid up to which pictures of one size are one picture, encoded anew for every
request. Near duplicates may differ in far more, and are often different pictures of a series."""


def groups_of_one_picture(items: Sequence[Received], kept_ids: Mapping[int, int]) -> list[list[int]]:
    """Return the ids of images that may be a placeholder: with the same bytes, nearly the same picture, or one address, three at least.

    Args:
        items: any number.
        kept_ids: by id of a duplicate, the image that it repeats.
    """
    keepers = set(kept_ids.values())
    originals = {item.id: item for item in items if item.id in keepers}
    groups: dict[tuple[str, object], list[int]] = {}
    for item in items:
        if item.redirected_to is not None:
            groups.setdefault(("address", item.redirected_to), []).append(item.id)
        original = originals.get(kept_ids.get(item.id, item.id))
        if original is None:  # nothing else shows its picture
            continue
        groups.setdefault(("bytes", item.sha256), []).append(item.id)
        if _is_one_picture(item, original):
            groups.setdefault(("picture", original.id), []).append(item.id)
    return [list(group) for group in {tuple(ids) for ids in groups.values() if len(ids) >= MIN_URLS}]


def _is_one_picture(item: Received, original: Received) -> bool:
    if item.id == original.id:
        return True
    if item.pixels != original.pixels or item.phash is None or original.phash is None or item.colours is None or original.colours is None:
        return False
    bits = (int(item.phash, 16) ^ int(original.phash, 16)).bit_count()
    levels = max(abs(one - other) for one, other in zip(item.colours, original.colours, strict=True))
    return bits <= _SAME_BITS and levels <= _SAME_LEVELS


def find_placeholders(links: Iterable[Link], min_urls: int) -> list[Placeholder]:
    """Return the placeholders, site by site, among links that all gave one picture or led to one address.

    The links of one site are those to a placeholder if enough unrelated URLs are among them: ``min_urls``, where a redirect to the address
    of another picture counts twice, but at least three. Variants of one URL (sizes, formats, numbered servers) count once. Links with
    one caption, or without captions with one label, are links to one picture that a list names several times; the label alone is no
    such sign where the URLs are redirected.

    Args:
        links: any number.
        min_urls: unrelated URLs; 0 finds nothing.
    """
    by_site: dict[str, list[Link]] = {}
    for link in links if min_urls else ():
        by_site.setdefault(_site_of(link.final_url or link.url), []).append(link)
    return [
        Placeholder(_split(group[0].final_url or group[0].url)[0], group, len({picture_of(link.url) for link in group}))
        for group in by_site.values()
        if _is_placeholder(group, min_urls)
    ]


def _is_placeholder(group: Sequence[Link], min_urls: int) -> bool:
    pictures = {picture_of(link.url) for link in group}
    redirected = _redirected(group)
    if len(pictures) < MIN_URLS or len(pictures) + len(redirected) < min_urls:
        return False
    captions = [caption.casefold() for link in group if (caption := (link.caption or "").strip())]
    labels = {label.casefold() for link in group if (label := (link.label or "").strip())}
    if len(redirected) >= MIN_URLS:
        return not captions or len(set(captions)) > 1
    return 2 * len(set(captions)) > len(captions) if captions else len(labels) != 1


def _redirected(group: Sequence[Link]) -> set[str]:
    """The pictures whose URLs lead to the address of another picture, the same for all but for its query."""
    moved = {
        picture: picture_of(link.final_url.partition("?")[0])
        for link in group
        if link.final_url and (picture := picture_of(link.url)) != picture_of(link.final_url)
    }
    return set(moved) if len(set(moved.values())) == 1 else set()


def _site_of(url: str) -> str:
    """The host without digits: ``img1.example`` and ``img2.example`` serve the same."""
    return re.sub(r"\d+", "", _split(url)[0])


def _split(url: str) -> tuple[str, str, str]:
    """Host, path and query; a URL that cannot be parsed is a path."""
    try:
        parts = urlsplit(url)
        return (parts.hostname or "").removeprefix("www."), parts.path, parts.query
    except ValueError:
        return "", url, ""


_FILE: Final = re.compile(r"\.(?:jpe?g|jfif|png|webp|gif|bmp|tiff?|avif|hei[cf])$")
_SIZE_WORDS: Final = r"thumb(?:nail)?s?|small|medium|large|big|full|original|orig|preview|mini|tiny|[sml]|xl"
_SIZE: Final = rf"(?:[wh]?\d{{2,5}}x\d{{0,5}}|\d{{2,5}}(?:px|w|h)|[wh]_?\d{{2,5}}|@?[1-4]x|{_SIZE_WORDS})"
_SIZE_SEGMENT: Final = re.compile(rf"{_SIZE}|(?>[\w-]+[_=][\w.:-]+,)*(?:w|h|width|height)[_=]\d+(?>,[\w-]+[_=][\w.:-]+)*")
"""A segment of a path that states a size only, as on image servers: ``300x200``, ``thumb``, ``w_300,c_fill``, ``width=300,quality=80``."""

_SIZE_SUFFIX: Final = re.compile(rf"(?<=\w)(?:[-_.]|(?=@)){_SIZE}$")
_SIZE_PREFIX: Final = re.compile(r"^\d{2,5}px-")
_SIZE_PARAMETERS: Final = re.compile(
    "w|h|s|q|width|height|size|quality|sz|dpr|fit|crop|resize|scale|auto|fm|fmt|format|ext|v|ver|version|t|ts|cb|cache|ixid|ixlib", re.I
)


def picture_of(url: str) -> str:
    """What a URL names, the same for all its variants: the path without sizes, without host and format.

    The query counts only where the path does not end like an image file, and there without sizes and versions.
    """
    _, path, query = _split(url)
    segments = [unquote(segment).casefold() for segment in path.split("/") if segment]
    is_file = bool(segments and _FILE.search(segments[-1]))
    named = [_FILE.sub("", segment) for segment in segments[:-1] if not _SIZE_SEGMENT.fullmatch(segment)]
    last = _SIZE_SUFFIX.sub("", _SIZE_PREFIX.sub("", _FILE.sub("", segments[-1]))) if segments else ""
    if not named or named[-1] != last:  # as in …/thumb/1/12/a.jpg/200px-a.jpg
        named.append(last)
    parameters = [] if is_file else sorted(pair for pair in parse_qsl(query) if not _SIZE_PARAMETERS.fullmatch(pair[0]))
    return "/".join(named) + "".join(f"&{name}={value}" for name, value in parameters)
