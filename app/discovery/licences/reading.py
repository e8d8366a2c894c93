"""Licences as SPDX ids: what a statement of a source says, and what several statements of one image come to.

What is not understood stays unknown; no version, country or permission is ever added that was not stated. An id that SPDX does not have
begins with ``LicenseRef-``. Names stand in :mod:`app.discovery.licences.names`, what ids permit in :mod:`app.discovery.licences.terms`.
"""

import functools
import html
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from itertools import filterfalse
from typing import Final

from app.discovery import text
from app.discovery.licences import addresses as licence_addresses
from app.discovery.licences.names import COUNTRIES, FILLERS, IDS, PHRASES, PORTS, WORDS
from app.discovery.licences.terms import PUBLIC_DOMAIN, RESERVED, Terms, is_same, refines, strictest, terms_of

__all__ = [
    "PUBLIC_DOMAIN",
    "RESERVED",
    "SEPARATOR",
    "contradiction",
    "named_ids",
    "normalise",
    "settle",
    "stated_ids",
    "stated_terms",
    "url_of",
]

SEPARATOR: Final = " | "
"""Between the statements of one source, joined in one text."""

MAX_CHARS = 2_000
"""Characters of a statement that is read; a whole page is none."""

url_of = licence_addresses.url_of


def normalise(words: str | None) -> str | None:
    """Return the id of the licence that a code, a name, an address, a sentence or a piece of HTML states, ``None`` if none is understood.

    A Creative Commons licence without its version is ``LicenseRef-CC-BY``: no version was stated, none is added. Of several licences
    the strictest holds. A notice of copyright reserves all rights unless a licence stands beside it.
    """
    return strictest(named_ids(words)) or (RESERVED if words and _has_notice(words) else None)


def settle(*statements: str | None) -> str | None:
    """Return the one id that all understood ``statements`` come to: where they contradict each other the strictest holds."""
    return strictest(stated_ids(*statements))


def stated_terms(words: str | None) -> Terms | None:
    """Return what the licence that a text states permits and asks for; ``None`` where none is understood."""
    licence = normalise(words)
    return terms_of(licence) if licence else None


def contradiction(*statements: str | None) -> str | None:
    """Say how contradicting statements were settled; ``None`` where they agree."""
    ids = stated_ids(*statements)
    if len(ids) < 2:
        return None
    return f"{' and '.join(ids)} were stated; the stricter, {strictest(ids)}, holds"


def stated_ids(*statements: str | None) -> list[str]:
    """Return the ids that the statements name, in their order, without those that another one names more exactly.

    A notice of copyright says who holds the rights, not that nobody else may use the work: beside a licence it reserves nothing.
    """
    ids = _merge(licence for statement in statements if (licence := strictest(named_ids(statement))))
    return ids or [RESERVED] * any(_has_notice(statement) for statement in statements if statement)


def named_ids(statement: str | None) -> list[str]:
    """Return the ids that one statement names, without those that another one names more exactly; a notice of copyright names none."""
    return _merge(_read(statement))


@functools.lru_cache(maxsize=4096)
def _read(words: str | None) -> tuple[str, ...]:
    """The ids that a statement names; cached, because a source repeats the same few statements."""
    if not words or len(words) > MAX_CHARS:
        return ()
    addresses = licence_addresses.find(html.unescape(words))
    found = [licence for address in addresses if (licence := licence_addresses.read(address))]
    return (*found, *_from_text(_without_addresses(words)))


def _has_notice(words: str) -> bool:
    return len(words) <= MAX_CHARS and _NOTICE.search(_without_addresses(words)) is not None


def _without_addresses(words: str) -> str:
    return text.strip_html(licence_addresses.strip(words), MAX_CHARS) or ""


def _merge(ids: Iterable[str]) -> list[str]:
    merged: list[str] = []
    for licence in ids:
        at = next((at for at, other in enumerate(merged) if is_same(licence, other)), None)
        if at is None:
            merged.append(licence)
        elif refines(licence, merged[at]):
            merged[at] = licence
    return list(dict.fromkeys(merged))


# words


def _alternatives(words: Iterable[str]) -> str:
    """A pattern of words, the longest first; those of scripts that set spaces between words only as whole words.

    The look-behind stands once before all words, so that most places of a text cost one test.
    """
    longest_first = sorted(words, key=len, reverse=True)
    spaced = "|".join(map(re.escape, filter(_sets_spaces, longest_first)))
    others = "|".join(map(re.escape, filterfalse(_sets_spaces, longest_first)))
    return rf"(?<![^\W_])(?:{spaced})(?![^\W_])" + (f"|{others}" if others else "")


def _sets_spaces(word: str) -> bool:
    return word < "\u3000"


