"""Maps column names to fields and a row of values to a candidate, for every format with columns."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import errors
from app.discovery import licences, text, urls
from app.discovery.lists import streams
from app.domain import Candidate, ListProblem
from app.spec import ListSpec

__all__ = ["OWN_COLUMNS", "Columns", "assemble", "candidate_of", "find", "pick", "require", "shown"]

_FILE_DIGESTS = ("sha256", "sha_256", "image_sha256")
"""Digest of the bytes at the URL, except beside a ``file_name``: then it is that of the local file, which may be resized or re-encoded."""

ALIASES: Mapping[str, tuple[str, ...]] = {
    "url": (
        *("url", "image_url", "img_url", "imageurl", "imgurl", "photo_image_url", "photo_url", "media_url", "content_url", "contenturl"),
        *("original_url", "originalurl", "image_uri", "uri", "image_link", "img_src", "src", "image", "urls"),
    ),
    "caption": (
        *("caption", "text", "alt", "alt_text", "alttext", "description", "image_description", "photo_description", "prompt"),
        *("top_caption", "caption_text", "captions", "title"),
    ),
    "label": ("label", "class", "category", "class_name", "label_name", "class_label", "labels", "species"),
    "license": ("license", "licence", "license_name", "licence_name", "license_id", "rights"),
    "license_url": ("license_url", "licence_url", "licenseurl", "license_link"),
    "width": ("width", "original_width", "image_width", "w"),
    "height": ("height", "original_height", "image_height", "h"),
    "expected_sha256": ("source_sha256", *_FILE_DIGESTS),
    "page_url": ("page_url", "source_url", "landing_url", "foreign_landing_url", "originallandingurl", "page", "photo_url_page"),
    "title": ("title", "image_title"),
    "creator": ("creator", "author", "artist", "photographer", "user"),
    "attribution": ("attribution", "credit", "attribution_text"),
    "group_id": ("group_id", "group", "observation_id", "album_id"),
    "split": ("split",),
}
"""For each field of a candidate the column names that stand for it, the best first, in lower case with ``_`` for spaces and dashes."""

OWN_COLUMNS = frozenset({"file_name", "image", "size_bytes", "media_type", "sha256", "phash", "source", "changes"})
"""Columns of our exports that describe the exported file: they stand for no field."""

_OWN_MARKS = frozenset({"url", "split", "source", "sha256", "size_bytes", "media_type"})
_OWN_ALIASES: Mapping[str, tuple[str, ...]] = {"expected_sha256": ("source_sha256",)}

_EXPLICIT = {"url": "url_column", "caption": "caption_column", "label": "label_column", "license": "license_column"}
_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_SPLIT = re.compile(r"[a-z][a-z0-9_]{0,31}")
_MAX_SIDE_PX = 1_000_000
_MAX_SHOWN = 20


def _words(limit: int) -> Callable[[object], str | None]:
    def read(value: object) -> str | None:
        return text.clean(_plain(value), limit)

    return read


def _plain(value: object) -> object:
    """Return numbers and bytes as the text they stand for; anything else as it is."""
    if isinstance(value, str):
        return value
    if isinstance(value, bool | int | float):
        return repr(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "ignore")
    return value


def _side(value: object) -> int | None:
    """Return a number of pixels, ``None`` if it is none; lists write 640, "640" and 640.0."""
    try:
        pixels = int(float(value)) if isinstance(value, str | int | float) else 0
    except (ValueError, OverflowError):
        return None
    return pixels if 0 < pixels <= _MAX_SIDE_PX else None


def _licence(value: object) -> str | None:
    words = text.clean(_plain(value), 200)
    return licences.normalise(words) or words


def _split(value: object) -> str | None:
    """Return the name of a split as exports take it, ``None`` for a number or words that are none."""
    name = (text.clean(value, 100) or "").lower()
    return name if _SPLIT.fullmatch(name) else None


_READERS: Mapping[str, Callable[[object], str | int | None]] = {
    "caption": _words(5_000),
    "label": _words(100),
    "license": _licence,
    "license_url": urls.usable,
    "width": _side,
    "height": _side,
    "page_url": urls.usable,
    "title": _words(500),
    "creator": _words(300),
    "attribution": _words(1_000),
    "group_id": _words(200),
    "split": _split,
}


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a row each field stands. ``others`` holds field, position and reader of all but URL and digest."""

    url: int
    digest: int | None
    others: tuple[tuple[str, int, Callable[[object], str | int | None]], ...]

    def candidate(self, values: Sequence[object], line: int, rank: int) -> Candidate | ListProblem:
        """Return the candidate that a row of values stands for, or why there is none."""
        url = _plain(values[self.url])
        if not isinstance(url, str):
            return streams.bad_row(line, "there is no URL" if url is None else "the URL is not text")
        try:
            url = urls.read(url)
        except errors.InvalidURLError as exc:
            return streams.bad_row(line, str(exc), url.strip())
        digest = _plain(values[self.digest]) if self.digest is not None else None
        if digest and not (isinstance(digest, str) and _DIGEST.fullmatch(digest.strip())):
            return streams.bad_row(line, "the sha256 is not 64 hexadecimal digits", url)
        found = {field: read(values[position]) for field, position, read in self.others}
        expected = digest.strip().lower() if isinstance(digest, str) and digest else None
        return Candidate(url=url, source=streams.SOURCE, rank=rank, line=line, expected_sha256=expected, **found)  # type: ignore[arg-type]


