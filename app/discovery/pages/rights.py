"""What a page states on the use of its images, of one or of all: ``rel=license``, and schema.org's properties as microdata or RDFa."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Final

from app.discovery.pages import markup
from app.discovery.pages.markup import Element, tokens
from app.discovery.pages.model import NO_RIGHTS, Rights, resolve, unique

__all__ = ["PageRights", "read_rights"]

_STATEMENT_CHARS: Final = 500
_FIELDS: Final[Mapping[str, str]] = {
    "license": "licence",
    "copyrightnotice": "copyright",
    "acquirelicensepage": "acquire",
    "creator": "creator",
    "author": "creator",
    "attributionname": "creator",
    "credittext": "credit",
}
"""Names of properties, without prefix and in lower case, and what each is."""

MAX_STATEMENTS: Final = 2_000
"""Of one page."""

_ELEMENTS: Final = ("a", "link", "area", "span", "div", "p", "meta", "small", "cite", "figcaption")
"""Elements that may state something."""

_IMAGE_TYPES: Final = ("imageobject", "photograph")


@dataclass(frozen=True, slots=True)
class PageRights:
    """The rights of a page, and of figures and image objects in it that have their own."""

    of_page: Rights = NO_RIGHTS
    of_scopes: Mapping[Element, Rights] = field(default_factory=dict)

    def of(self, element: Element) -> Rights:
        """Return what holds for an image."""
        if not self.of_scopes:
            return self.of_page
        return next((self.of_scopes[around] for around in markup.ancestors(element) if around in self.of_scopes), self.of_page)


def read_rights(root: Element, base: str) -> PageRights:
    """Read all statements of a page. A creator is that of a figure or an image object, never that of the page."""
    stated: dict[Element | None, dict[str, list[tuple[str, str | None]]]] = defaultdict(lambda: defaultdict(list))
    telling = ((element, kind) for element in root.iter(*_ELEMENTS) for kind in _kinds(element))
    for element, kind in islice(telling, MAX_STATEMENTS):
        scope = _scope(element)
        text = element.get("content") or markup.text_of(element, _STATEMENT_CHARS)
        reference = element.get("href") or (text if text.startswith(("http://", "https://")) else None)
        stated[scope][kind].append((text, resolve(base, reference)))
    page = stated.pop(None, {})
    return PageRights(
        _rights({kind: said for kind, said in page.items() if kind == "licence"}, is_of_image=False),
        {scope: _rights(said, is_of_image=True) for scope, said in stated.items() if said},
    )


def _kinds(element: Element) -> set[str]:
    """Return what an element states by ``rel``, ``itemprop`` and ``property``."""
    if element.tag in ("a", "area", "link") and "license" in tokens(element.get("rel")):
        return {"licence"}
    names = tokens(element.get("itemprop")) | tokens(element.get("property"))
    return {_FIELDS[name] for given in names if (name := given.rpartition("/")[2].rpartition(":")[2]) in _FIELDS}


def _scope(element: Element) -> Element | None:
    """Return the figure or image object that an element belongs to."""
    for around in markup.ancestors(element):
        kind = (around.get("itemtype") or around.get("typeof") or "").lower()
        if around.tag == "figure" or kind.endswith(_IMAGE_TYPES):
            return around
    return None


def _rights(said: Mapping[str, list[tuple[str, str | None]]], *, is_of_image: bool) -> Rights:
    """Return statements as rights. Beside a licence, a notice of copyright is a credit; a page to acquire one grants nothing."""
    licences, notices = said.get("licence", []), said.get("copyright", [])
    stated = licences or [*notices, *said.get("acquire", [])]
    creator, creator_url = next(iter(said.get("creator", [])), (None, None))
    return Rights(
        tuple(unique([f"{text} {url}".strip() if url and url not in text else text for text, url in stated])),
        next((url for _, url in stated if url), None),
        creator,
        creator_url,
        next((text for text, _ in [*said.get("credit", []), *notices]), None),
        is_of_image,
    )
