"""The Internet Archive: items of images with an address of a licence, and of each item its image files.

A search names items only (https://archive.org/help/aboutsearch.htm), so each costs a request for its metadata
(https://archive.org/developers/metadata.html). A page has few items, read again from the 100 that are the fewest a search gives out.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar
from urllib.parse import quote

import errors
from app.discovery import licences, text
from app.discovery.licences.policy import LicencePolicy
from app.discovery.renditions import smallest_sufficient
from app.discovery.sources import fields
from app.discovery.sources.source import Part, Place, Query, Reply, Source, SourceInfo, read_offset
from app.domain import Candidate, ListProblem, Rendition
from app.formatting import number

__all__ = ["InternetArchive"]

SEARCH_SIZE = 100
"""Items a search gives out at least."""
PAGE_SIZE = 20
"""Items in a page, each a request: a search costs one more."""
MAX_IMAGES = 100
"""Images that are taken of one item; scanned albums have thousands."""

WEBSITE = "https://archive.org"

FAMILIES = ("by", "by-sa", "by-nc", "by-nd", "by-nc-sa", "by-nc-nd")
_PUBLIC_DOMAIN = ("CC0-1.0", "CC-PDM-1.0", "CC-PDDC")
_VERSIONS = ("1.0", "2.0", "2.5", "3.0", "4.0")

_SYNTAX = re.compile(r"[^\w'.]+|\.(?!\w)|_+|\b(?:AND|OR|NOT|TO)\b")
"""What has a meaning in a query, not in a keyword."""
_IMAGE = re.compile(r"\.(?:jpe?g|png|gif|webp|bmp|tiff?|avif|heic|heif)$", re.IGNORECASE)
_DIGEST = {"sha1": re.compile(r"[0-9a-f]{40}"), "md5": re.compile(r"[0-9a-f]{32}")}


class InternetArchive(Source):
    """Search of the Internet Archive's items of images."""

    info: ClassVar[SourceInfo] = SourceInfo(
        name="internet_archive",
        title="Internet Archive",
        base_url="https://archive.org",
        terms_url="https://archive.org/about/terms",
        docs_url="https://archive.org/help/aboutsearch.htm",
        licences="an item names the address of a licence, its uploader's word; remarks on rights beside it count too",
        depth=None,
        page_size=PAGE_SIZE,
        filters=("license",),
        calls_per_result=1,
    )

    async def read(self, query: Query, place: Place) -> Reply:
        """Read up to 20 items with a request for each."""
        at = _Page.parse(place.page)
        wanted = _query(query)
        if wanted is None:
            return Reply((), note="the keyword has no word that can be searched")
        found = await self._scrape({"q": wanted, "fields": "identifier", "count": str(SEARCH_SIZE), **at.params()})
        entries = found.get("items")
        if not isinstance(entries, list):
            raise errors.ProtocolError(f"the Internet Archive answered with no list of items: {text.preview(found.get('error'))}")
        batch = entries[at.offset : at.offset + PAGE_SIZE]
        items, notes = await self._read_items(batch)
        total = fields.number(found.get("total"))
        return Reply(items, at.following(len(entries), found.get("cursor")), total, "; ".join(notes), results=len(batch))

    async def count(self, query: Query, part: Part) -> int | None:
        """Ask for the number of items; each has one image or more."""
        wanted = _query(query)
        return 0 if wanted is None else fields.number((await self._scrape({"q": wanted, "total_only": "true"})).get("total"))

    async def _scrape(self, params: Mapping[str, str]) -> Mapping[str, Any]:
        return await self.get("/services/search/v1/scrape", params)

    async def _read_items(self, entries: Sequence[object]) -> tuple[list[Candidate | ListProblem | None], list[str]]:
        """Return the images of items. One that is refused costs that item; where all are, the error is the source's."""
        items: list[Candidate | ListProblem | None] = []
        notes: list[str] = []
        refused: list[errors.PermanentError] = []
        for entry in entries:
            name = text.clean(fields.mapping(entry).get("identifier"), 200)
            if not name:
                items.append(ListProblem(0, "the item has no identifier", text.preview(entry)))
                continue
            try:
                reply = await self.get(f"/metadata/{quote(name, safe='')}")
            except errors.PermanentError as error:
                refused.append(error)
                items.append(ListProblem(0, f"no metadata: {error}", text.preview(name)))
                continue
            images, note = self._read_item(name, reply)
            items += images
            notes += filter(None, [note])
        if len(refused) == len(entries) > 1:
            raise refused[-1]
        return items, notes

    def _read_item(self, name: str, reply: Mapping[str, Any]) -> tuple[list[Candidate | ListProblem | None], str]:
        about, files = fields.mapping(reply.get("metadata")), fields.mappings(reply.get("files"))
        if not about or not files:
            return [ListProblem(0, "the item is not public, or has no files", text.preview(name))], ""
        if _is_set(about, "access-restricted-item"):
            return [None], ""
        images = list(_images(files))
        note = f"{name} has {number(len(images))} images, of which the first {MAX_IMAGES} are taken" if len(images) > MAX_IMAGES else ""
        found = [self._candidate(name, about, sizes) for sizes in images[:MAX_IMAGES]]
        return [*found] or [ListProblem(0, "the item has no image in a format that is taken", text.preview(name))], note

    def _candidate(self, name: str, about: Mapping[str, Any], sizes: Sequence[Mapping[str, Any]]) -> Candidate:
        folder = f"{self._options.base_url.rstrip('/')}/download/{quote(name, safe='')}"
        offered = [_rendition(folder, file) for file in sizes]
        chosen = smallest_sufficient(offered, self._options.side_px) or offered[-1]
        title, creator = fields.lines(about.get("title"), 300), fields.lines(about.get("creator"), 300)
        stated = [said for field in ("licenseurl", "rights", "possible-copyright-status") if (said := fields.lines(about.get(field), 400))]
        known = licences.settle(*stated)
        licence = known or (stated[0] if stated else None)
        digests = [f"{kind}:{file[kind]}" for file in sizes for kind, form in _DIGEST.items() if form.fullmatch(str(file.get(kind)))]
        return Candidate(
            url=chosen.url,
            source=self.info.name,
            width=chosen.width,
            height=chosen.height,
            page_url=f"{WEBSITE}/details/{quote(name, safe='')}",
            title=title,
            caption=fields.lines(about.get("description"), 2_000),
            license=licence,
            license_url=licences.url_of(known),
            license_raw=licences.SEPARATOR.join(stated)[:500] or None,
            license_confidence="asserted" if known else "unknown",
            creator=creator,
            attribution=fields.attribution(title, creator, self.info.title, licence),
            tags=fields.tags([word for line in fields.texts(about.get("subject"), 2_000) for word in line.split(";")]),
            identities=tuple(dict.fromkeys(digests)),
            stated_bytes=chosen.size_bytes,
            group_id=f"{self.info.name}:{name}",
            renditions=tuple(one for one in offered if one != chosen),
        )


