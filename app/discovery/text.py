"""Cleans text from outside: no control characters, no markup, bounded length.

Every text of a source or a list is cleaned here before it becomes part of a candidate.
"""

import re
from html.parser import HTMLParser

__all__ = ["clean", "first_link", "plain_words", "preview", "strip_html"]

MAX_HTML_CHARS = 20_000
"""Characters of markup that are parsed; html.parser is quadratic on hostile input."""

MAX_PREVIEW_CHARS = 200

_SPACES = re.compile(r"\s+")
_UNWANTED = re.compile(
    "["
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # control characters that are not white space
    "\u00ad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069"  # invisible, or changing the writing direction
    "\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff"  # lone surrogates, which neither UTF-8 nor a database accepts
    "]"
)
_LUCENE = re.compile(r"""(?<!\S)[+!-]+|&&|\|\||[(){}\[\]^"~*?:\\/]""")
"""https://lucene.apache.org/core/9_0_0/queryparser/org/apache/lucene/queryparser/classic/package-summary.html"""

_CREDENTIALS = re.compile(r"(https?://|//)?\S+@", re.IGNORECASE)
_TAG = re.compile(r"<[^>]*>?")
_HIDDEN = re.compile(r"display\s*:\s*none", re.IGNORECASE)
_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"})
_SEPARATE = frozenset({"br", "p", "div", "li", "tr", "td", "th", "dd", "dt", "hr", "ul", "ol", "table"})


def clean(value: object, limit: int) -> str | None:
    """Return ``value`` as one line of at most ``limit`` characters, ``None`` if it is no text or nothing is left."""
    if not isinstance(value, str):
        return None
    value = value[: 4 * limit]
    if not value.isprintable() or "  " in value:
        value = _SPACES.sub(" ", _UNWANTED.sub("", value))
    return value.strip()[:limit].rstrip() or None


def preview(value: object) -> str:
    """Return the beginning of an unusable line, or of a value from JSON, for a message, without user names and passwords."""
    head = (value if isinstance(value, str | bytes) else _plain(value))[: 64 * MAX_PREVIEW_CHARS]
    words = head.decode("utf-8", "replace") if isinstance(head, bytes) else head
    return clean(_CREDENTIALS.sub(r"\1…@", words), MAX_PREVIEW_CHARS) or ""


def _plain(value: object) -> str:
    try:
        return str(value)
    except RecursionError:  # JSON is read deeper than it is written
        return "nested too deep to be shown"


def plain_words(query: str) -> str:
    """Return the words of a query without the signs that Lucene's syntax gives a meaning: an odd quote or bracket is refused there."""
    return _SPACES.sub(" ", _LUCENE.sub(" ", query)).strip() or query


def strip_html(value: object, limit: int) -> str | None:
    """Return the visible text of an HTML fragment, cleaned by :func:`clean`."""
    if not isinstance(value, str):
        return None
    value = value[:MAX_HTML_CHARS]
    if "<" in value or "&" in value:
        value = _words(value)
    return clean(value, limit)


def first_link(value: object) -> str | None:
    """Return where the first link of an HTML fragment leads, as it is written there; ``None`` if there is none."""
    if not isinstance(value, str) or "href" not in value.lower():
        return None
    parser = _Links()
    try:
        parser.feed(value[:MAX_HTML_CHARS])
    except AssertionError:
        return None
    return next(iter(parser.links), None)


def _words(markup: str) -> str:
    parser = _Words()
    try:
        parser.feed(markup)
        parser.close()
    except AssertionError:  # what html.parser raises on a marked section such as "<![x["
        return _TAG.sub(" ", markup)
    return "".join(parser.words)


class _Words(HTMLParser):
    """Collects the text that a browser would show. ``_hidden`` is the stack of open elements from the outermost hidden one inwards."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._hidden: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SEPARATE:
            self.words.append(" ")
        if tag in _VOID:
            return
        if self._hidden or tag in ("script", "style") or _is_hidden(attrs):
            self._hidden.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag in _SEPARATE:
            self.words.append(" ")
        while tag in self._hidden:
            if self._hidden.pop() == tag:
                break

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)


def _is_hidden(attrs: list[tuple[str, str | None]]) -> bool:
    return any(name == "style" and value and _HIDDEN.search(value) for name, value in attrs)


class _Links(HTMLParser):
    """Collects addresses of links."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.links += [value for name, value in attrs if name == "href" and value]
