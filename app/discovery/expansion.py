"""Other words for a keyword, from Wikidata: its labels and aliases in the wanted languages, and its category on Wikimedia Commons.

Only the item that bears the keyword as its exact label or alias counts, and only the best ranked one: a near match or another
meaning would fill a dataset with the wrong things.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from typing import Any, Literal

from app.discovery import keywords, text
from app.discovery.sources import fields, mediawiki
from app.discovery.sources.source import JsonClient

__all__ = ["Expansion", "expand"]

ROOT = "https://www.wikidata.org"
MAX_HITS = 7
MAX_TITLE_CHARS = 255
CATEGORY = "P373"
"""The property of an item that names its category on Commons."""
_NOT_THINGS = ("disambiguation page", "family name", "given name", "surname")


@dataclass(frozen=True, slots=True)
class Expansion:
    """Another word for a keyword.

    Attributes:
        kind: ``label`` is the item's name in the keyword's own language, ``translation`` its name in another, ``alias`` any further name.
        qid: the item, such as ``Q146``.
        category: the item's category on Commons, such as ``Cats``, where it has one.
    """

    term: str
    language: str
    kind: Literal["alias", "translation", "label"]
    qid: str
    category: str | None = None


async def expand(client: JsonClient, keyword: str, limit: int, langs: Sequence[str], *, base_url: str | None = None) -> list[Expansion]:
    """Return at most ``limit`` other words for ``keyword``: names first, in the order of ``langs``, then aliases of each language in turn.

    Never the keyword itself, no word twice (whatever its case), and nothing if Wikidata does not know the keyword.

    Raises:
        errors.PictrawlError: what the client raises, and what :func:`app.discovery.sources.mediawiki.call` finds in a body.
    """
    if limit < 1:
        return []
    url = mediawiki.endpoint(base_url or ROOT)
    for language in langs:
        qid = await _find(client, url, keyword, language)
        if qid is not None:
            item = await _load(client, url, qid, langs)
            names = _select(_names(item, qid, language, langs), keyword, limit)
            category = await _find_category(client, url, qid) if names else None
            return [replace(name, category=category) for name in names]
    return []


async def _find(client: JsonClient, url: str, keyword: str, language: str) -> str | None:
    """Return the id of the best ranked item whose label or alias in ``language`` is ``keyword``."""
    params = {
        "action": "wbsearchentities",
        "search": keyword,
        "language": language,
        "uselang": language,
        "type": "item",
        "limit": str(MAX_HITS),
    }
    reply = await mediawiki.call(client, url, params)
    hits = reply.get("search")
    for hit in hits if isinstance(hits, list) else []:
        if isinstance(hit, dict) and _bears(hit, keyword) and _is_qid(hit.get("id")):
            return str(hit["id"])
    return None


def _bears(hit: Mapping[str, Any], keyword: str) -> bool:
    match = hit.get("match")
    names = [match.get("text") if isinstance(match, dict) else None, hit.get("label")]
    description = str(hit.get("description", "")).lower()
    is_thing = not any(words in description for words in _NOT_THINGS)
    return is_thing and any(isinstance(name, str) and keywords.fold(name) == keywords.fold(keyword) for name in names)


def _is_qid(value: object) -> bool:
    return isinstance(value, str) and value[:1] == "Q" and value[1:].isdecimal() and len(value) <= 15


async def _load(client: JsonClient, url: str, qid: str, langs: Sequence[str]) -> Mapping[str, Any]:
    params = {"action": "wbgetentities", "ids": qid, "props": "labels|aliases", "languages": "|".join(langs)}
    reply = await mediawiki.call(client, url, params)
    found = reply.get("entities")
    entity = found.get(qid) if isinstance(found, dict) else None
    return entity if isinstance(entity, dict) else {}


async def _find_category(client: JsonClient, url: str, qid: str) -> str | None:
    """Return the item's category on Commons: of several the one of preferred rank, else the first that is not deprecated."""
    reply = await mediawiki.call(client, url, {"action": "wbgetclaims", "entity": qid, "property": CATEGORY, "props": ""})
    claims = fields.mapping(reply.get("claims")).get(CATEGORY)
    usable = [claim for claim in map(fields.mapping, claims if isinstance(claims, list) else []) if claim.get("rank") != "deprecated"]
    for claim in sorted(usable, key=lambda claim: claim.get("rank") != "preferred"):
        value = fields.mapping(fields.mapping(claim.get("mainsnak")).get("datavalue")).get("value")
        name = text.clean(value, MAX_TITLE_CHARS + 1)
        if name is not None and len(name) <= MAX_TITLE_CHARS:
            return name
    return None


def _names(item: Mapping[str, Any], qid: str, own: str, langs: Sequence[str]) -> Iterator[Expansion]:
    labels, aliases = fields.mapping(item.get("labels")), fields.mapping(item.get("aliases"))
    for language in langs:
        for term in _terms([labels.get(language)]):
            yield Expansion(term, language, "label" if language == own else "translation", qid)
    columns = [[Expansion(term, language, "alias", qid) for term in _terms(aliases.get(language))] for language in langs]
    for row in zip_longest(*columns):
        yield from (name for name in row if name is not None)


def _select(names: Iterator[Expansion], keyword: str, limit: int) -> list[Expansion]:
    seen = {keywords.fold(keyword)}
    chosen: list[Expansion] = []
    for name in names:
        if len(chosen) == limit:
            break
        if keywords.fold(name.term) not in seen:
            seen.add(keywords.fold(name.term))
            chosen.append(name)
    return chosen


def _terms(entries: object) -> Iterator[str]:
    """Yield the usable words of a list of ``{"language": ..., "value": ...}``."""
    for entry in entries if isinstance(entries, list) else []:
        term = text.clean(fields.mapping(entry).get("value"), keywords.MAX_CHARS + 1)
        if term is not None and len(term) <= keywords.MAX_CHARS:
            yield term