@dataclass(frozen=True, slots=True)
class _Page:
    """Items of one answer of the search from an offset; as ``OFFSET:CURSOR``, with the cursor that the answer is asked for with."""

    cursor: str = ""
    offset: int = 0

    @classmethod
    def parse(cls, page: str | None) -> "_Page":
        if page is None:
            return cls()
        offset, separator, cursor = page.partition(":")
        if not separator:
            raise errors.ValidationError(f"{page[:40]!r} is no page of this source")
        return cls(cursor, read_offset(offset))

    def params(self) -> dict[str, str]:
        """Return the parameters of the search."""
        return {"cursor": self.cursor} if self.cursor else {}

    def following(self, entries: int, cursor: object) -> str | None:
        """Return the next page, ``None`` after the last: an answer without a cursor is the last."""
        if self.offset + PAGE_SIZE < entries:
            return f"{self.offset + PAGE_SIZE}:{self.cursor}"
        return f"0:{cursor}" if isinstance(cursor, str) and cursor and entries else None


def _query(query: Query) -> str | None:
    """Return the query in the Archive's language, ``None`` for a keyword without a word."""
    words = " ".join(_SYNTAX.sub(" ", query.keyword).split())
    parts = ["mediatype:image", f"({words})", *_licence_clause(query.licences)]
    return " AND ".join(parts) if words else None


def _licence_clause(taken: LicencePolicy) -> Iterator[str]:
    """Ask for items with a licence, of the families that are taken where some are not."""
    if taken.allows(None):
        return
    public_domain = ["*publicdomain*"] if any(map(taken.allows, _PUBLIC_DOMAIN)) else []
    named = [family for family in FAMILIES if any(taken.allows(f"CC-{family.upper()}-{version}") for version in _VERSIONS)]
    is_all = bool(public_domain) and len(named) == len(FAMILIES)
    patterns = [*public_domain, *(rf"*licenses\/{family}\/*" for family in named)]
    yield f"licenseurl:({' OR '.join(patterns)})" if patterns and not is_all else "licenseurl:*"


def _images(files: Sequence[Mapping[str, Any]]) -> Iterator[list[Mapping[str, Any]]]:
    """Yield the images of an item, each with its files from the smallest to the original."""
    usable = [file for file in files if _is_image(file)]
    made: dict[str, list[Mapping[str, Any]]] = {}
    for file in usable:
        if file.get("source") == "derivative":
            made.setdefault(str(file.get("original")), []).append(file)
    for file in usable:
        if file.get("source") == "original":
            smaller = sorted(made.get(str(file["name"]), ()), key=lambda one: fields.number(one.get("size")) or 0)
            yield [*smaller, file]


def _is_image(file: Mapping[str, Any]) -> bool:
    """Whether a file is a public image in a format that is taken, and not the picture that stands for the item."""
    name = file.get("name")
    is_tile = file.get("format") == "Item Tile"
    return isinstance(name, str) and bool(_IMAGE.search(name)) and not (is_tile or _is_set(file, "private"))


def _is_set(record: Mapping[str, Any], name: str) -> bool:
    """Whether a flag is set: ``true``, as a text in most records."""
    return str(record.get(name)).lower() == "true"


def _rendition(folder: str, file: Mapping[str, Any]) -> Rendition:
    url = f"{folder}/{quote(str(file['name']))}"
    return Rendition(url, fields.side(file.get("width")), fields.side(file.get("height")), fields.number(file.get("size")))
