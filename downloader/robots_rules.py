"""Which line of a robots.txt disallows a URL: the evidence for a verdict, never the verdict. Pure.

protego decides and does not say by which line. This reads the lines as leniently as it does and asks it about one line at a time.
"""

import functools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final
from urllib.parse import unquote, urlsplit

import protego

__all__ = ["Rule", "deciding_rule", "disallow_rules"]

_USER_AGENT: Final = frozenset({"user-agent", "useragent", "user agent"})
_DISALLOW: Final = frozenset({"disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw"})
_SITE_WIDE: Final = frozenset({"sitemap", "sitemaps", "site-map", "host"})
"""They belong to no group and end none."""

_OTHER: Final = frozenset({"allow", "crawl-delay", "crawl delay", "request-rate", "request rate", "visit-time", "visit time"})
_KNOWN: Final = _USER_AGENT | _DISALLOW | _SITE_WIDE | _OTHER
_PLAIN: Final = re.compile(r"(?!https?://)[A-Za-z0-9_.~/-]*")
"""The beginning of a rule that means itself, escaped or not: no wildcard, no escape, no URL instead of a path."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A Disallow line.

    Attributes:
        line: 1 is the file's first.
        agent: whom its group names, ``*`` for everybody; in lower case.
        value: what it disallows, as the file spells it.
        beginning: of every path that it can match, escapes undone.
    """

    line: int
    agent: str
    value: str
    beginning: str

    def __str__(self) -> str:
        return f"line {self.line}, user-agent {self.agent}: Disallow: {self.value}"


def disallow_rules(text: str, agent: str) -> tuple[Rule, ...]:
    """Return the Disallow lines of the one group that holds for an agent (RFC 9309 2.2.1), in the file's order."""
    groups: dict[str, list[Rule]] = {}
    named: list[str] = []
    opening = False
    for number, field, value in _directives(text):
        if field in _USER_AGENT:
            named = [*(named if opening else ()), *_names(value)]
            for name in named:
                groups.setdefault(name, [])
        elif field in _DISALLOW and value:
            for name in dict.fromkeys(named):
                groups[name].append(Rule(number, name, value, _beginning(value)))
        opening = field in _USER_AGENT
    chosen = max(groups, key=lambda name: _closeness(name, agent), default="")
    return tuple(groups[chosen]) if _closeness(chosen, agent) else ()


def deciding_rule(rules: Sequence[Rule], url: str) -> Rule | None:
    """Return the rule with the longest match (RFC 9309 2.2.2), the first of equals; None where none matches.

    Args:
        url: one that is disallowed: Allow lines are not weighed here.
    """
    decided: Rule | None = None
    path = unquote(urlsplit(url).path)
    for rule in rules:
        if not path.startswith(rule.beginning):  # most rules of a long file, and a hundred times cheaper
            continue
        if _disallows(rule.value, url) and (decided is None or _is_longer(rule.value, decided.value, url)):
            decided = rule
    return decided


def _directives(text: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        directive = _directive(content)
        if directive is not None and directive[0] not in _SITE_WIDE:
            yield number, *directive


def _directive(content: str) -> tuple[str, str] | None:
    """Read ``field: value``, or ``field value`` where what stands before the colon is no field that is known."""
    name, colon, value = content.partition(":")
    field = name.strip().lower()
    if colon and (field in _KNOWN or not value or value[0].isspace()):
        return field, value.strip()
    words = content.split()
    for count in (1, 2):
        if (said := " ".join(words[:count]).lower()) in _KNOWN:
            return said, " ".join(words[count:])
    return (field, value.strip()) if colon else None


def _beginning(value: str) -> str:
    plain = _PLAIN.match(value)
    return plain[0] if plain else ""


def _names(value: str) -> list[str]:
    """The agents that a line names: as written, and without asterisks that mean nothing."""
    name = value.lower()
    bare = "" if name == "*" else name.replace("*", "")
    return [found for found in dict.fromkeys((name, bare)) if found]


def _closeness(name: str, agent: str) -> int:
    """How well a group fits: the longer its name the better, everybody's group least; 0 is not at all."""
    if name == "*":
        return 1
    at = agent.find(name) if name else -1
    while at > 0 and (agent[at - 1].isalnum() or agent[at - 1] in "-_"):
        at = agent.find(name, at + 1)
    return len(name) if at >= 0 else 0


@functools.lru_cache(maxsize=2048)
def _file(*lines: str) -> protego.Protego:
    return protego.Protego.parse("\n".join(("User-agent: *", *lines)))


def _disallows(value: str, url: str) -> bool:
    return not _file(f"Disallow: {value}").can_fetch(url, "*")


def _is_longer(value: str, other: str, url: str) -> bool:
    """Both match. Of an Allow and a Disallow the longer one counts, and of equals the Allow: so protego tells which is longer."""
    return not _file(f"Allow: {other}", f"Disallow: {value}").can_fetch(url, "*")