def candidate_of(text: str, line: int, rank: int) -> Candidate | ListProblem:
    """Return the candidate of a row that is nothing but a URL, or why there is none."""
    try:
        return Candidate(url=urls.read(text), source=streams.SOURCE, rank=rank, line=line)
    except errors.InvalidURLError as exc:
        return streams.bad_row(line, str(exc), text.strip())


def find(names: Sequence[str], spec: ListSpec) -> dict[str, int]:
    """Return the position of each field that a column stands for; the spec's own columns win over what names suggest."""
    folded = [_fold(name) for name in names]
    names_a_file, is_own = "file_name" in folded, _is_own_export(names)
    found = {}
    for field, aliases in ALIASES.items():
        known = _OWN_ALIASES.get(field, (field,)) if is_own else aliases
        wanted = _wanted(field, spec)
        position = _explicit(names, folded, wanted) if wanted else next((folded.index(name) for name in known if name in folded), None)
        if position is not None and not (names_a_file and folded[position] in _FILE_DIGESTS):
            found[field] = position
    return found


def _is_own_export(names: Sequence[str]) -> bool:
    """Whether the rows are those of an export of ours, which calls each field by one name."""
    return _OWN_MARKS.issubset(names)


def pick(names: Sequence[str], spec: ListSpec, where: str) -> Columns:
    """Return the columns of a table with a header; raises what :func:`require` does."""
    require(names, spec, where)
    return assemble(find(names, spec))


def require(names: Sequence[str], spec: ListSpec, where: str, *, with_url: bool = True) -> None:
    """Check that the columns are there which ``spec`` names, and, unless told otherwise, one of URLs.

    Raises:
        errors.ConfigurationError: one is missing; the message names those there are.
    """
    found = find(names, spec)
    for field, setting in _EXPLICIT.items():
        wanted = _wanted(field, spec)
        if wanted and field not in found:
            raise errors.ConfigurationError(f"{where} has no column {wanted[:60]!r} ({setting}); {_choice(names, wanted)}")
    if with_url and "url" not in found:
        way_out = f"call one 'url' or name it with url_column{_headless(names)}"
        raise errors.ConfigurationError(f"{where} has no column with URLs; {_choice(names)}; {way_out}")


def assemble(found: Mapping[str, int]) -> Columns:
    """Return the columns at known positions; ``found`` has at least ``url``."""
    others = tuple((field, found[field], read) for field, read in _READERS.items() if field in found)
    return Columns(url=found["url"], digest=found.get("expected_sha256"), others=others)


def shown(names: Iterable[str]) -> str:
    """Return column names for a message, the first 20 of them."""
    known = [text.preview(name)[:60] or "''" for name in names]
    more = f" and {len(known) - _MAX_SHOWN} more" if len(known) > _MAX_SHOWN else ""
    return ", ".join(known[:_MAX_SHOWN]) + more


def _choice(names: Sequence[str], wanted: str = "") -> str:
    near = difflib.get_close_matches(wanted, names[:1000], n=1) if wanted else []
    hint = f", the nearest is {text.preview(near[0])[:60]!r}" if near else ""
    return f"its columns are {shown(names)}{hint}" if names else "it has no columns"


def _headless(names: Sequence[str]) -> str:
    if any(urls.usable(name) for name in names):
        return "; its first row holds a URL, so a header such as url,caption is missing (a list of nothing but URLs is a .txt)"
    return ""


def _wanted(field: str, spec: ListSpec) -> str | None:
    setting = _EXPLICIT.get(field)
    value: str | None = getattr(spec, setting) if setting else None
    return value


def _explicit(names: Sequence[str], folded: Sequence[str], wanted: str) -> int | None:
    """Return the position of a column by its exact name, else by its name in any case."""
    if wanted in names:
        return names.index(wanted)
    return folded.index(_fold(wanted)) if _fold(wanted) in folded else None


def _fold(name: str) -> str:
    return re.sub(r"[\s\-.]+", "_", name.strip().lower())
