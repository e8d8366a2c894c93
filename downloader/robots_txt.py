"""Reads the text of a robots.txt (RFC 9309), with Crawl-delay and preferences on use. Pure; `downloader.robots` fetches the file.

As lenient as search engines are about spelling (a missing colon, "dissallow"), and exact about what counts: equal product tokens, merged
groups, the longest match, Allow before Disallow where both are equally long, and lines of other standards that end no group.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from downloader.url_syntax import remove_dot_segments
from downloader.usage_preferences import TrainingUse, training_in_signal, training_in_usage

__all__ = ["AGENT", "PathPattern", "Preference", "RobotsTxt", "Rule", "canonical_path", "parse"]

AGENT: Final = "pictrawl"
"""Our product token, as sites write it in robots.txt and X-Robots-Tag."""

_LINE_END: Final = re.compile(r"\r\n|\r|\n")
_AGENT_FIELDS: Final = frozenset({"user-agent", "useragent", "user agent"})
_DISALLOW_FIELDS: Final = frozenset({"disallow", "dissallow", "dissalow", "disalow", "diasllow", "disallaw"})
_DELAY_FIELDS: Final = frozenset({"crawl-delay", "crawldelay", "crawl delay"})
_KNOWN: Final = _AGENT_FIELDS | _DISALLOW_FIELDS | _DELAY_FIELDS | {"allow", "content-signal", "content-usage", "sitemap"}
_TOKEN: Final = re.compile(r"[^\s/;,(]+")
_SECONDS: Final = re.compile(r"[0-9]{1,9}(?:\.[0-9]*)?|\.[0-9]+")
_WITH_PATH: Final = re.compile(r"([/*]\S*)\s+(.*)")

_PRINTABLE: Final = "".join(map(chr, range(0x21, 0x7F)))
_OCTET: Final = re.compile(r"%(?:[0-9A-Fa-f]{2})?|[^A-Za-z0-9._~\-/:@!&'()+,;=\[\]?]")
_UNESCAPED: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~:@!'()+,;[]")
"""Characters that are the same escaped or not (RFC 9309 2.2.2); the others, ``/`` among them, mean something else when escaped."""


class PathPattern:
    """The path of a rule: a prefix in which ``*`` stands for anything, and ``$`` at the end for the end (RFC 9309 2.2.3).

    Attributes:
        length: octets, by which the most specific of several matches is found.
    """

    __slots__ = ("_is_anchored", "_parts", "length")

    def __init__(self, text: str) -> None:
        self._is_anchored = text.endswith("$")
        parts = (text[:-1] if self._is_anchored else text).split("*")
        self._parts = [_canonical(part, in_query="?" in "".join(parts[:at])) for at, part in enumerate(parts)]
        self.length = sum(map(len, self._parts)) + len(parts) - 1 + self._is_anchored

    def matches(self, path: str) -> bool:
        """Whether a `canonical_path` begins like this. Takes linear time, however many asterisks the pattern has."""
        first, *others = self._parts
        if not path.startswith(first):
            return False
        at = len(first)
        if not others:
            return at == len(path) or not self._is_anchored
        *middle, last = others
        for part in middle:
            if (found := path.find(part, at)) < 0:
                return False
            at = found + len(part)
        return path.find(last, at) >= 0 if not self._is_anchored else len(path) - len(last) >= at and path.endswith(last)


def canonical_path(path: str) -> str:
    """Return the path and query of a URL as rules are matched against it: escapes canonical, dot segments resolved as servers do."""
    where, mark, query = path.partition("?")
    return remove_dot_segments(_canonical(where)) + mark + _canonical(query, in_query=True)


def _canonical(text: str, *, in_query: bool = False) -> str:
    head, mark, query = ("", "", text) if in_query else text.partition("?")
    return _octets(head, _UNESCAPED) + mark + _octets(query, _UNESCAPED | {"/", "?"})


def _octets(text: str, unescaped: frozenset[str]) -> str:
    def canonical(octet: re.Match[str]) -> str:
        found = octet[0]
        if len(found) == 1:
            return f"%{ord(found):02X}"
        char = chr(int(found[1:], 16))
        return char if char in unescaped else found.upper()

    return _OCTET.sub(canonical, quote(text, safe=_PRINTABLE))


@dataclass(frozen=True, slots=True)
class Rule:
    """An Allow or Disallow line.

    Attributes:
        line: its number; 1 is the first line of the file.
        agent: the agent its group names, ``*`` for every agent; in lower case.
        value: the path, as the file spells it.
    """

    line: int
    agent: str
    is_allow: bool
    value: str
    pattern: PathPattern = field(repr=False, compare=False)

    def __str__(self) -> str:
        return f"line {self.line}, user-agent {self.agent}: {'Allow' if self.is_allow else 'Disallow'}: {self.value}"


@dataclass(frozen=True, slots=True)
class Preference:
    """A Content-Usage or Content-Signal line that says something on training.

    Attributes:
        agent: as in `Rule`; empty for a line before all groups, which is for every agent.
        name: the field, as standards spell it.
        pattern: the paths that it is about; None for all.
    """

    line: int
    agent: str
    name: str
    value: str
    training: TrainingUse
    pattern: PathPattern | None = field(default=None, repr=False, compare=False)

    @property
    def length(self) -> int:
        """How specific it is, 0 for all paths."""
        return self.pattern.length if self.pattern else 0

    def __str__(self) -> str:
        return f"line {self.line}, user-agent {self.agent or '*'}: {self.name}: {self.value}"


@dataclass(frozen=True, slots=True)
class RobotsTxt:
    """What a robots.txt says to us.

    Attributes:
        rules: the most specific first, so that the first match decides.
        preferences: in the order of the file.
        crawl_delay_s: seconds between two requests, 0 for none.
    """

    rules: tuple[Rule, ...] = ()
    preferences: tuple[Preference, ...] = ()
    crawl_delay_s: float = 0.0

    def find_disallow(self, path: str) -> Rule | None:
        """Return the rule that disallows a `canonical_path`, if it is disallowed (RFC 9309 2.2.2)."""
        if path == "/robots.txt":
            return None
        rule = next((rule for rule in self.rules if rule.pattern.matches(path)), None)
        return rule if rule is not None and not rule.is_allow else None

    def find_reservation(self, path: str) -> Preference | None:
        """Return the line that refuses use of a `canonical_path` for training.

        Of each standard the most specific line counts, and of equals the one that refuses; what one allows the other may refuse.
        """
        about = [found for found in self.preferences if found.pattern is None or found.pattern.matches(path)]
        for name in dict.fromkeys(found.name for found in about):
            of_name = [found for found in about if found.name == name]
            best = max(of_name, key=lambda found: (found.length, found.training.is_refused, -found.line))
            if best.training.is_refused:
                return best
        return None


@dataclass(slots=True)
class _Group:
    rules: list[Rule] = field(default_factory=list)
    preferences: list[Preference] = field(default_factory=list)
    delay_s: float = 0.0


def parse(text: str, agent: str = AGENT) -> RobotsTxt:
    """Read the text of a robots.txt for one agent: the groups that name it, merged, else those for every agent (RFC 9309 2.2.1)."""
    groups = _read_groups(text)
    chosen = groups.get(agent) or groups.get("*") or _Group()
    rules = sorted(chosen.rules, key=lambda rule: (-rule.pattern.length, not rule.is_allow, rule.line))
    return RobotsTxt(tuple(rules), (*groups[""].preferences, *chosen.preferences), chosen.delay_s)


def _read_groups(text: str) -> dict[str, _Group]:
    """Return the groups by agent, in lower case. Only rules end the list of agents that begins a group (RFC 9309 2.2.4)."""
    groups = {"": _Group()}
    agents = [""]
    has_rules = True
    for line, name, value in _directives(text):
        if name in _AGENT_FIELDS:
            agents = [*(() if has_rules else agents), _product_token(value)]
            groups.setdefault(agents[-1], _Group())
            has_rules = False
            continue
        has_rules = has_rules or name in _DISALLOW_FIELDS or name in ("allow", "content-usage")
        for agent in dict.fromkeys(agents):
            _add(groups[agent], line, agent, name, value)
    return groups


def _add(group: _Group, line: int, agent: str, name: str, value: str) -> None:
    if name in _DELAY_FIELDS:
        seconds = _SECONDS.match(value)
        group.delay_s = max(group.delay_s, float(seconds[0]) if seconds else 0.0)
    elif name in ("content-signal", "content-usage"):
        _add_preference(group, line, agent, name, value)
    elif (name == "allow" or name in _DISALLOW_FIELDS) and value.startswith(("/", "*")) and agent:
        group.rules.append(Rule(line, agent, name == "allow", value, PathPattern(value)))


def _add_preference(group: _Group, line: int, agent: str, name: str, value: str) -> None:
    split = _WITH_PATH.fullmatch(value)
    path, expression = (split[1], split[2]) if split else ("", value)
    training = training_in_signal(expression) if name == "content-signal" else training_in_usage([expression])
    if training is not None:
        pattern = PathPattern(path) if path else None
        group.preferences.append(Preference(line, agent, name.title(), value, training, pattern))


def _product_token(value: str) -> str:
    """Return the agent that a line names, without version and comment: ``pictrawl`` for ``Pictrawl/0.1.0 (+contact)``."""
    if value.partition(" ")[0] == "*":
        return "*"
    token = _TOKEN.match(value.replace("*", ""))
    return token[0].lower() if token else " "


def _directives(text: str) -> Iterator[tuple[int, str, str]]:
    for number, line in enumerate(_LINE_END.split(text.removeprefix("\ufeff")), 1):
        directive = _directive(line.partition("#")[0].strip())
        if directive is not None:
            yield number, *directive


def _directive(content: str) -> tuple[str, str] | None:
    """Read ``field: value``, or ``field value`` where the text before the colon is no known field."""
    name, colon, value = content.partition(":")
    known = name.strip().lower()
    if colon and (known in _KNOWN or not value or value[0].isspace()):
        return known, value.strip()
    words: Sequence[str] = content.split()
    for count in (1, 2):
        if (candidate := " ".join(words[:count]).lower()) in _KNOWN:
            return candidate, " ".join(words[count:])
    return (known, value.strip()) if colon else None
