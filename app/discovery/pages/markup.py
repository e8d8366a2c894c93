"""Parses HTML and XML from strangers with lxml: in bounded time and memory, without DTDs, entities of their own, and network.

Knows elements and text, nothing of images.
"""

import codecs
import re
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from lxml import etree

__all__ = ["Element", "ancestors", "decode", "parse_html", "records", "text_of", "tokens"]

Element = Any
"""An element of lxml, which has no types of its own."""

MAX_HTML_BYTES: Final = 5_000_000
"""Of a page; what follows is not read."""

MAX_ELEMENTS: Final = 200_000
MAX_DEPTH: Final = 256
"""Elements inside of each other, as in libxml2 and browsers (512); deeper ones become children of the last."""

MAX_COMPARISONS: Final = 1_000_000_000
"""Of attributes with those before them in tags of more than a chunk, of which libxml2 makes one for each pair: about 4 s of CPU."""

_CHUNK_BYTES: Final = 8_192
_SEPARATORS: Final = (b" ", b"/", b'"', b"'", b"\n", b"\t", b"\f", b"\r")
_ANCESTORS: Final = 40
"""Levels that are looked up: what an image belongs to is near."""

_NAME: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*").fullmatch
"""Names of which lxml makes elements and attributes; HTML allows nearly everything. A colon would name a namespace."""

_CONTROLS: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")

_SILENT: Final = frozenset({"script", "style", "template", "noscript"})
_META_BYTES: Final = 1_024
"""Where a page may name its encoding (WHATWG HTML, 13.2.3.2)."""

_LABELS: Final = {"iso8859-1": "cp1252", "ascii": "cp1252", "gb2312": "gb18030", "gbk": "gb18030", "iso8859-9": "cp1254", "euc_kr": "cp949"}
"""Encodings by Python's name that the Encoding Standard reads as another."""

_NO_LABELS: Final = frozenset({"punycode", "idna", "utf-7", "unicode-escape", "raw-unicode-escape", "hz"})
"""Encodings by Python's name that the Encoding Standard does not have; some take time that grows with the square of the text."""


class _TreeTarget(etree.TreeBuilder):  # type: ignore[misc]  # lxml has no types
    """Builds a tree of what the parser tells, within limits, and counts its events."""

    def __init__(self) -> None:
        super().__init__()
        self.events = self.elements = 0
        self._open: list[str | None] = []

    def start(self, tag: Any, attrs: Any, nsmap: Any = None) -> Any:
        self.events += 1
        self.elements += 1
        if len(self._open) >= MAX_DEPTH or self.elements > MAX_ELEMENTS:
            self._open.append(None)
            return None
        name = tag if _NAME(tag) else "span"
        self._open.append(name)
        attributes = {name: _storable(value) for name, value in attrs.items() if _NAME(name)}
        return super().start(name, attributes)

    def end(self, tag: Any) -> Any:
        self.events += 1
        name = self._open.pop() if self._open else None
        return None if name is None else super().end(name)

    def data(self, data: Any) -> None:
        self.events += 1
        super().data(_storable(data))

    def comment(self, text: Any) -> Any:
        self.events += 1

    def pi(self, target: Any, data: Any = None) -> Any:
        self.events += 1

    def close(self) -> Element:
        """Return the root. The parser leaves elements open where a page is broken, or is not read to its end."""
        while self._open:
            self.end(self._open[-1])
        return super().close()


def _storable(value: str) -> str:
    """Return a text without the characters that XML, and so lxml, has no place for."""
    return value if value.isprintable() else _CONTROLS.sub("", value)


