"""Maps column names to fields and a row of values to a candidate, for every format with columns."""

import difflib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, get_args

import errors
from app.discovery import text, urls
from app.discovery.folders import place
from app.discovery.lists import boxes, streams, values
from app.discovery.lists.header import Header, fold
from app.domain import FOLDER_SOURCE, LIST_SOURCE, Candidate, LicenseConfidence, ListProblem
from app.spec import ListSpec

__all__ = [
    "OWN_COLUMNS",
    "Columns",
    "assemble",
    "candidate_of",
    "find",
    "is_own_export",
    "kept_columns",
    "names_read",
    "pick",
    "require",
    "shown",
    "taken",
    "unused_name",
]

_FILE_DIGESTS = ("sha256", "sha_256", "image_sha256")
"""Digest of the bytes at the URL, except beside a ``file_name``: then it is that of the local file, which may be resized or re-encoded."""

ALIASES: Mapping[str, tuple[str, ...]] = {
    "url": (
        *("url", "image_url", "img_url", "imageurl", "imgurl", "photo_image_url", "photo_url", "media_url", "content_url", "contenturl"),
        *("original_url", "originalurl", "coco_url", "image_uri", "uri", "image_link", "image_src", "img_src", "src", "image", "urls"),
    ),
    "caption": (
        *("caption", "text", "alt", "alt_text", "alttext", "description", "image_description", "photo_description", "prompt"),
        *("top_caption", "caption_text", "title"),
    ),
    "captions": ("captions",),
    "label": ("label", "class", "category", "class_name", "label_name", "class_label", "species"),
    "labels": ("labels",),
    "license": ("license", "licence", "license_name", "licence_name", "license_id", "rights"),
    "license_url": ("license_url", "licence_url", "licenseurl", "license_link"),
    "license_raw": ("license_raw",),
    "license_confidence": ("license_confidence",),
    "license_note": ("license_note",),
    "creator_url": ("creator_url", "author_url", "artist_url"),
    "width": ("width", "original_width", "image_width", "w"),
    "height": ("height", "original_height", "image_height", "h"),
    "expected_sha256": ("source_sha256", *_FILE_DIGESTS),
    "page_url": ("page_url", "source_url", "landing_url", "foreign_landing_url", "originallandingurl", "page", "photo_url_page"),
    "title": ("title", "image_title"),
    "creator": ("creator", "author", "artist", "photographer", "user"),
    "attribution": ("attribution", "credit", "attribution_text"),
    "group_id": ("group_id", "group", "observation_id", "album_id"),
    "split": ("split",),
    "boxes": ("objects", "boxes", "bboxes", "bbox", "bounding_boxes"),
}
"""For each field of a candidate the column names that stand for it, the best first, in lower case with ``_`` for spaces and dashes."""

OWN_COLUMNS = frozenset({"file_name", "image", "size_bytes", "media_type", "sha256", "phash", "source", "changes"})
"""Columns of our exports that describe the exported file: they stand for no field."""

_OWN_MARKS = frozenset({"url", "split", "source", "sha256", "size_bytes", "media_type"})
_OWN_ALIASES: Mapping[str, tuple[str, ...]] = {"expected_sha256": ("source_sha256",), "boxes": ("objects",)}

_EXPLICIT = {
    "url": "url_column",
    "caption": "caption_column",
    "label": "label_column",
    "license": "license_column",
    "group_id": "group_column",
}
_PLURAL = {"captions": "caption_column", "labels": "label_column"}
"""Columns that are read beside another, unless the spec names that one."""

_NAMES = frozenset(name for names in ALIASES.values() for name in names)
_URL_NAME = re.compile(r"(?:.*_)?(?:url|uri|src|href|link)s?")
"""Folded names that are likely to be those of URLs."""

_DIGEST = re.compile(r"[0-9a-fA-F]{64}")
_SPLIT = re.compile(r"[a-z][a-z0-9_]{0,31}")
_MAX_SHOWN = 20

MAX_KEPT = 200
"""Further columns of one row, as many as an export takes."""

_MAX_CAPTION_CHARS, _MAX_LABEL_CHARS, _MAX_GROUP_CHARS, _MAX_NAME_CHARS = 5_000, 100, 200, 100


