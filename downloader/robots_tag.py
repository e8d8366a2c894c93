"""Reads the value of X-Robots-Tag and of ``<meta name=robots>``: which of its words are for us. Pure."""

import re
from collections.abc import Iterable
from typing import Final

from downloader.robots_txt import AGENT

__all__ = ["AGENTS", "OPT_OUT_DIRECTIVES", "directives"]

AGENTS: Final = frozenset({"*", AGENT})
"""Names under which we are spoken to."""

OPT_OUT_DIRECTIVES: Final = frozenset({"noai", "noimageai"})
_VALUED: Final = frozenset({"unavailable_after", "max-snippet", "max-image-preview", "max-video-preview"})
_KNOWN: Final = (
    OPT_OUT_DIRECTIVES
    | _VALUED
    | {"all", "none", "index", "noindex", "follow", "nofollow", "archive", "noarchive", "cache", "nocache", "snippet", "nosnippet"}
    | {"noodp", "noydir", "notranslate", "imageindex", "noimageindex", "noimageclick", "indexifembedded", "nositelinkssearchbox"}
    | {"nopagereadaloud"}
)
_FIRST_WORD: Final = re.compile(r"\s*([^\s:]+)")
_AGENT_NAME: Final = re.compile(r"\*|[a-z_][a-z0-9._-]*(?:/[a-z0-9.]*)?")
"""A product token, perhaps with its version; the `25 Jun 2010 15` of a date is none."""


def directives(values: Iterable[str]) -> frozenset[str]:
    """Return the words that are for us, in lower case, those with a value left out.

    A value reads ``[agent:] directive, ...``: an agent's name, which a directive follows, applies until the next one. ``foo: bar`` names
    no agent: it is a directive that we do not know, with its value.
    """
    return frozenset(word for value in values for word in _words(value.lower()))


def _words(value: str) -> Iterable[str]:
    applies = True
    for part in re.split("[,;]", value):
        name, colon, rest = part.partition(":")
        directive = part.strip()
        if colon and _is_agent(name.strip(), rest):
            applies = name.strip().partition("/")[0] in AGENTS
            directive = rest.strip()
        if applies and ":" not in directive:
            yield from directive.split()


def _is_agent(name: str, rest: str) -> bool:
    if name in _VALUED or not _AGENT_NAME.fullmatch(name):
        return False
    first = _FIRST_WORD.match(rest)
    return name.partition("/")[0] in AGENTS or (first is not None and first[1] in _KNOWN)