def parse_html(markup: str, max_comparisons: int = MAX_COMPARISONS) -> Element:
    """Return the root of a page's tree. Any text has one; where a tag has too many attributes, the page ends before it."""
    target = _TreeTarget()
    parser = etree.HTMLParser(target=target, encoding="utf-8", no_network=True)
    data = markup.encode("utf-8", "replace")[:MAX_HTML_BYTES]
    pending = comparisons = 0
    parser.feed(b"<html>")
    for start in range(0, len(data), _CHUNK_BYTES):
        chunk, events = data[start : start + _CHUNK_BYTES], target.events
        parser.feed(chunk)
        separators = sum(map(chunk.count, _SEPARATORS))
        if target.events != events:
            comparisons, pending = comparisons + ((pending + separators) ** 2 if pending else 0), 0
        else:
            pending += separators  # inside of one tag, comment or script
        if comparisons + pending**2 > max_comparisons or target.elements >= MAX_ELEMENTS:
            return target.close()  # the parser is not asked to end the tag that it is in
    return parser.close()


def decode(body: bytes, charset: str | None = None) -> str:
    """Decode a page: by its byte order mark, else the header's charset, else its meta element, else UTF-8 or windows-1252."""
    for mark, encoding in ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be")):
        if body.startswith(mark):
            return body[len(mark) :].decode(encoding, "replace")
    if named := _python_name(charset) or _python_name(_meta_charset(body[:_META_BYTES])):
        return body.decode(named, "replace")
    try:
        return body.decode()
    except UnicodeDecodeError:
        return body.decode("cp1252", "replace")


def _python_name(label: str | None) -> str | None:
    if not label or len(label) > 40:
        return None
    name = label.strip().strip("\"'").lower()
    try:
        b"x".decode(name, "replace")  # refuses encodings that are not of text
        known = codecs.lookup(name).name
        return None if known in _NO_LABELS else _LABELS.get(known, name)
    except (LookupError, ValueError):
        return None


def _meta_charset(head: bytes) -> str | None:
    """Read ``<meta charset>`` or its older form; a page that could be read to find it is no UTF-16."""
    for meta in parse_html(head.decode("latin-1")).iter("meta"):
        label = meta.get("charset")
        if not label and (meta.get("http-equiv") or "").lower() == "content-type":
            label = (meta.get("content") or "").lower().partition("charset=")[2].partition(";")[0]
        if label:
            return "utf-8" if label.strip().lower().startswith("utf-16") else label
    return None


def records(body: bytes, names: Sequence[str]) -> Iterator[Element]:
    """Yield the elements of an XML document with these names (``{namespace}name``, ``{*}name``), each whole, then dropped.

    What is not well-formed ends the document there. Entities that it declares are not replaced.
    """
    parser = etree.XMLPullParser(
        ("end",), tag=list(names), resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False, recover=True, remove_pis=True
    )
    try:
        for start in range(0, len(body), 4 * _CHUNK_BYTES):
            parser.feed(body[start : start + 4 * _CHUNK_BYTES])
            yield from _take(parser)
        parser.close()
    except etree.XMLSyntaxError:
        pass
    yield from _take(parser)


def _take(parser: Any) -> Iterator[Element]:
    try:
        for _, element in parser.read_events():
            yield element
            element.clear()
    except etree.XMLSyntaxError:
        return


def ancestors(element: Element) -> Iterator[Element]:
    """Yield the elements around one, the nearest first, as far as they may matter."""
    return islice(element.iterancestors(), _ANCESTORS)


def text_of(element: Element, limit: int) -> str:
    """Return the text inside an element that a browser would show, at most about ``limit`` characters."""
    parts: list[str] = []
    size = 0
    for node in element.iter():
        is_shown = isinstance(node.tag, str) and node.tag not in _SILENT
        for part in (node.text if is_shown else None, node.tail if node is not element else None):
            if part:
                parts.append(part)
                size += len(part)
        if size > 4 * limit:
            break
    return " ".join(" ".join(parts).split())[:limit]


def tokens(value: str | None) -> frozenset[str]:
    """Return the words of an attribute that is a set of them, such as ``rel`` or ``class``, in lower case."""
    return frozenset((value or "").lower().split())