def _words(limit: int) -> Callable[[object], str | None]:
    def read(value: object) -> str | None:
        return text.clean(values.plain(value), limit)

    return read


def _split(value: object) -> str | None:
    """Return the name of a split as exports take it, ``None`` for a number or words that are none."""
    name = (text.clean(value, 100) or "").lower()
    return name if _SPLIT.fullmatch(name) else None


def _confidence(value: object) -> str:
    """How our exports say that a licence is known; the gate decides again where they do not."""
    return value if isinstance(value, str) and value in get_args(LicenseConfidence) else "unknown"


_READERS: Mapping[str, Callable[[object], str | int | None]] = {
    "license": _words(500),  # the licence gate reads it
    "license_url": urls.usable,
    "license_raw": _words(500),
    "license_confidence": _confidence,
    "license_note": _words(500),
    "creator_url": urls.usable,
    "width": values.pixels,
    "height": values.pixels,
    "page_url": urls.usable,
    "title": _words(500),
    "creator": _words(300),
    "attribution": _words(1_000),
    "split": _split,
    "origin_url": urls.usable,
    "origin": _words(40),
}
_Texts = Callable[..., Iterator[str]]


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a row each field stands.

    Attributes:
        captions, labels, groups: the positions that may hold any number of them; the first group counts.
        boxes: of the column with boxes; where it holds something else, that is kept as of a further column.
        others: field, position and reader of every other field.
        kept: name and position of the columns that are carried to the exports as they are.
        typed: whether the format has types; the cells of CSV and TSV are text.
        nested: whether lists and objects are kept as well, because their columns were named.
        left_out: names of the columns found so far with values that cannot be read or kept; the only part that changes.
        read_url: returns the URL that a text stands for.
        source: of the candidates.
    """

    url: int
    digest: int | None = None
    captions: tuple[int, ...] = ()
    labels: tuple[int, ...] = ()
    groups: tuple[int, ...] = ()
    boxes: int | None = None
    others: tuple[tuple[str, int, Callable[[object], str | int | None]], ...] = ()
    kept: tuple[tuple[str, int], ...] = ()
    names: Sequence[str] = ()
    typed: bool = True
    nested: bool = False
    left_out: set[str] = field(default_factory=set, compare=False)
    read_url: Callable[[str], str] = urls.read
    source: str = LIST_SOURCE

    def candidate(self, row: Sequence[object], line: int, rank: int) -> Candidate | ListProblem:
        """Return the candidate that a row of values stands for, or why there is none."""
        url = values.plain(_only(self._value(row, self.url)))
        if not isinstance(url, str):
            return streams.bad_row(line, "there is no URL" if url in (None, []) else f"the URL is not text but {self._kind(url)}")
        try:
            url = self.read_url(url)
        except errors.InvalidURLError as exc:
            return streams.bad_row(line, str(exc), url.strip())
        digest = values.plain(self._value(row, self.digest))
        if digest and not (isinstance(digest, str) and _DIGEST.fullmatch(digest.strip())):
            return streams.bad_row(line, "the sha256 is not 64 hexadecimal digits", url)
        captions = self._all(row, self.captions, values.texts, _MAX_CAPTION_CHARS)
        labels = self._all(row, self.labels, values.identifiers, _MAX_LABEL_CHARS)
        groups = self._all(row, self.groups, values.identifiers, _MAX_GROUP_CHARS)
        found = boxes.find_boxes(self._value(row, self.boxes))
        try:
            objects = () if found is None else boxes.read_boxes(found, labels[0] if labels else None)
        except ValueError as exc:
            return streams.bad_row(line, f"the boxes of the column {self.names[self.boxes or 0]!r}: {exc}", url)
        return Candidate(
            url=url,
            source=self.source,
            rank=rank,
            line=line,
            caption=captions[0] if captions else None,
            captions=captions if len(captions) > 1 else (),
            label=labels[0] if labels else None,
            labels=labels if len(labels) > 1 else (),
            group_id=groups[0] if groups else None,
            expected_sha256=digest.strip().lower() if isinstance(digest, str) and digest else None,
            boxes=objects,
            extra=self._extra(row),
            **{name: read(self._value(row, position)) for name, position, read in self.others},  # type: ignore[arg-type]
        )

    def _value(self, row: Sequence[object], position: int | None) -> object:
        """Return one value, ``None`` where it is missing."""
        value = None if position is None else row[position]
        return None if value is None or values.is_missing(value, typed=self.typed) else value

    def _all(self, row: Sequence[object], positions: Sequence[int], read: _Texts, limit: int) -> tuple[str, ...]:
        """Return the different texts of some columns, in order."""
        found: dict[str, None] = {}
        for position in positions:
            read_here = list(read(row[position], limit, typed=self.typed))
            if not read_here and isinstance(row[position], list | tuple | dict) and row[position]:
                self._leave_out(position)
            found |= dict.fromkeys(read_here)
        return tuple(found)

    def _extra(self, row: Sequence[object]) -> Mapping[str, Any]:
        extra = {}
        for name, position in self.kept:
            value = row[position]
            if value is None or (position == self.boxes and boxes.find_boxes(value) is not None):
                continue
            kept = values.keep(value, typed=self.typed, nested=self.nested)
            if kept is not None:
                extra[name] = kept
            elif isinstance(value, list | tuple | dict) and value:
                self._leave_out(position)
        return extra

    def _kind(self, url: object) -> str:
        if isinstance(url, list | tuple):
            return f"a list of {len(url)}; write one row for each URL"
        if not isinstance(url, dict) or not url:
            return "an empty object" if isinstance(url, dict) else type(url).__name__
        name = self.names[self.url] if self.url < len(self.names) else "url"
        return (
            f"an object with the keys {shown(map(str, url))}; name the one that holds the URL, as in {shown([f'{name}.{next(iter(url))}'])}"
        )

    def _leave_out(self, position: int) -> None:
        if len(self.left_out) < _MAX_SHOWN and position < len(self.names):
            self.left_out.add(self.names[position])


def _only(value: object) -> object:
    """Return the item of a list of one; other values as they are."""
    return value[0] if isinstance(value, list | tuple) and len(value) == 1 else value


def candidate_of(text: str, line: int, rank: int) -> Candidate | ListProblem:
    """Return the candidate of a row that is nothing but a URL, or why there is none."""
    try:
        return Candidate(url=urls.read(text), source=LIST_SOURCE, rank=rank, line=line)
    except errors.InvalidURLError as exc:
        return streams.bad_row(line, str(exc), text.strip())


def names_read(spec: ListSpec) -> frozenset[str]:
    """Return all folded names that stand for a field or that the spec asks for."""
    named = (_wanted(setting, spec) for setting in _EXPLICIT.values())
    return _NAMES.union(fold(name) for name in (*named, *(spec.keep_columns or ())) if name)


def find(header: Header, spec: ListSpec) -> dict[str, int]:
    """Return the position of each field that a column stands for; the spec's own columns win over what names suggest."""
    names_a_file, is_own = "file_name" in header.folded, is_own_export(header)
    found = {}
    for field_name, aliases in ALIASES.items():
        if _wanted(_PLURAL.get(field_name), spec):
            continue
        known = _OWN_ALIASES.get(field_name, (field_name,)) if is_own else aliases
        wanted = _wanted(_EXPLICIT.get(field_name), spec)
        position = header.position(wanted) if wanted else header.first(known, with_objects=field_name == "boxes")
        if position is not None and not (names_a_file and header.folded[position] in _FILE_DIGESTS):
            found[field_name] = position
    return found if spec.base is None else found | _of_local_files(header, is_own=is_own)