_SHORT: Final[Mapping[str, str]] = dict(WORDS)
_WORD = re.compile(_alternatives(_SHORT), re.IGNORECASE)
_FILLER = re.compile(_alternatives(FILLERS), re.IGNORECASE)
_PHRASE = re.compile(_alternatives(PHRASES), re.IGNORECASE)
_COUNTRY = re.compile(rf"(?<=\d)-({_alternatives(COUNTRIES)})", re.IGNORECASE)
_PART = "(?:by|nc|nd|sa)"
_CC = rf"(?P<cc>cc-)?(?P<parts>{_PART}(?:-{_PART})*)(?:-(?P<version>\d(?:[.-]\d)?)(?![.\d]))?"
_NAME = re.compile(rf"{_CC}(?:-(?P<port>[a-z]+))?(?:-migrated)?", re.IGNORECASE)
_MENTION = re.compile(rf"(?<![^\W_])(?i:{_CC})(?:-(?P<port>{'|'.join(PORTS).upper()}))?(?![^\W_])")
"""In a sentence a country is written in capitals: ``CC BY 3.0 at`` is no Austrian licence."""

_NEGATED = re.compile(r"(?:^|-)(?:not|never|nicht|keine?|no-longer)-(?:[^-]+-){0,4}$", re.IGNORECASE)
_DENIED = re.compile(r"-?(?:false|no|0)(?:-|$)", re.IGNORECASE)
"""Behind a name, as in ``is_public_domain: false``."""

_BEHIND = re.compile(r"(?:-(?:but|only|for|nur|mais|pero))*-(nc|nd)(?![^\W_])", re.IGNORECASE)

_NOTICE = re.compile(r"©|^\W*\(c\)\s|\bcopyright\s+(?:by\b|\(c\)|\d{4})|\b\d{4}\s+copyright\b", re.IGNORECASE)
_MARKS = re.compile("[\u0300-\u036f]")
_SEPARATORS = re.compile(r"[^\w.+]+|_|(?<!\d)\.|\.(?!\d)|(?<=[^\d.])\+(?=[^-])")


def _from_text(words: str) -> list[str]:
    """The ids of a text: it is one name, or it mentions some."""
    folded = _fold(words)
    if not folded:
        return []
    lowered = folded.lower().removeprefix("licenseref-")
    name = _shorten(lowered)
    known = IDS.get(lowered) or IDS.get(name)
    if known:
        return [known]
    match = _NAME.fullmatch(name)
    if match and not _BEHIND.match(name, match.end("version")) and (licence := _assemble(match, is_whole=True)):
        return [licence]
    was_never_published = match is not None and (match["port"] is None or match["port"] in PORTS)
    return [] if was_never_published else [*_phrases(folded), *_mentions(_shorten(folded))]


def _fold(words: str) -> str:
    """Accents and signs away, a dash for whatever separates words: ``Attribution — Partage (3.0)`` is ``Attribution-Partage-3.0``."""
    plain = unicodedata.normalize("NFC", _MARKS.sub("", unicodedata.normalize("NFKD", words)))
    return _SEPARATORS.sub("-", plain).strip("-.")


def _shorten(folded: str) -> str:
    """Names of parts as in a code, without what adds nothing: ``Namensnennung-3.0-Deutschland`` is ``by-3.0-DE``."""
    short = _WORD.sub(lambda match: f"-{_SHORT[match[0].lower()]}-", folded)
    short = re.sub(r"(?i)(?<![^\W_])v-?(?=\d)", "", _FILLER.sub("-", short))
    short = re.sub("--+", "-", short).strip("-")
    return _COUNTRY.sub(lambda match: f"-{COUNTRIES[match[1].lower()]}", short)


def _phrases(folded: str) -> Iterator[str]:
    for match in _PHRASE.finditer(folded):
        if not _is_denied(folded, match):
            yield PHRASES[match[0].lower()]


def _mentions(short: str) -> Iterator[str]:
    """Licences that a text names; what it forbids right behind one, as in ``CC BY 4.0, no derivatives``, is a statement of its own."""
    for match in _MENTION.finditer(short):
        is_named = match["cc"] or "-" in match["parts"]
        if is_named and not _is_denied(short, match) and (licence := _assemble(match)):
            yield licence
            if behind := _BEHIND.match(short, match.end()):
                forbidden = behind[1].lower()
                parts = "-".join({*match["parts"].lower().split("-"), forbidden})
                yield licence_addresses.assemble(parts, "", None) or f"LicenseRef-CC-BY-{forbidden.upper()}"


def _is_denied(words: str, match: re.Match[str]) -> bool:
    return _NEGATED.search(words[: match.start()]) is not None or _DENIED.match(words, match.end()) is not None


def _assemble(match: re.Match[str], *, is_whole: bool = False) -> str | None:
    """The id of a name; ``by 4.0`` names a licence only where it is the whole text."""
    if not (match["cc"] or "-" in match["parts"] or (is_whole and match["version"])):
        return None
    version = (match["version"] or "").replace("-", ".")
    return licence_addresses.assemble(match["parts"], f"{version}.0" if len(version) == 1 else version, match["port"])
