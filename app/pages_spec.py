"""What a user asks for of pages: which are read, and how far their links are followed."""

import re
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator

import errors
from app.strict import Strict

__all__ = ["MAX_PAGES", "PagesSpec"]

MAX_PAGES = 10_000
"""Pages that a request may name; their links come on top."""

PageUrl = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=8192)]
HostName = Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, max_length=253)]


def _ascii_host(host: str) -> str:
    """Return a host as links have it once they are read: an international name in ASCII."""
    from downloader import url_syntax  # takes long to import, and few requests name a host

    if not re.fullmatch(r"[^\s/\\:?#*@%.]+(\.[^\s/\\:?#*@%.]+)*", host):
        raise ValueError(f"{host[:100]!r} is not a host; write example.com, which takes its subdomains as well, or *")
    try:
        return url_syntax.parse(f"http://{host}/").host
    except errors.InvalidURLError as exc:
        raise ValueError(f"{exc.message}; write example.com, which takes its subdomains as well, or *") from exc


class PagesSpec(Strict):
    """Pages to take images from, and how far their links are followed."""

    urls: list[PageUrl] = Field(min_length=1, max_length=MAX_PAGES, description="Pages, galleries, sitemaps, feeds or IIIF manifests.")
    depth: int = Field(1, ge=0, le=20, description="Links that are followed from these pages; 0 for these pages alone.")
    max_pages: int = Field(1000, ge=1, le=1_000_000, description="Stop after this many pages; the named ones are all read.")
    follow_hosts: list[HostName] = Field(
        default_factory=list, max_length=1000, description="Hosts to follow besides those of the pages, with subdomains; * for all."
    )
    css_images: bool = Field(False, description="Take backgrounds of styles in the page as well.")

    @field_validator("follow_hosts")
    @classmethod
    def _hosts(cls, value: list[str]) -> list[str]:
        return [host if host == "*" else _ascii_host(host) for host in value]

    @property
    def host(self) -> str:
        """The host of the first page, without ``www``: the name of a dataset that has no other."""
        return (urlsplit(self.urls[0]).hostname or "pages").removeprefix("www.").replace(".", "-")

    @property
    def name(self) -> str:
        """What the crawl is called where a search has its keyword."""
        more = f" and {len(self.urls) - 1} more" if len(self.urls) > 1 else ""
        return self.urls[0][:350] + more