def _of_local_files(header: Header, *, is_own: bool) -> dict[str, int]:
    """Return the columns that mean something else where the rows are of files beside them: the digest is theirs, the URL their origin."""
    wanted = {"origin_url": header.first(ALIASES["url"])}
    wanted |= {"expected_sha256": header.first(("sha256",)), "origin": header.first(("source",))} if is_own else {}
    return {name: position for name, position in wanted.items() if position is not None}


def is_own_export(header: Header) -> bool:
    """Whether the rows are those of an export of ours, which calls each field by one name."""
    return _OWN_MARKS.issubset(header.names)


def pick(names: Sequence[str], spec: ListSpec, where: str, *, typed: bool = True) -> Columns:
    """Return the columns of a table with a header; raises what :func:`require` does."""
    header = Header.of(names)
    require(header, spec, where)
    return assemble(header, spec, typed=typed)


def require(header: Header, spec: ListSpec, where: str, *, with_url: bool = True) -> None:
    """Check that the columns are there which ``spec`` names, and, unless told otherwise, one of URLs.

    Raises:
        errors.ConfigurationError: one is missing; the message names those there are.
    """
    found = find(header, spec)
    for field_name, setting in _EXPLICIT.items():
        wanted = _wanted(setting, spec)
        if wanted and field_name not in found:
            raise errors.ConfigurationError(f"{where} has no column {wanted[:60]!r} ({setting}); {_choice(header.names, wanted)}")
    for wanted in spec.keep_columns or ():
        if header.position(wanted) is None:
            raise errors.ConfigurationError(f"{where} has no column {wanted[:60]!r} (keep_columns); {_choice(header.names, wanted)}")
    if with_url and "url" not in found:
        likely = next((name for name, folded in zip(header.names, header.folded, strict=True) if _URL_NAME.fullmatch(folded)), None)
        hint = f", as in url_column {text.preview(likely)[:60]!r}" if likely else _headless(header.names)
        raise errors.ConfigurationError(
            f"{where} has no column with URLs; {_choice(header.names)}; call one 'url' or name it with url_column{hint}"
        )


def assemble(header: Header, spec: ListSpec, *, typed: bool = True, left_out: set[str] | None = None) -> Columns:
    """Return the columns of a table in which :func:`find` finds the URL. Several kinds of rows may share ``left_out``."""
    found = find(header, spec)
    used = taken(found)
    left_out = set() if left_out is None else left_out
    if len(left_out) < _MAX_SHOWN:
        left_out.update(header.names[position] for position in _further(header, spec, used)[MAX_KEPT : MAX_KEPT + _MAX_SHOWN])
    return Columns(
        url=found["url"],
        digest=found.get("expected_sha256"),
        captions=tuple(found[name] for name in ("caption", "captions") if name in found),
        labels=tuple(found[name] for name in ("label", "labels") if name in found),
        groups=(found["group_id"],) if "group_id" in found else (),
        boxes=found.get("boxes"),
        others=tuple((name, found[name], read) for name, read in _READERS.items() if name in found),
        kept=kept_columns(header, spec, used),
        names=header.names,
        typed=typed,
        nested=spec.keep_columns is not None,
        left_out=left_out,
        **({} if spec.base is None else {"read_url": partial(place.read, spec.base), "source": FOLDER_SOURCE}),  # type: ignore[arg-type]
    )


def taken(found: Mapping[str, int]) -> frozenset[int]:
    """Return the positions that are not carried to the exports because they stand for a field. One of boxes may hold something else."""
    return frozenset(position for name, position in found.items() if name != "boxes")


def kept_columns(header: Header, spec: ListSpec, used: frozenset[int]) -> tuple[tuple[str, int], ...]:
    """Return name and position of the columns to carry to the exports: those the spec names, else all that stand for no field.

    At most 200. Names are cleaned; one that stands twice gets a number, one that is empty its position.
    """
    kept: dict[str, int] = {}
    for position in _further(header, spec, used)[:MAX_KEPT]:
        name = text.clean(header.names[position], _MAX_NAME_CHARS) or f"column_{position + 1}"
        kept[unused_name(name, kept)] = position
    return tuple(kept.items())


def _further(header: Header, spec: ListSpec, used: frozenset[int]) -> list[int]:
    if spec.keep_columns is None:
        own = OWN_COLUMNS | {"source_sha256"} if is_own_export(header) else frozenset()
        return [at for at in range(header.columns) if at not in used and header.folded[at] not in own]
    found = (header.position(wanted) for wanted in spec.keep_columns)
    return list(dict.fromkeys(position for position in found if position is not None))


def unused_name(name: str, taken: Collection[str]) -> str:
    """Return ``name``, with a number behind it if it is taken."""
    return name if name not in taken else next(other for n in count(2) if (other := f"{name}_{n}") not in taken)


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
        return "; its first row holds a URL, so a header such as url,caption is missing"
    return ""


def _wanted(setting: str | None, spec: ListSpec) -> str | None:
    value: str | None = getattr(spec, setting) if setting else None
    return value
